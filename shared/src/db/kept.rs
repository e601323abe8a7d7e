//! Sessions that are kept between two statements.
//!
//! The pool asks a session for a sign of life each time it is given back, which costs as much as a short statement. So a
//! session whose statement has ended is kept for whoever comes soon, and goes back to the pool when nobody does. Others ask
//! the pool itself: for them, some of the sessions go back soon although somebody comes.

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
use tokio::runtime::Handle;

/// How long a session is kept for nobody.
pub(super) const IDLE: Duration = Duration::from_millis(20);
/// How long one is kept though somebody always comes: the pool has its own rules of how old a session may become.
const LONGEST: Duration = Duration::from_secs(5);
/// How long one is kept that others may wait for.
const BRIEFLY: Duration = Duration::from_millis(250);

/// The sessions that a store has kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Kept(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many may be kept for long.
    most: usize,
    /// Where what nobody came for is let go.
    runtime: Handle,
}

#[derive(Debug, Default)]
struct State {
    /// The one that was last used is last.
    idle: Vec<Idle>,
    places: usize,
    /// How often all have been let go.
    cleared: u64,
    /// Whether somebody sees to it that idle ones are let go.
    is_tended: bool,
}

#[derive(Debug)]
struct Idle {
    session: Session,
    since: Instant,
}

/// A session for a statement. Dropped, it goes back to the pool, which looks at it.
#[derive(Debug)]
pub struct Session {
    session: PoolConnection<Postgres>,
    had: Instant,
    /// How often all had been let go by then.
    cleared: u64,
    kept: Kept,
    /// Whether it has been kept since it was had.
    was_kept: bool,
    /// What it may be kept for long by; there may be no place left.
    place: Option<Place>,
}

/// A place among those that are kept for long; free again when it is dropped.
#[derive(Debug)]
struct Place(Kept);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().places -= 1;
    }
}

impl Kept {
    /// At most so many are kept for long; they are let go on that runtime.
    pub(super) fn new(most: usize, runtime: Handle) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), most, runtime }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is kept, if there is one.
    pub(super) fn take(&self) -> Option<Session> {
        self.state().idle.pop().map(|idle| Session { was_kept: true, ..idle.session })
    }

    /// One that has just been had from the pool.
    pub(super) fn adopt(&self, session: PoolConnection<Postgres>) -> Session {
        let mut state = self.state();
        let place = (state.places < self.0.most).then(|| {
            state.places += 1;
            Place(self.clone())
        });
        Session { session, had: Instant::now(), cleared: state.cleared, kept: self.clone(), was_kept: false, place }
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
    fn keep(&self, session: Session) -> Option<Session> {
        let mut state = self.state();
        if state.cleared != session.cleared {
            return Some(session);
        }
        state.idle.push(Idle { session, since: Instant::now() });
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

impl Session {
    /// Whether it has been kept since the pool looked at it.
    pub(super) fn was_kept(&self) -> bool {
        self.was_kept
    }

    /// Keeps the session where its statement has ended, be it in an error; what came of the statement.
    pub fn done<T>(self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let has_ended = outcome.as_ref().err().is_none_or(leaves_its_session);
        let longest = if self.place.is_some() { LONGEST } else { BRIEFLY };
        // The only one is kept from nobody.
        if has_ended && self.kept.0.most > 0 && self.had.elapsed() < longest {
            let kept = self.kept.clone();
            drop(kept.keep(self));
        }
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
