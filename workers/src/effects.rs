//! An effect, its record and its audit event in one transaction: all of it, once, or none.
//!
//! `command_effects` holds one row a command. A success stands for ever, and whoever comes later returns
//! it. A failure is a tombstone that only a higher fence replaces: a worker that lost its lease, and
//! wakes up after the command has ended in ERROR, finds it and leaves the world as it is.

use painel_shared::{
    command::{Command, CommandError, Verdict},
    db,
    events::{self, Event},
    ids::CommandId,
    planted::{Bug, planted},
};
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::handler::{Attempt, HandlerError, ResultMap};

/// What a handler finds when it is about to make its effect.
#[derive(Debug)]
pub enum Begun {
    /// Nothing has been done: do it within this.
    Fresh(Effect),
    /// It was done before, with this result.
    Done(ResultMap),
}

/// A transaction in which an effect is made. Dropped uncommitted, nothing has happened.
#[derive(Debug)]
pub struct Effect {
    transaction: Transaction<'static, Postgres>,
}

/// Opens the transaction of the attempt's effect. Others at the same command wait until it ends.
pub async fn begin(db: &PgPool, attempt: &Attempt) -> Result<Begun, HandlerError> {
    let mut transaction = db::begin(db).await?;
    let taken = sqlx::query!(
        "INSERT INTO command_effects AS known (command_id, fence, outcome, result)
         VALUES ($1, $2, 'success', '{}')
         ON CONFLICT (command_id) DO UPDATE SET fence = excluded.fence, outcome = 'success'
         WHERE known.outcome = 'failed' AND known.fence < excluded.fence",
        attempt.command.id().uuid(),
        fence(attempt.holder.fence),
    )
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if taken == 1 || planted(Bug::NoEffectKey) {
        return Ok(Begun::Fresh(Effect { transaction }));
    }
    match find_success(&mut transaction, attempt.command.id()).await? {
        Some(result) => Ok(Begun::Done(result)),
        None => Err(fenced_off()),
    }
}

impl Effect {
    /// The connection to make the effect on.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Records the result and the audit event, and commits all of it.
    pub async fn commit(mut self, attempt: &Attempt, result: ResultMap) -> Result<ResultMap, HandlerError> {
        sqlx::query!(
            "UPDATE command_effects SET result = $2 WHERE command_id = $1",
            attempt.command.id().uuid(),
            Value::Object(result.clone()),
        )
        .execute(self.connection())
        .await?;
        let event = Event::succeeded(&attempt.command, attempt.holder.fence, &result);
        events::record(self.connection(), &event).await?;
        self.transaction.commit().await?;
        Ok(result)
    }
}

/// The recorded result of the attempt's command, if it has taken effect; an error where the command has
/// been given up. For effects that are made outside of PostgreSQL: looked at before, recorded after.
pub async fn find_standing(db: &PgPool, attempt: &Attempt) -> Result<Option<ResultMap>, HandlerError> {
    let row = sqlx::query!(
        "SELECT fence, outcome, result FROM command_effects WHERE command_id = $1",
        attempt.command.id().uuid(),
    )
    .fetch_optional(db)
    .await?;
    match row {
        _ if planted(Bug::NoEffectKey) => Ok(None),
        Some(row) if row.outcome == "success" => Ok(Some(into_map(row.result))),
        Some(row) if row.fence >= fence(attempt.holder.fence) => Err(fenced_off()),
        _ => Ok(None),
    }
}

/// The recorded result of a command that has taken effect.
async fn find_success(db: &mut PgConnection, command: CommandId) -> Result<Option<ResultMap>, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "SELECT result FROM command_effects WHERE command_id = $1 AND outcome = 'success'",
        command.uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(into_map))
}

/// Before a command ends in ERROR: writes the tombstone and the audit event. Where the effect turns out
/// to have been made, the command ends in SUCCESS after all.
pub async fn bury(
    db: &PgPool,
    command: &Command,
    at_fence: u64,
    error: CommandError,
    dead_letter: bool,
) -> Result<Verdict, sqlx::Error> {
    let mut transaction = db::begin(db).await?;
    let tombstone = serde_json::to_value(&error).unwrap_or_default();
    sqlx::query!(
        "INSERT INTO command_effects AS known (command_id, fence, outcome, result) VALUES ($1, $2, 'failed', $3)
         ON CONFLICT (command_id) DO UPDATE SET fence = excluded.fence, result = excluded.result
         WHERE known.outcome = 'failed' AND known.fence < excluded.fence",
        command.id().uuid(),
        fence(at_fence),
        tombstone,
    )
    .execute(&mut *transaction)
    .await?;
    if let Some(result) = find_success(&mut transaction, command.id()).await? {
        return Ok(Verdict::Success(result));
    }
    events::record(&mut transaction, &Event::failed(command, at_fence, &error.code, &error.message)).await?;
    transaction.commit().await?;
    Ok(Verdict::Error { error, dead_letter })
}

/// A tombstone stands at this fence or above: the command has been given up by somebody else.
pub(crate) fn fenced_off() -> HandlerError {
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
