//! REPROCESS_QUEUE: move dead letters back to their queue.

use std::time::Duration;

use serde::Serialize;

use super::{DeadLetters, Fault, Fields, Impact, Outcome, Parameters, TenantRule};
use crate::{
    ids::{CommandId, JobId, TenantId},
    work_queue::WorkQueue,
};

const DEFAULT_COUNT: u32 = 1_000;
const MAX_COUNT: u32 = 10_000;
const MAX_IDS: usize = 100;

/// Which queue's dead letters, and how many.
#[derive(Debug, Serialize)]
pub struct ReprocessQueue {
    /// The work queue whose dead letters are moved.
    pub queue_name: WorkQueue,
    /// How many jobs are moved at most.
    pub message_count: u32,
    /// Only these jobs, where given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_ids: Option<Vec<JobId>>,
    /// Only the jobs of these commands, where given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_ids: Option<Vec<CommandId>>,
}

impl Parameters for ReprocessQueue {
    const NAME: &'static str = "REPROCESS_QUEUE";
    const QUEUE: WorkQueue = WorkQueue::new("painel.reprocess-queue");
    const TENANT: TenantRule = TenantRule::Absent;
    const TIMEOUT: Duration = Duration::from_secs(600);
    const TARGET: Option<&'static str> = Some("queue_name");
    const OUTCOME: Outcome = Outcome {
        done: "Dead jobs were given back to their queue.",
        not_done: "Dead jobs were not given back to their queue.",
    };

    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required::<String>("queue_name");
        let message_count = fields.optional("message_count").unwrap_or(DEFAULT_COUNT);
        let message_ids = fields.optional::<Vec<JobId>>("message_ids");
        if !(1..=MAX_COUNT).contains(&message_count) {
            fields.refuse("message_count", Fault::OutOfRange { min: 1, max: MAX_COUNT });
        }
        if message_ids.as_ref().is_some_and(|ids| !(1..=MAX_IDS).contains(&ids.len())) {
            fields.refuse("message_ids", Fault::BadCount { min: 1, max: MAX_IDS });
        }
        let command_ids = fields.optional::<Vec<CommandId>>("command_ids");
        if command_ids.as_ref().is_some_and(|ids| !(1..=MAX_IDS).contains(&ids.len())) {
            fields.refuse("command_ids", Fault::BadCount { min: 1, max: MAX_IDS });
        }
        if message_ids.is_some() && command_ids.is_some() {
            fields.refuse("command_ids", Fault::NotBeside { other: "message_ids" });
        }
        let queue_name = name.and_then(|name| {
            let known = WorkQueue::named(&name);
            if known.is_none() {
                fields.refuse("queue_name", Fault::not_one_of(WorkQueue::all().map(WorkQueue::name)));
            }
            known
        })?;
        Some(Self { queue_name, message_count, message_ids, command_ids })
    }

    fn impact(&self, _: Option<TenantId>) -> Impact {
        let dead_letters = DeadLetters {
            queue: self.queue_name,
            at_most: self.message_count,
            jobs: self.message_ids.clone(),
            commands: self.command_ids.clone(),
        };
        Impact {
            dead_letters: Some(dead_letters),
            irreversible: Some("What is executed again takes effect."),
            ..Impact::default()
        }
    }
}
