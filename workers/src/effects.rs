//! An effect, its record and its audit event in one statement: all of it, once, or none.
//!
//! `command_effects` holds one row a command. A success stands for ever, and whoever comes later returns
//! it. A failure is a tombstone that only a higher fence replaces: a worker that lost its lease, and
//! wakes up after the command has ended in ERROR, finds it and leaves the world as it is.

use painel_shared::{
    command::{CommandError, Verdict},
    db::{Database, Session},
    events::Event,
    ids::CommandId,
    planted::{Bug, planted},
};
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::handler::{Attempt, HandlerError, ResultMap};

/// The most bytes that a result may have as JSON.
const RESULT_BYTES: usize = 16 * 1024;

/// A success that is on record. Only what recorded it, or found the record, or says outright that its event is owed,
/// can make one: so a handler cannot return a success that it has not recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Success {
    result: ResultMap,
    owes_event: bool,
}

impl Success {
    /// A success that is nowhere on record but in the command itself: for what changes nothing, while PostgreSQL does
    /// not answer. The event of it is written later.
    pub fn owing_event(result: ResultMap) -> Result<Self, HandlerError> {
        Ok(Self { result: bounded(result)?, owes_event: true })
    }

    /// What is shown to whoever asks for the command.
    pub fn result(&self) -> &ResultMap {
        &self.result
    }

    fn on_record(result: ResultMap) -> Self {
        Self { result, owes_event: false }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        if self.owes_event { Verdict::Unaudited(self.result) } else { Verdict::Success(self.result) }
    }
}

/// The result, if an item of the command store has room for it.
fn bounded(result: ResultMap) -> Result<ResultMap, HandlerError> {
    let size = serde_json::to_vec(&result).map_or(usize::MAX, |bytes| bytes.len());
    if size > RESULT_BYTES {
        let message = format!("the result has {size} bytes; {RESULT_BYTES} are kept");
        return Err(HandlerError::permanent("result_too_large", message));
    }
    Ok(result)
}

/// What the SQL function `record_success` is given.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its `command`.
    pub command: Uuid,
    /// Its `at_fence`.
    pub fence: i64,
    /// What it is `made`: the result.
    pub result: Value,
    /// Its `event`.
    pub event: Value,
}

impl Record {
    fn of(attempt: &Attempt, result: ResultMap) -> Result<Self, HandlerError> {
        let result = bounded(result)?;
        // The function adds the result.
        let event = Event::succeeded(&attempt.stored, attempt.holder.fence, &ResultMap::new());
        let event = serde_json::to_value(event).map_err(|error| {
            HandlerError::permanent("result_unwritable", "the event cannot be written").because(error)
        })?;
        let command = match planted(Bug::NoEffectKey) {
            true => Uuid::now_v7(),
            false => attempt.stored.id().uuid(),
        };
        Ok(Self { command, fence: fence(attempt.holder.fence), result: Value::Object(result), event })
    }
}

/// Makes an effect: by one statement, which calls `record_success`, makes the effect where that has `taken` it, and
/// returns its `standing`. None where the statement returns no row: then nothing has been done.
pub async fn make<F>(
    db: &Database,
    attempt: &Attempt,
    result: ResultMap,
    statement: impl Fn(Session, Record) -> F,
) -> Result<Option<Success>, HandlerError>
where
    F: Future<Output = Result<Option<Option<Value>>, sqlx::Error>>,
{
    let record = Record::of(attempt, result)?;
    let made = db.statement(|session| statement(session, record.clone())).await?;
    match made {
        Some(Some(standing)) => Ok(Some(Success::on_record(into_map(standing)))),
        Some(None) => Err(fenced_off()),
        None => Ok(None),
    }
}

/// Records a success whose effect is nothing in PostgreSQL.
pub async fn record(db: &Database, attempt: &Attempt, result: ResultMap) -> Result<Success, HandlerError> {
    let statement = async |mut session: Session, record: Record| {
        let standing = sqlx::query_scalar!(
            "SELECT standing FROM record_success($1, $2, $3, $4)",
            record.command,
            record.fence,
            record.result,
            record.event,
        );
        let standing = standing.fetch_optional(&mut *session).await;
        session.done(standing)
    };
    make(db, attempt, result, statement).await?.ok_or_else(fenced_off)
}

/// The recorded result of the attempt's command, if it has taken effect; an error where the command has
/// been given up. For effects that are made outside of PostgreSQL: looked at before, recorded after.
pub async fn find_standing(db: &Database, attempt: &Attempt) -> Result<Option<Success>, HandlerError> {
    if attempt.is_the_first() {
        return Ok(None);
    }
    let look = async || {
        sqlx::query!(
            "SELECT fence, outcome, result FROM command_effects WHERE command_id = $1",
            attempt.stored.id().uuid(),
        )
        .fetch_optional(&db.service())
        .await
    };
    match db.step(look).await? {
        _ if planted(Bug::NoEffectKey) => Ok(None),
        Some(row) if row.outcome == "success" => Ok(Some(Success::on_record(into_map(row.result)))),
        Some(row) if row.fence >= fence(attempt.holder.fence) => Err(fenced_off()),
        _ => Ok(None),
    }
}

/// The recorded result of a command that has taken effect.
async fn find_success(db: impl PgExecutor<'_>, command: CommandId) -> Result<Option<ResultMap>, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "SELECT result FROM command_effects WHERE command_id = $1 AND outcome = 'success'",
        command.uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(into_map))
}

/// Before a command ends in ERROR: writes the tombstone. Where the effect turns out to have been made, the command ends
/// in SUCCESS after all. The event of the end is written after the end, by whoever brings it about: until then a holder
/// with a higher fence may still succeed.
pub async fn bury(
    db: &PgPool,
    command: CommandId,
    at_fence: u64,
    error: CommandError,
    dead_letter: bool,
) -> Result<Verdict, sqlx::Error> {
    let tombstone = serde_json::to_value(&error).unwrap_or_default();
    let buried = sqlx::query!(
        "INSERT INTO command_effects AS known (command_id, fence, outcome, result) VALUES ($1, $2, 'failed', $3)
         ON CONFLICT (command_id) DO UPDATE SET fence = excluded.fence, result = excluded.result
         WHERE known.outcome = 'failed' AND known.fence < excluded.fence",
        command.uuid(),
        fence(at_fence),
        tombstone,
    )
    .execute(db)
    .await?
    .rows_affected();
    let success = if buried == 1 { None } else { find_success(db, command).await? };
    Ok(success.map_or(Verdict::Error { error, dead_letter }, Verdict::Success))
}

/// A tombstone stands at this fence or above: the command has been given up by somebody else.
pub fn fenced_off() -> HandlerError {
    HandlerError::retryable("fenced_off", "the command was given up while this attempt was under way")
}

/// PostgreSQL's integers are signed; a fence never comes near their end.
pub(crate) fn fence(fence: u64) -> i64 {
    i64::try_from(fence).unwrap_or(i64::MAX)
}

fn into_map(value: Value) -> ResultMap {
    match value {
        Value::Object(map) => map,
        _ => ResultMap::new(),
    }
}
