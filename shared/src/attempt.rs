//! An attempt at a command, and why one failed.

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, millis};

/// So many of a command's attempts are kept: the latest.
pub const ATTEMPTS_KEPT: usize = 20;
/// The most characters of an error's message that are kept: 16 KB at the most.
const MESSAGE_CHARS: usize = 4_000;
/// The same of an attempt's error, of which a command keeps many.
const ATTEMPT_MESSAGE_CHARS: usize = 500;

/// Why a command ended in ERROR, or why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandError {
    /// A stable code, such as `lease_lost`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether another attempt could have helped.
    pub retryable: bool,
}

impl CommandError {
    /// An error with that stable code; a message that is too long is cut.
    pub fn new(code: &str, message: &str, retryable: bool) -> Self {
        Self { code: code.to_owned(), message: cut(message, MESSAGE_CHARS), retryable }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptOutcome {
    /// The command took effect.
    Success,
    /// It failed, and the command ended with it.
    Error,
    /// It failed, and another one follows.
    Retry,
    /// Its worker was stopped, and gave the command back.
    Released,
    /// Its worker was not heard of until its lease had passed.
    LeaseLost,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    #[serde(with = "millis")]
    pub started_at: Timestamp,
    /// When it ended; none where its worker was lost, or is at it.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How it ended; the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CommandError>,
}

impl Attempt {
    /// One that begins.
    pub fn begun(started_at: Timestamp) -> Self {
        Self { started_at, ended_at: None, outcome: None, error: None }
    }

    /// The same, ended.
    pub fn ended(self, ended_at: Timestamp, outcome: AttemptOutcome, error: Option<&CommandError>) -> Self {
        let error = error
            .map(|error| CommandError { message: cut(&error.message, ATTEMPT_MESSAGE_CHARS), ..error.clone() });
        Self { ended_at: Some(ended_at), outcome: Some(outcome), error, ..self }
    }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
