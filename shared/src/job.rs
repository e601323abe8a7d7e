//! The envelope on the queue: what a worker must know to find its work. Parameters stay in the store.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    command::{Command, CommandKey},
    commands::CommandType,
    ids::{JobId, TenantId},
    time::{Timestamp, millis, now},
    trace::TraceContext,
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
    pub kind: CommandType,
    /// The command to execute.
    #[serde(flatten)]
    pub command: CommandKey,
    /// The tenant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// When it was published.
    #[serde(with = "millis")]
    pub published_at: Timestamp,
    /// The trace it continues.
    pub traceparent: TraceContext,
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
}

impl Job {
    /// A job for `command`, under a fresh id.
    pub fn for_command(command: &Command) -> Self {
        Self {
            version: VERSION,
            job_id: JobId::fresh(),
            kind: command.command_type,
            command: command.key,
            tenant_id: command.tenant_id,
            published_at: now(),
            traceparent: command.traceparent,
        }
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
        let known = |kind: &Value| kind.as_str().and_then(CommandType::named).is_some();
        if let Some(kind) = envelope.get("kind").filter(|found| !known(found)) {
            return Err(UnreadableJob::UnknownKind(kind.clone()));
        }
        Ok(serde_json::from_value(envelope)?)
    }
}
