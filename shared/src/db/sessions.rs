//! Which sessions of a pool can be handed out again, and when a pool has to be replaced.
//!
//! The driver gives back whatever it gets back, after a ping that has no limit. Two kinds of session are useless all the
//! same. One whose server is not what it was refuses every write after a failover, or every plan after a migration:
//! whoever meets one says so, and every session that was opened before is closed. And one whose host has vanished keeps
//! its place: to ping it, and even to close it where it is encrypted, waits until TCP gives up, after a quarter of an
//! hour. So where something was given up half-way, a session is asked for an answer within a limit; where none comes,
//! the pool is left as it is, and another takes its place.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, postgres::PgPoolOptions};

use super::sqlstate;

/// A session that was idle for less long is trusted unasked.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long an idle session may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// What is given back so soon after something was given up may be what that was carried out on.
const DOUBTFUL: Duration = Duration::from_secs(1);

/// What is known of the sessions of a store's pools. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// What was opened before is useless.
    useless_before: Option<Instant>,
    /// When something was last given up half-way.
    given_up_at: Option<Instant>,
    /// When a session was last handed out or given back.
    in_use_at: Option<Instant>,
    /// Whether the host seems to have vanished.
    has_vanished: bool,
}

impl Sessions {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no session is handed out that is open now.
    fn renew(&self) {
        self.known().useless_before = Some(Instant::now());
    }

    /// Whether the host has vanished since this was last asked.
    pub(super) fn has_vanished(&self) -> bool {
        std::mem::take(&mut self.known().has_vanished)
    }

    /// Draws the conclusion from a pool that had no connection to give. A server that lives ends a statement by its time
    /// limit: where none has moved for three times as long, those that there are wait for a host that has vanished.
    pub(super) fn learn_of_none_to_be_had(&self, limit: Duration) {
        let mut known = self.known();
        if known.in_use_at.is_some_and(|at| at.elapsed() >= limit * 3) {
            known.has_vanished = true;
            // The next pool gets as much time.
            known.in_use_at = None;
        }
    }

    /// Draws the conclusion from an error; whether its session was useless, and nothing was done.
    pub(super) fn learn(&self, error: &sqlx::Error) -> bool {
        let useless = is_of_useless_session(error);
        if useless {
            tracing::info!(%error, "a session has become useless; all are opened anew");
            self.renew();
        }
        useless
    }

    /// Carries something out, and notices where it is given up half-way.
    pub(super) async fn watch<T>(&self, step: impl Future<Output = T>) -> T {
        let mut step = pin!(step);
        // Declared after the step, so that it is dropped first: its session is given back later than this is known.
        let mut watch = Watch { sessions: self, ended: false };
        let outcome = step.as_mut().await;
        watch.ended = true;
        outcome
    }

    /// The options of a pool that hands out no useless session.
    pub(super) fn watched_over(&self, options: PgPoolOptions) -> PgPoolOptions {
        let (before, after) = (self.clone(), self.clone());
        options
            .test_before_acquire(false)
            .before_acquire(move |session, about| {
                let known = before.clone();
                Box::pin(async move {
                    known.known().in_use_at = Some(Instant::now());
                    Ok(!known.has_let_go(about.age) && (about.idle_for < TRUSTED || known.answers(session).await))
                })
            })
            .after_release(move |session, about| {
                let known = after.clone();
                Box::pin(async move {
                    known.known().in_use_at = Some(Instant::now());
                    let doubtful = known.known().given_up_at.is_some_and(|at| at.elapsed() < DOUBTFUL);
                    Ok(!known.has_let_go(about.age) && (!doubtful || known.answers(session).await))
                })
            })
    }

    fn has_let_go(&self, age: Duration) -> bool {
        self.known().useless_before.is_some_and(|before| before.elapsed() < age)
    }

    async fn answers(&self, session: &mut PgConnection) -> bool {
        match tokio::time::timeout(ANSWER, session.ping()).await {
            Ok(answer) => answer.is_ok(),
            Err(_) => {
                tracing::warn!("PostgreSQL's host does not answer any more; all sessions are opened anew");
                self.known().has_vanished = true;
                false
            }
        }
    }
}

/// Whatever is dropped with this before it has ended was given up half-way.
struct Watch<'a> {
    sessions: &'a Sessions,
    ended: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.sessions.known().given_up_at = Some(Instant::now());
        }
    }
}

/// Whether the session has failed, and not what was asked on it.
pub(super) fn has_ended(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_))
}

/// Whether the session is to blame: a server that has become a standby, a plan from before a migration, or a server that
/// is shutting down. In each case the statement has done nothing.
fn is_of_useless_session(error: &sqlx::Error) -> bool {
    const READ_ONLY_SQL_TRANSACTION: &str = "25006";
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    const ADMIN_SHUTDOWN: &str = "57P01";
    match sqlstate(error).as_deref() {
        Some(READ_ONLY_SQL_TRANSACTION | ADMIN_SHUTDOWN) => true,
        Some(FEATURE_NOT_SUPPORTED) => error.to_string().contains("cached plan"),
        _ => false,
    }
}
