//! How jobs travel.

use std::time::Duration;

use super::{ConfigError, Vars};

/// The transport and its limits.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// `PAINEL_SQS_ENDPOINT`: where SQS is, if not at AWS.
    pub endpoint_url: Option<String>,
    /// `PAINEL_QUEUE_PREFIX`, default `painel`: what the queues' names begin with.
    pub prefix: String,
    /// `PAINEL_QUEUE_VISIBILITY_SECONDS`, default 30: how long a delivered job is hidden from others;
    /// kept up while its handler runs.
    pub visibility: Duration,
    /// `PAINEL_QUEUE_TIMEOUT_MS`, default 500: the time limit of one call. A job that is not taken
    /// within it is published later by the reconciler.
    pub call_limit: Duration,
}

impl QueueConfig {
    /// Reads the variables named above, and `PAINEL_QUEUE` (default `sqs`), the transport.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        vars.word_or("PAINEL_QUEUE", &[("sqs", ())], ())?;
        Ok(Self {
            endpoint_url: vars.url("PAINEL_SQS_ENDPOINT", &["http", "https"])?,
            prefix: vars.text_or("PAINEL_QUEUE_PREFIX", "painel"),
            visibility: vars.seconds_or("PAINEL_QUEUE_VISIBILITY_SECONDS", 30)?,
            call_limit: vars.millis_or("PAINEL_QUEUE_TIMEOUT_MS", 500)?,
        })
    }
}
