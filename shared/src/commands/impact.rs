//! What a command would touch: told before it is sent, by the file of its type.

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    db::Bound,
    ids::{CommandId, JobId},
    time::Timestamp,
    work_queue::WorkQueue,
};

/// What a command would touch.
#[derive(Debug, Default)]
pub struct Impact {
    /// Finds what its parameters name, as it is now.
    pub target: Option<Bound<Target>>,
    /// The dead letters that it would move.
    pub dead_letters: Option<DeadLetters>,
    /// What is done then and cannot be undone; none where nothing is.
    pub irreversible: Option<&'static str>,
}

/// What a command names, as it is now.
#[derive(Debug, FromRow)]
pub struct Target {
    /// Which.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// How it stands.
    pub status: String,
    /// When it was last of use.
    pub last_used_at: Option<Timestamp>,
    /// How often it was asked in the last hour, where that is counted.
    pub requests_last_hour: Option<i64>,
    /// How often it was asked in the last day.
    pub requests_last_day: Option<i64>,
}

/// Some of a queue's dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// Of which queue.
    pub queue: WorkQueue,
    /// How many at most.
    pub at_most: u32,
    /// Only these jobs, where any are named.
    pub jobs: Option<Vec<JobId>>,
    /// Only those of these commands, where any are named.
    pub commands: Option<Vec<CommandId>>,
}

impl DeadLetters {
    /// How many of so many would move, at most.
    pub fn of(&self, dead: u64) -> u64 {
        let named = self.jobs.as_ref().and_then(|jobs| u64::try_from(jobs.len()).ok()).unwrap_or(u64::MAX);
        dead.min(self.at_most.into()).min(named)
    }
}

/// What is told of a command that touched a tenant, to that tenant.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Where it took effect.
    pub done: &'static str,
    /// Where it did not.
    pub not_done: &'static str,
}
