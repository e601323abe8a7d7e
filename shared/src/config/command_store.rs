//! Where commands are kept.

use std::time::Duration;

use super::{ConfigError, Vars};

/// The table of commands, and how long a worker holds one.
#[derive(Clone, Debug)]
pub struct CommandStoreConfig {
    /// `PAINEL_DYNAMODB_ENDPOINT`: where DynamoDB is, if not at AWS.
    pub endpoint_url: Option<String>,
    /// `PAINEL_DYNAMODB_TABLE`, default `operational_commands`.
    pub table: String,
    /// `PAINEL_LEASE_SECONDS`, default 30: how long a claim lasts; renewed at each third of it.
    pub lease: Duration,
    /// `PAINEL_DYNAMODB_TIMEOUT_MS`, default 1500: the time limit of one try of a call; there are
    /// up to three.
    pub attempt_limit: Duration,
}

impl CommandStoreConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self {
            endpoint_url: vars.url("PAINEL_DYNAMODB_ENDPOINT", &["http", "https"])?,
            table: vars.text_or("PAINEL_DYNAMODB_TABLE", "operational_commands"),
            lease: vars.seconds_or("PAINEL_LEASE_SECONDS", 30)?,
            attempt_limit: vars.millis_or("PAINEL_DYNAMODB_TIMEOUT_MS", 1_500)?,
        })
    }
}
