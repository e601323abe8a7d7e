//! What becomes of an attempt, and what becomes of a delivery: pure.
//!
//! A delivery is settled by what the store says of its command, whatever way it got there: so a crash at
//! any point, and a second delivery, lead to the same end.

use std::time::Duration;

use painel_shared::{
    command::{Command, CommandError, Status},
    time::Timestamp,
};

use crate::handler::ResultMap;

/// What becomes of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The command ends in SUCCESS.
    Succeed(ResultMap),
    /// It is tried again.
    Retry(CommandError),
    /// It ends in ERROR.
    Fail {
        /// Why.
        error: CommandError,
        /// Whether more attempts might have helped, so that its message is kept.
        dead_letter: bool,
    },
}

/// What becomes of an attempt with that outcome.
pub fn decide(command: &Command, outcome: Result<ResultMap, CommandError>) -> Decision {
    match outcome {
        Ok(result) => Decision::Succeed(result),
        Err(error) if !error.retryable => Decision::Fail { error, dead_letter: false },
        Err(error) if command.attempt < command.max_attempts => Decision::Retry(error),
        Err(error) => Decision::Fail { error, dead_letter: true },
    }
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done with. Where the command has ended, the event of its end must be there first.
    Acknowledge,
    /// It comes back later.
    RetryLater(Duration),
    /// The command's last attempt lost its lease: end it, then settle again.
    Expire,
    /// It is kept to be reprocessed, with this reason.
    DeadLetter(String),
}

/// What becomes of a delivery whose command stands so in the store.
pub fn settle(command: &Command, now: Timestamp) -> Settlement {
    match command.status {
        Status::Success => Settlement::Acknowledge,
        Status::Error if command.dead_letter => Settlement::DeadLetter(reason(command)),
        Status::Error => Settlement::Acknowledge,
        Status::Pending => Settlement::RetryLater((command.not_before - now).to_std().unwrap_or_default()),
        // Should its holder die, the reconciler publishes it again.
        Status::Running if !command.lease_expired(now) => Settlement::Acknowledge,
        Status::Running if command.attempt >= command.max_attempts => Settlement::Expire,
        // The lease ran out after the claim was refused: the next delivery claims it.
        Status::Running => Settlement::RetryLater(Duration::ZERO),
    }
}

fn reason(command: &Command) -> String {
    match &command.error {
        Some(error) => format!("{}: {}", error.code, error.message),
        None => "the command ended in ERROR".to_owned(),
    }
}
