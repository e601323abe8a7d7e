//! Whose turn it is to be worked for, where more is asked for than can be done at once.
//!
//! Commands come before operators' reads, and those before tenants'; but a quarter of all turns is operators' reads' alone: a
//! queue that makes commands wait must not make the panel blind. And no tenant has more than an eighth of them, however much
//! its users ask for.
//!
//! Who waits is told soon that it was in vain. A burst is waited out for [`PATIENCE`]; who has waited so long without a turn
//! shows that their queue stands, and then nobody in it waits longer than [`HURRY`], until for [`CALM`] nobody has waited in
//! vain. So a queue that stands is cut off, and what gets its turn keeps its pace (the idea is "controlled delay", K. Nichols
//! and V. Jacobson, 2012; for servers B. Maurer, "Fail at Scale", 2015). A queue that stands is one rank's, or one tenant's:
//! it makes nobody else hurry.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use painel_shared::ids::TenantId;
use tokio::sync::oneshot;

use crate::problem::ApiError;

/// How long a burst may make somebody wait.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long anybody waits in a queue that stands.
const HURRY: Duration = Duration::from_millis(5);
/// For how long nobody must have waited in vain until bursts are waited out again.
const CALM: Duration = Duration::from_secs(1);

/// What is to be done, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// To accept a command or an aggregation.
    Command,
    /// To compute an answer for an operator.
    Operator,
    /// To compute an answer for a user of that tenant.
    Tenant(TenantId),
}

/// The turns of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// How many there are.
    most: usize,
    /// How many of them are not operators' reads' alone.
    most_of_others: usize,
    most_of_tenant: usize,
    held: usize,
    held_by_others: usize,
    commands: Line,
    operators: Line,
    tenants: Line,
    /// Those tenants that hold one.
    by_tenant: HashMap<TenantId, OfTenant>,
}

/// Who waits, in the order in which they came.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<(Rank, oneshot::Sender<Turn>)>,
    /// When somebody has waited in vain for the last time.
    in_vain: Option<Instant>,
}

/// What one tenant's users hold.
#[derive(Debug, Default)]
struct OfTenant {
    held: usize,
    /// When one of them has waited in vain for another of them.
    in_vain: Option<Instant>,
}

/// One's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    /// None once it has been handed on.
    turns: Option<Turns>,
    rank: Rank,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.hand_on(self.rank);
        }
    }
}

impl Turns {
    /// So many at once. Of one alone nothing is kept free.
    pub fn new(at_once: usize) -> Self {
        let reserve = if at_once > 1 { (at_once / 4).max(1) } else { 0 };
        Self(Arc::new(Mutex::new(State {
            most: at_once,
            most_of_others: at_once - reserve,
            most_of_tenant: (at_once / 8).max(1),
            held: 0,
            held_by_others: 0,
            commands: Line::default(),
            operators: Line::default(),
            tenants: Line::default(),
            by_tenant: HashMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, rank: Rank) -> Turn {
        Turn { turns: Some(self.clone()), rank }
    }

    /// Waits for one's turn; an error where it does not come soon enough.
    pub async fn wait(&self, rank: Rank) -> Result<Turn, ApiError> {
        let (told, patience) = {
            let mut state = self.state();
            if state.begin(rank) {
                return Ok(self.turn(rank));
            }
            let stands = state.in_vain(rank).is_some_and(|at| at.elapsed() < CALM);
            let patience = if stands { HURRY } else { PATIENCE };
            let (tell, told) = oneshot::channel();
            state.line(rank).waiting.push_back((rank, tell));
            (told, patience)
        };
        match tokio::time::timeout(patience, told).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                *self.state().in_vain(rank) = Some(Instant::now());
                Err(ApiError::Overloaded)
            }
        }
    }

    /// Ends a turn of that rank, and gives it to whoever is next and still waits.
    fn hand_on(&self, rank: Rank) {
        let mut ended = rank;
        loop {
            let (next, tell) = {
                let mut state = self.state();
                state.end(ended);
                match state.next() {
                    Some(next) => next,
                    None => return,
                }
            };
            match tell.send(self.turn(next)) {
                Ok(()) => return,
                // It has just given up.
                Err(mut turn) => {
                    turn.turns = None;
                    ended = next;
                }
            }
        }
    }
}

impl State {
    fn line(&mut self, rank: Rank) -> &mut Line {
        match rank {
            Rank::Command => &mut self.commands,
            Rank::Operator => &mut self.operators,
            Rank::Tenant(_) => &mut self.tenants,
        }
    }

    /// When somebody has waited in vain for the last time for what whoever is of that rank waits for.
    fn in_vain(&mut self, rank: Rank) -> &mut Option<Instant> {
        if let Rank::Tenant(tenant) = rank
            && self.has_its_share(tenant)
        {
            return &mut self.by_tenant.entry(tenant).or_default().in_vain;
        }
        &mut self.line(rank).in_vain
    }

    fn has_its_share(&self, tenant: TenantId) -> bool {
        self.by_tenant.get(&tenant).is_some_and(|of_tenant| of_tenant.held >= self.most_of_tenant)
    }

    /// Whether one of that rank may begin.
    fn may_begin(&self, rank: Rank) -> bool {
        let is_free = self.held < self.most;
        match rank {
            Rank::Operator => is_free,
            Rank::Command => is_free && self.held_by_others < self.most_of_others,
            Rank::Tenant(tenant) => {
                is_free && self.held_by_others < self.most_of_others && !self.has_its_share(tenant)
            }
        }
    }

    /// Begins a turn of that rank, if one is free.
    fn begin(&mut self, rank: Rank) -> bool {
        if !self.may_begin(rank) {
            return false;
        }
        self.held += 1;
        self.held_by_others += usize::from(rank != Rank::Operator);
        if let Rank::Tenant(tenant) = rank {
            self.by_tenant.entry(tenant).or_default().held += 1;
        }
        true
    }

    fn end(&mut self, rank: Rank) {
        self.held -= 1;
        self.held_by_others -= usize::from(rank != Rank::Operator);
        if let Rank::Tenant(tenant) = rank
            && let Some(of_tenant) = self.by_tenant.get_mut(&tenant)
        {
            of_tenant.held -= 1;
            if of_tenant.held == 0 {
                self.by_tenant.remove(&tenant);
            }
        }
    }

    /// Begins the turn of whoever is next: of tenants, whoever has its share is passed over.
    fn next(&mut self) -> Option<(Rank, oneshot::Sender<Turn>)> {
        for line in [&mut self.commands, &mut self.operators, &mut self.tenants] {
            line.waiting.retain(|(_, tell)| !tell.is_closed());
        }
        let lines = [&self.commands, &self.operators, &self.tenants];
        let next = |line: &Line| line.waiting.iter().position(|(rank, _)| self.may_begin(*rank));
        let (line, place) = lines.into_iter().enumerate().find_map(|(at, line)| Some((at, next(line)?)))?;
        let lines = [&mut self.commands, &mut self.operators, &mut self.tenants];
        let (rank, tell) = lines.into_iter().nth(line)?.waiting.remove(place)?;
        self.begin(rank);
        Some((rank, tell))
    }
}
