//! What becomes of an attempt, and what becomes of a delivery: pure.
//!
//! A delivery is settled by what is stored of its work, whatever way it got there: so a crash at any point, and a
//! second delivery, lead to the same end. Commands and rollup runs follow the same rules.

use std::time::Duration;

use painel_shared::{
    command::{Command, CommandError, Status},
    rollup::{RollupRun, RunState},
    time::Timestamp,
};

/// What becomes of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<T> {
    /// It ends in success.
    Succeed(T),
    /// It is tried again.
    Retry(CommandError),
    /// It ends without effect.
    Fail {
        /// Why.
        error: CommandError,
        /// Whether more attempts might have helped, so that its message is kept.
        dead_letter: bool,
    },
}

/// What becomes of the `attempt`-th of `max_attempts` attempts with that outcome.
pub fn decide<T>(attempt: u32, max_attempts: u32, outcome: Result<T, CommandError>) -> Decision<T> {
    match outcome {
        Ok(success) => Decision::Succeed(success),
        Err(error) if !error.retryable => Decision::Fail { error, dead_letter: false },
        Err(error) if attempt < max_attempts => Decision::Retry(error),
        Err(error) => Decision::Fail { error, dead_letter: true },
    }
}

/// How stored work stands, as far as a delivery of it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for so long.
    Waiting(Duration),
    /// Another worker holds it.
    Held,
    /// Whoever held it has lost its lease, and an attempt is left.
    Lost,
    /// Whoever held it has lost its lease, and no attempt is left.
    Exhausted,
    /// It has ended, and its message is done with.
    Ended,
    /// It has ended, and its message is kept with this reason.
    Dead(String),
}

impl Standing {
    /// How that command stands at `now`.
    pub fn of_command(command: &Command, now: Timestamp) -> Self {
        match command.status {
            Status::Error if command.dead_letter => Self::Dead(reason(command.error.as_ref())),
            Status::Success | Status::Error => Self::Ended,
            Status::Pending => Self::Waiting((command.not_before - now).to_std().unwrap_or_default()),
            Status::Running if !command.lease_expired(now) => Self::Held,
            Status::Running if command.attempt < command.max_attempts => Self::Lost,
            Status::Running => Self::Exhausted,
        }
    }

    /// How that run stood when it was read.
    pub fn of_run(run: &RollupRun) -> Self {
        match run.state {
            RunState::Failed if run.dead_letter => {
                Self::Dead(run.error.clone().unwrap_or_else(|| "the run failed".to_owned()))
            }
            RunState::Succeeded | RunState::Failed => Self::Ended,
            RunState::Queued => Self::Waiting(run.due_in),
            RunState::Running if !run.lease_expired => Self::Held,
            RunState::Running if run.attempt < run.max_attempts => Self::Lost,
            RunState::Running => Self::Exhausted,
        }
    }
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done with. Where its work has ended, the event of its end must be there first.
    Acknowledge,
    /// It comes back later.
    RetryLater(Duration),
    /// The last attempt lost its lease: end the work, then settle again.
    Expire,
    /// It is kept to be reprocessed, with this reason. The event of its end must be there first.
    DeadLetter(String),
}

/// What becomes of a delivery whose work stands so.
pub fn settle(standing: Standing) -> Settlement {
    match standing {
        // Should its holder die, the reconciler publishes it again.
        Standing::Ended | Standing::Held => Settlement::Acknowledge,
        Standing::Dead(reason) => Settlement::DeadLetter(reason),
        Standing::Waiting(delay) => Settlement::RetryLater(delay),
        // The lease ran out after the claim was refused: the next delivery claims it.
        Standing::Lost => Settlement::RetryLater(Duration::ZERO),
        Standing::Exhausted => Settlement::Expire,
    }
}

fn reason(error: Option<&CommandError>) -> String {
    error.map_or_else(
        || "the command ended in ERROR".to_owned(),
        |error| format!("{}: {}", error.code, error.message),
    )
}
