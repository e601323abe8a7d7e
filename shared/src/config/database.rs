//! The relational store.

use std::time::Duration;

use secrecy::SecretString;

use super::{ConfigError, Vars};

/// PostgreSQL and the pool of connections to it.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `PAINEL_DATABASE_URL`, required: `postgres://user:password@host/database`.
    pub url: SecretString,
    /// `PAINEL_DATABASE_POOL`, default 10: connections at most.
    pub max_connections: u32,
    /// `PAINEL_DATABASE_TIMEOUT_MS`, default 5000: how long to wait for a connection, and for a statement.
    pub call_limit: Duration,
    /// `PAINEL_DATABASE_CONNECTION_SECONDS`, default 1800: how long a connection is kept.
    pub connection_lifetime: Duration,
}

impl DatabaseConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let url = vars.required_url("PAINEL_DATABASE_URL", &["postgres", "postgresql"])?;
        let max = vars.number_or("PAINEL_DATABASE_POOL", 10)?;
        Ok(Self {
            url: SecretString::from(url),
            max_connections: u32::try_from(max)
                .map_err(|_| ConfigError::new("PAINEL_DATABASE_POOL", "is too large"))?,
            call_limit: vars.millis_or("PAINEL_DATABASE_TIMEOUT_MS", 5_000)?,
            connection_lifetime: vars.seconds_or("PAINEL_DATABASE_CONNECTION_SECONDS", 1_800)?,
        })
    }
}
