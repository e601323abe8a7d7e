//! Sessions that are kept between two statements.
//!
//! The pool asks a session for a sign of life each time it is given back, which costs as much as a short statement. So a
//! session whose statement has ended is kept for whoever comes soon, and goes back to the pool when nobody does. Whoever
//! comes when all are in use waits for one of them, as they are never all that there are: others ask the pool itself.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    PgConnection, Postgres,
    pool::PoolConnection,
    postgres::{PgDatabaseError, PgSeverity},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// How long a session is kept for nobody.
pub(super) const IDLE: Duration = Duration::from_millis(20);
/// How long one is kept though somebody always comes: the pool has its own rules of how old a session may become.
const LONGEST: Duration = Duration::from_secs(5);

/// The sessions that a store has kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Kept(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many may be in use; none where there is only one to be had.
    permits: Option<Arc<Semaphore>>,
    /// Where what nobody came for is let go.
    runtime: Handle,
}

#[derive(Debug, Default)]
struct State {
    /// The one that was last used is last.
    idle: Vec<Idle>,
    /// How often all have been let go.
    cleared: u64,
    /// Whether somebody sees to it that idle ones are let go.
    is_tended: bool,
}

#[derive(Debug)]
struct Idle {
    session: PoolConnection<Postgres>,
    had: Instant,
    cleared: u64,
    since: Instant,
}

/// A session for a statement. Dropped, it goes back to the pool, which looks at it.
#[derive(Debug)]
pub struct Session {
    session: PoolConnection<Postgres>,
    had: Instant,
    /// How often all had been let go by then.
    cleared: u64,
    /// Whether it has been kept since it was had.
    was_kept: bool,
    leave: Leave,
}

/// Leave to use a session, and to keep it where there are permits.
#[derive(Debug)]
pub(super) struct Leave {
    kept: Kept,
    permit: Option<OwnedSemaphorePermit>,
}

impl Kept {
    /// At most so many, which are let go on that runtime.
    pub(super) fn new(most: usize, runtime: Handle) -> Self {
        let permits = (most > 0).then(|| Arc::new(Semaphore::new(most)));
        Self(Arc::new(Shared { state: Mutex::default(), permits, runtime }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to use one, once not all are in use.
    pub(super) async fn leave(&self) -> Leave {
        let permit = match &self.0.permits {
            // It is never closed.
            Some(permits) => Arc::clone(permits).acquire_owned().await.ok(),
            None => None,
        };
        Leave { kept: self.clone(), permit }
    }

    /// Lets go of all: of those that are idle now, and of the others when their statements have ended.
    pub(super) fn clear(&self) {
        let idle = {
            let mut state = self.state();
            state.cleared += 1;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
    }

    /// Gives it back where it may not be kept any more.
    fn keep(&self, kept: Idle) -> Option<Idle> {
        let mut state = self.state();
        if state.cleared != kept.cleared {
            return Some(kept);
        }
        state.idle.push(kept);
        if !std::mem::replace(&mut state.is_tended, true) {
            let own = self.clone();
            self.0.runtime.spawn(async move { own.tend().await });
        }
        None
    }

    /// Lets go of what nobody came for, until none is left.
    async fn tend(&self) {
        let mut is_done = false;
        while !is_done {
            tokio::time::sleep(IDLE).await;
            let gone: Vec<Idle> = {
                let mut state = self.state();
                let (gone, idle) = state.idle.drain(..).partition(|one: &Idle| one.since.elapsed() >= IDLE);
                state.idle = idle;
                state.is_tended = !state.idle.is_empty();
                is_done = !state.is_tended;
                gone
            };
            drop(gone);
        }
    }
}

impl Leave {
    /// One that is kept; with none, what asked for it.
    pub(super) fn take(self) -> Result<Session, Self> {
        let Some(Idle { session, had, cleared, .. }) = self.kept.state().idle.pop() else { return Err(self) };
        Ok(Session { session, had, cleared, was_kept: true, leave: self })
    }

    /// One that has just been had from the pool.
    pub(super) fn adopt(self, session: PoolConnection<Postgres>) -> Session {
        let cleared = self.kept.state().cleared;
        Session { session, had: Instant::now(), cleared, was_kept: false, leave: self }
    }
}

impl Session {
    /// Whether it has been kept since the pool looked at it.
    pub(super) fn was_kept(&self) -> bool {
        self.was_kept
    }

    /// Keeps the session where its statement has ended, be it in an error; what came of the statement.
    pub fn done<T>(self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let has_ended = outcome.as_ref().err().is_none_or(leaves_its_session);
        let Self { session, had, cleared, leave: Leave { kept, permit }, .. } = self;
        if has_ended && permit.is_some() && had.elapsed() < LONGEST {
            drop(kept.keep(Idle { session, had, cleared, since: Instant::now() }));
        }
        // Whoever has leave next finds it.
        drop(permit);
        outcome
    }
}

/// Whether it is of the statement alone. With a graver one PostgreSQL ends the session.
fn leaves_its_session(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| error.severity() == PgSeverity::Error)
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.session
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.session
    }
}
