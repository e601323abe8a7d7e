//! The envelope on the queue: what a worker must know to find its work. Parameters stay in the store.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    command::{Command, CommandKey},
    commands::CommandType,
    ids::{JobId, RunId, TenantId},
    rollup::{self, RollupRun},
    time::{Timestamp, millis, now},
    trace::TraceContext,
    work_queue::WorkQueue,
};

/// The one version of the envelope.
pub const VERSION: u64 = 1;

/// A job on its way to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    version: u64,
    /// This publishing; a retry of the same message keeps it.
    pub job_id: JobId,
    /// The kind of work.
    pub kind: JobKind,
    /// What is to be done.
    #[serde(flatten)]
    pub work: Work,
    /// The tenant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// When it was published.
    #[serde(with = "millis")]
    pub published_at: Timestamp,
    /// The trace it continues.
    pub traceparent: TraceContext,
}

/// A kind of work, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum JobKind {
    /// A command of that type is to be executed.
    Command(CommandType),
    /// A day is to be rolled up.
    MetricsRollup,
}

impl JobKind {
    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            rollup::KIND => Some(Self::MetricsRollup),
            name => CommandType::named(name).map(Self::Command),
        }
    }

    /// The queue that carries it.
    pub fn queue(self) -> WorkQueue {
        match self {
            Self::Command(command_type) => command_type.queue(),
            Self::MetricsRollup => rollup::QUEUE,
        }
    }

    /// Its name, such as `HEALTH_CHECK`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command(command_type) => command_type.name(),
            Self::MetricsRollup => rollup::KIND,
        }
    }
}

impl From<JobKind> for String {
    fn from(kind: JobKind) -> Self {
        kind.name().to_owned()
    }
}

impl TryFrom<String> for JobKind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::named(&name).ok_or_else(|| format!("unknown kind {name}"))
    }
}

/// What a job is about; all else is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Work {
    /// This command.
    Command(CommandKey),
    /// This run over this range of days, both ends included.
    Rollup {
        /// The run.
        run_id: RunId,
        /// The first day.
        from: NaiveDate,
        /// The last day.
        to: NaiveDate,
    },
}

/// Why bytes from a queue are no job. Such a message is dead-lettered with this as its reason.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableJob {
    /// Not JSON, or not an object with the envelope's fields.
    #[error("not an envelope: {0}")]
    NotAnEnvelope(#[from] serde_json::Error),
    /// An envelope of a version that this build does not know.
    #[error("unknown envelope version {0}; this build knows {VERSION}")]
    UnknownVersion(Value),
    /// A kind of work that this build does not know.
    #[error("unknown kind of job {0}")]
    UnknownKind(Value),
    /// An envelope that is not about what its kind does.
    #[error("a {0} job does not say what it is about")]
    WrongWork(&'static str),
}

impl Job {
    /// A job for `command`, under a fresh id.
    pub fn for_command(command: &Command) -> Self {
        Self {
            version: VERSION,
            job_id: JobId::fresh(),
            kind: JobKind::Command(command.command_type),
            work: Work::Command(command.key),
            tenant_id: command.tenant_id,
            published_at: now(),
            traceparent: command.traceparent,
        }
    }

    /// A job for `run`, under a fresh id.
    pub fn for_run(run: &RollupRun) -> Self {
        Self {
            version: VERSION,
            job_id: JobId::fresh(),
            kind: JobKind::MetricsRollup,
            work: Work::Rollup { run_id: run.id, from: run.day, to: run.day },
            tenant_id: run.tenant_id,
            published_at: now(),
            traceparent: run.traceparent,
        }
    }

    /// The queue that carries it.
    pub fn queue(&self) -> WorkQueue {
        self.kind.queue()
    }

    /// The envelope as it goes over the wire.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads an envelope; version and kind are looked at first, so that the reason is the right one.
    pub fn decode(body: &str) -> Result<Self, UnreadableJob> {
        let envelope: Value = serde_json::from_str(body)?;
        if let Some(version) = envelope.get("version").filter(|found| found.as_u64() != Some(VERSION)) {
            return Err(UnreadableJob::UnknownVersion(version.clone()));
        }
        let known = |kind: &Value| kind.as_str().and_then(JobKind::named).is_some();
        if let Some(kind) = envelope.get("kind").filter(|found| !known(found)) {
            return Err(UnreadableJob::UnknownKind(kind.clone()));
        }
        let job: Self = serde_json::from_value(envelope)?;
        match (job.kind, job.work) {
            (JobKind::Command(_), Work::Command(_)) | (JobKind::MetricsRollup, Work::Rollup { .. }) => Ok(job),
            (kind, _) => Err(UnreadableJob::WrongWork(kind.name())),
        }
    }
}
