//! Whose turn it is to be worked for, where more is asked for than can be done at once.
//!
//! Commands come before operators' reads, and those before tenants'. Who waits is told soon that it was in vain: within
//! [`PATIENCE`] in a burst, and within [`HURRY`] where somebody has been waiting all the time for [`PATIENCE`]. So a queue
//! that stands is cut off, and what gets its turn keeps its pace ("controlled delay", K. Nichols and V. Jacobson, 2012; in
//! the form for servers of B. Maurer, "Fail at Scale", 2015).

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
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    most_of_tenants: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    of_tenants: usize,
    waiting: [VecDeque<oneshot::Sender<Turn>>; 3],
    /// Since when whoever came has found somebody waiting.
    standing: Option<Instant>,
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
    /// So many at once; a quarter is never tenants'.
    pub fn new(at_once: usize) -> Self {
        let state = State { free: at_once, of_tenants: 0, waiting: Default::default(), standing: None };
        Self(Arc::new(Inner { state: Mutex::new(state), most_of_tenants: at_once - at_once / 4 }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, rank: Rank) -> Turn {
        Turn { turns: Some(self.clone()), rank }
    }

    /// Waits for one's turn; an error where it does not come soon enough.
    pub async fn wait(&self, rank: Rank) -> Result<Turn, ApiError> {
        let (told, patience) = {
            let mut state = self.state();
            if state.begin(rank, self.0.most_of_tenants) {
                return Ok(self.turn(rank));
            }
            let patience = if state.standing() > PATIENCE { HURRY } else { PATIENCE };
            let (tell, told) = oneshot::channel();
            state.queue(rank).push_back(tell);
            (told, patience)
        };
        let turn = tokio::time::timeout(patience, told).await;
        turn.ok().and_then(Result::ok).ok_or(ApiError::Overloaded)
    }

    /// Ends a turn of that rank, and gives it to whoever is next and still waits.
    fn hand_on(&self, rank: Rank) {
        let mut ended = rank;
        loop {
            let (next, tell) = {
                let mut state = self.state();
                state.end(ended);
                match state.next(self.0.most_of_tenants) {
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
    fn queue(&mut self, rank: Rank) -> &mut VecDeque<oneshot::Sender<Turn>> {
        let [commands, operators, tenants] = &mut self.waiting;
        match rank {
            Rank::Command => commands,
            Rank::Operator => operators,
            Rank::Tenant => tenants,
        }
    }

    /// Begins a turn of that rank, if one is free.
    fn begin(&mut self, rank: Rank, most_of_tenants: usize) -> bool {
        let of_tenants = usize::from(rank == Rank::Tenant);
        let may = self.free > 0 && self.of_tenants + of_tenants <= most_of_tenants;
        if may {
            self.free -= 1;
            self.of_tenants += of_tenants;
        }
        may
    }

    fn end(&mut self, rank: Rank) {
        self.free += 1;
        self.of_tenants -= usize::from(rank == Rank::Tenant);
    }

    /// Begins the turn of whoever is next.
    fn next(&mut self, most_of_tenants: usize) -> Option<(Rank, oneshot::Sender<Turn>)> {
        for rank in [Rank::Command, Rank::Operator, Rank::Tenant] {
            self.queue(rank).retain(|tell| !tell.is_closed());
            if !self.queue(rank).is_empty()
                && self.begin(rank, most_of_tenants)
                && let Some(tell) = self.queue(rank).pop_front()
            {
                return Some((rank, tell));
            }
        }
        None
    }

    /// For how long whoever came has found somebody waiting.
    fn standing(&mut self) -> Duration {
        let is_empty = self.waiting.iter().flatten().all(oneshot::Sender::is_closed);
        let since = self.standing.take().filter(|_| !is_empty);
        self.standing.insert(since.unwrap_or_else(Instant::now)).elapsed()
    }
}
