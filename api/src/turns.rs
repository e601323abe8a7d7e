//! Whose turn it is to be worked for, where more is asked for than can be done at once.
//!
//! Commands come before operators' reads, and those before tenants'; but a quarter of all turns is operators' reads' alone: a
//! queue that makes commands wait must not make the panel blind.
//!
//! Who waits is told soon that it was in vain. A burst is waited out for [`PATIENCE`]; who has waited so long without a turn
//! shows that the queue stands, and then nobody waits longer than [`HURRY`], until for [`CALM`] nobody has waited in vain. So
//! a queue that stands is cut off, and what gets its turn keeps its pace (the idea is "controlled delay", K. Nichols and
//! V. Jacobson, 2012; for servers B. Maurer, "Fail at Scale", 2015).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

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
    /// To compute an answer for a tenant's user.
    Tenant,
}

/// The turns of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    commands: Line,
    operators: Line,
    tenants: Line,
    /// When somebody has waited in vain for the last time.
    in_vain: Option<Instant>,
}

/// Who is of one rank.
#[derive(Debug)]
struct Line {
    /// How many may have a turn.
    most: usize,
    /// How many have one.
    held: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

impl Line {
    fn of(most: usize) -> Self {
        Self { most, held: 0, waiting: VecDeque::new() }
    }
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
    /// So many at once; a quarter is operators' reads' alone.
    pub fn new(at_once: usize) -> Self {
        let most_of_others = at_once - at_once / 4;
        Self(Arc::new(Mutex::new(State {
            free: at_once,
            commands: Line::of(most_of_others),
            operators: Line::of(at_once),
            tenants: Line::of(most_of_others),
            in_vain: None,
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
            let stands = state.in_vain.is_some_and(|at| at.elapsed() < CALM);
            let patience = if stands { HURRY } else { PATIENCE };
            let (tell, told) = oneshot::channel();
            state.line(rank).waiting.push_back(tell);
            (told, patience)
        };
        match tokio::time::timeout(patience, told).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                self.state().in_vain = Some(Instant::now());
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
            Rank::Tenant => &mut self.tenants,
        }
    }

    /// Begins a turn of that rank, if one is free.
    fn begin(&mut self, rank: Rank) -> bool {
        let is_free = self.free > 0;
        let line = self.line(rank);
        let may = is_free && line.held < line.most;
        if may {
            line.held += 1;
            self.free -= 1;
        }
        may
    }

    fn end(&mut self, rank: Rank) {
        self.line(rank).held -= 1;
        self.free += 1;
    }

    /// Begins the turn of whoever is next.
    fn next(&mut self) -> Option<(Rank, oneshot::Sender<Turn>)> {
        for rank in [Rank::Command, Rank::Operator, Rank::Tenant] {
            let waiting = &mut self.line(rank).waiting;
            waiting.retain(|tell| !tell.is_closed());
            if !waiting.is_empty()
                && self.begin(rank)
                && let Some(tell) = self.line(rank).waiting.pop_front()
            {
                return Some((rank, tell));
            }
        }
        None
    }
}
