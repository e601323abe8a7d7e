//! Logs and metrics.

use std::net::SocketAddr;

use super::{ConfigError, Vars};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is logged, and where metrics are served.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `PAINEL_LOG`, default `info`: a filter such as `info,painel_workers=debug`.
    pub filter: String,
    /// `PAINEL_LOG_FORMAT`: `json` or `text`; by default text on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// `PAINEL_ADMIN_ADDR`: where `/metrics` is served; nowhere by default.
    pub admin_address: Option<SocketAddr>,
}

impl TelemetryConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let formats = [("json", Some(LogFormat::Json)), ("text", Some(LogFormat::Text))];
        Ok(Self {
            filter: vars.text_or("PAINEL_LOG", "info"),
            format: vars.word_or("PAINEL_LOG_FORMAT", &formats, None)?,
            admin_address: vars.address("PAINEL_ADMIN_ADDR")?,
        })
    }
}
