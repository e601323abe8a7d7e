//! Lanes: by which short questions are asked one after the other.
//!
//! Whoever gives up leaves the question to be answered to nobody: no session is left in the middle of one. A lane is open
//! as long as somebody waits for one, and has a session while a question is asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, PgConnection, Row, postgres::PgRow};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    Database,
    kept::{IDLE, Session},
    sqlstate,
    statement::sealed::Piece,
};

/// Has what follows in its transaction be asked as a role, about a tenant, and write nothing: its name, and how it is prepared.
const SCOPE: (&str, &str) = (
    "painel_scope",
    "PREPARE painel_scope AS SELECT set_config('role', $1, true), set_config('painel.tenant_id', $2, true), \
     set_config('transaction_read_only', 'on', true)",
);

type Answers = Result<Vec<Vec<PgRow>>, sqlx::Error>;

/// Questions of one role, in one message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) role: &'static str,
    /// Empty where it is about none.
    pub(super) tenant: String,
    pub(super) pieces: Vec<Piece>,
}

impl Message {
    /// Role, tenant and read-only are the message's: they end with it, also where it fails.
    fn text(&self) -> String {
        let Self { role, tenant, pieces } = self;
        let executed: Vec<&str> = pieces.iter().map(|piece| piece.execute.as_str()).collect();
        let executed = executed.join("; ");
        // One statement sees the database at one moment anyway.
        let moment = if pieces.len() > 1 { "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; " } else { "" };
        format!("{moment}EXECUTE {}('{role}', '{tenant}'); {executed}", SCOPE.0)
    }
}

/// The lanes of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Lanes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
    /// How many may be open.
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// How many questions there have been.
    asked: u64,
    open: usize,
    idle: usize,
}

#[derive(Debug)]
struct Waiting {
    place: u64,
    message: Message,
    answer: oneshot::Sender<Answers>,
}

/// An open lane; closed when it is dropped.
struct Lane {
    lanes: Lanes,
    waits: bool,
    closed: bool,
}

impl Lanes {
    /// At most so many, and one at least.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), arrived: Notify::new(), most: most.max(1) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks on one of the lanes.
    pub(super) async fn ask(&self, database: &Database, message: Message) -> Answers {
        let (answer, mut answered) = oneshot::channel();
        let place = {
            let mut state = self.state();
            state.asked += 1;
            let place = state.asked;
            state.waiting.push_back(Waiting { place, message, answer });
            if let Some(lane) = self.another(&mut state) {
                // Whoever asks may be on a runtime that ends before those of others who ask.
                database.runtime.spawn(lane.serve(database.clone()));
            }
            place
        };
        self.0.arrived.notify_one();
        let answer = match tokio::time::timeout(database.config.call_limit, &mut answered).await {
            Ok(answer) => answer,
            Err(_) if self.give_up(place) => return Err(sqlx::Error::PoolTimedOut),
            // It is being asked, within a limit of its own.
            Err(_) => answered.await,
        };
        answer.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Another lane, where more questions wait than lanes do for them.
    fn another(&self, state: &mut State) -> Option<Lane> {
        if state.waiting.len() <= state.idle || state.open == self.0.most {
            return None;
        }
        state.open += 1;
        Some(Lane { lanes: self.clone(), waits: false, closed: false })
    }

    /// Has a question not be asked any more; whether its turn had not come yet.
    fn give_up(&self, place: u64) -> bool {
        let mut state = self.state();
        let waiting = state.waiting.len();
        state.waiting.retain(|question| question.place != place);
        state.waiting.len() < waiting
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        state.idle -= usize::from(self.waits);
        state.open -= usize::from(!self.closed);
        if state.open == 0 && !self.closed {
            // The runtime ends: nobody will answer these.
            state.waiting.clear();
        }
    }
}

impl Lane {
    async fn serve(mut self, database: Database) {
        while let Some(Waiting { message, answer, .. }) = self.next().await {
            if answer.is_closed() {
                continue;
            }
            let message = &message;
            let outcome = Box::pin(database.statement(|session| ask_on(session, message))).await;
            let _ = answer.send(outcome);
        }
    }

    /// The next question; where none comes for a while there is none, and the lane is closed in the same moment: whoever
    /// comes then opens another.
    async fn next(&mut self) -> Option<Waiting> {
        {
            let mut state = self.lanes.state();
            if let Some(waiting) = state.waiting.pop_front() {
                return Some(waiting);
            }
            state.idle += 1;
            self.waits = true;
        }
        let until = Instant::now() + IDLE;
        loop {
            let timed_out = tokio::time::timeout_at(until, self.lanes.0.arrived.notified()).await.is_err();
            let mut state = self.lanes.state();
            let waiting = state.waiting.pop_front();
            if !state.waiting.is_empty() {
                // Several that came at once may have woken one lane only.
                self.lanes.0.arrived.notify_one();
            }
            if waiting.is_some() || timed_out {
                state.idle -= 1;
                self.waits = false;
                state.open -= usize::from(waiting.is_none());
                self.closed = waiting.is_none();
                return waiting;
            }
        }
    }
}

async fn ask_on(mut session: Session, message: &Message) -> Answers {
    let mut outcome = carry_out(&mut session, message).await;
    if outcome.as_ref().is_err_and(is_unprepared) {
        outcome = match prepare(&mut session, message).await {
            Ok(()) => carry_out(&mut session, message).await,
            Err(error) => Err(error),
        };
    }
    session.done(outcome)
}

async fn carry_out(session: &mut PgConnection, message: &Message) -> Answers {
    let mut results = sqlx::raw_sql(AssertSqlSafe(message.text())).fetch_many(session);
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(_) => answers.push(std::mem::take(&mut rows)),
            Either::Right(row) => rows.push(row),
        }
    }
    // Before them, the role was taken.
    let first = answers.len().saturating_sub(message.pieces.len());
    Ok(answers.split_off(first))
}

fn is_unprepared(error: &sqlx::Error) -> bool {
    const INVALID_SQL_STATEMENT_NAME: &str = "26000";
    sqlstate(error).as_deref() == Some(INVALID_SQL_STATEMENT_NAME)
}

/// Prepares what the session does not have of a message.
async fn prepare(session: &mut PgConnection, message: &Message) -> Result<(), sqlx::Error> {
    let rows = sqlx::raw_sql("SELECT name FROM pg_prepared_statements").fetch_all(&mut *session).await?;
    let known = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<String>, _>>()?;
    let mut missing = BTreeMap::from([SCOPE]);
    missing.extend(message.pieces.iter().map(|piece| (piece.name, piece.prepare)));
    missing.retain(|name, _| !known.contains(*name));
    let missing: Vec<&str> = missing.into_values().collect();
    sqlx::raw_sql(AssertSqlSafe(missing.join("; "))).execute(session).await?;
    Ok(())
}
