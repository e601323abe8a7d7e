//! Configuration of the workers, from the environment.

use std::time::Duration;

use chrono::{Days, Utc};
use croner::Cron;
use painel_shared::config::{ConfigError, Vars};

/// How much a worker does at once, and how it ends.
#[derive(Clone, Copy, Debug)]
pub struct WorkerConfig {
    /// `PAINEL_WORKER_CONCURRENCY`, default 32: jobs executed at once.
    pub concurrency: usize,
    /// `PAINEL_DRAIN_SECONDS`, default 20: how long running jobs may go on after SIGTERM; then they are
    /// given back.
    pub drain_deadline: Duration,
}

impl WorkerConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let concurrency = vars.number_or("PAINEL_WORKER_CONCURRENCY", 32)?;
        Ok(Self {
            concurrency: usize::try_from(concurrency)
                .map_err(|_| ConfigError::new("PAINEL_WORKER_CONCURRENCY", "is too large"))?,
            drain_deadline: vars.seconds_or("PAINEL_DRAIN_SECONDS", 20)?,
        })
    }
}

/// Where agents run.
#[derive(Clone, Debug)]
pub struct AgentRuntimeConfig {
    /// `PAINEL_AGENT_RUNTIME_URL`, required by the restart-agent worker.
    pub url: String,
    /// `PAINEL_AGENT_RUNTIME_TIMEOUT_MS`, default 5000: the time limit of one call.
    pub call_limit: Duration,
}

impl AgentRuntimeConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self {
            url: vars.required_secure_url("PAINEL_AGENT_RUNTIME_URL")?,
            call_limit: vars.millis_or("PAINEL_AGENT_RUNTIME_TIMEOUT_MS", 5_000)?,
        })
    }
}

/// When days are rolled up, and how long raw requests are held.
#[derive(Clone, Debug)]
pub struct RollupConfig {
    /// `PAINEL_ROLLUP_CRON`, default `0 2 * * *`: when yesterday is rolled up, in UTC.
    pub schedule: Cron,
    /// `PAINEL_ROLLUP_LATE_SECONDS`, default 60: the pause between two looks for late requests.
    pub late_pause: Duration,
    /// `PAINEL_RAW_RETENTION_DAYS`, default 90: how many days of raw requests are held; older ones are detached once
    /// they have been rolled up.
    pub retention: Days,
}

impl RollupConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let expression = vars.text_or("PAINEL_ROLLUP_CRON", "0 2 * * *");
        let wrong =
            |problem: String| ConfigError::new("PAINEL_ROLLUP_CRON", format!("is `{expression}`; {problem}"));
        let schedule: Cron = expression
            .parse()
            .map_err(|error| wrong(format!("it must be a cron expression like `0 2 * * *`: {error}")))?;
        if schedule.find_next_occurrence(&Utc::now(), false).is_err() {
            return Err(wrong("that time never comes".to_owned()));
        }
        Ok(Self {
            schedule,
            late_pause: vars.seconds_or("PAINEL_ROLLUP_LATE_SECONDS", 60)?,
            retention: Days::new(vars.number_or("PAINEL_RAW_RETENTION_DAYS", 90)?.min(36_500)),
        })
    }
}

/// How often the scheduler looks for what got lost.
#[derive(Clone, Copy, Debug)]
pub struct ReconcilerConfig {
    /// `PAINEL_RECONCILE_MS`, default 2000: the pause between two rounds.
    pub pause: Duration,
}

impl ReconcilerConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self { pause: vars.millis_or("PAINEL_RECONCILE_MS", 2_000)? })
    }
}
