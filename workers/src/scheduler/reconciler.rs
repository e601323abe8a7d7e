//! What got lost is published again.
//!
//! The command store is the truth, so the queue may forget everything: a PENDING command that has waited
//! too long, and a RUNNING one whose lease has passed, are given a new job. Of several replicas, the one
//! whose conditional write moves `next_publish_at` publishes.

use painel_shared::{
    command::{Command, Status},
    command_store::{ReadOn, StoreError, Write},
    db, dispatch,
    queue::WorkQueue,
    stores::Stores,
    time::{Timestamp, now},
};
use tokio_util::sync::CancellationToken;

use crate::{config::ReconcilerConfig, execute::record_end};

/// Looks after what got lost.
#[derive(Clone, Debug)]
pub struct Reconciler {
    stores: Stores,
    config: ReconcilerConfig,
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Commands published again.
    pub republished: u64,
    /// Audit events written that were owed.
    pub audited: u64,
}

impl Reconciler {
    /// A reconciler of these stores.
    pub fn new(stores: Stores, config: ReconcilerConfig) -> Self {
        Self { stores, config }
    }

    /// Goes round until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let rounds = async {
            loop {
                if let Err(error) = self.round().await {
                    tracing::warn!(%error, "the round was not finished; the next one goes on");
                }
                self.measure_queues().await;
                tokio::time::sleep(self.config.pause).await;
            }
        };
        shutdown.run_until_cancelled(rounds).await;
    }

    /// One round over everything that is overdue.
    pub async fn round(&self) -> Result<Round, StoreError> {
        let at = now();
        let mut round = Round::default();
        let mut oldest: Option<Timestamp> = None;
        for status in [Status::Running, Status::Pending] {
            let mut from = ReadOn::default();
            loop {
                let (overdue, on) = self.stores.commands.find_overdue(status, at, from).await?;
                for command in overdue {
                    oldest = oldest.into_iter().chain([command.key.created_at]).min();
                    round.republished += u64::from(self.republish(&command).await?);
                }
                if on.is_done() {
                    break;
                }
                from = on;
            }
        }
        round.audited = self.write_owed_events().await?;
        let age = oldest.map_or(0, |oldest| (at - oldest).num_seconds().max(0));
        metrics::gauge!("painel_oldest_overdue_seconds").set(u32::try_from(age).unwrap_or(u32::MAX));
        Ok(round)
    }

    /// Publishes a command again, if no other replica has: the write comes before the job.
    async fn republish(&self, found: &Command) -> Result<bool, StoreError> {
        let Write::Done(command) = self.stores.commands.republish(found).await? else { return Ok(false) };
        let kind = command.command_type.name();
        tracing::info!(command.id = %command.id(), kind, status = command.status.as_str(), "publishing again");
        metrics::counter!("painel_commands_republished_total", "kind" => kind).increment(1);
        Ok(dispatch::publish(&self.stores, &command).await)
    }

    /// Writes the events of commands that ended while PostgreSQL was down.
    async fn write_owed_events(&self) -> Result<u64, StoreError> {
        let mut written = 0;
        for command in self.stores.commands.find_unaudited().await? {
            if !command.status.is_final() {
                continue;
            }
            let recorded = async { record_end(&mut *self.stores.db.acquire().await?, &command).await };
            if let Err(error) = db::within_limit(recorded).await {
                tracing::warn!(%error, "PostgreSQL did not answer; the events stay owed");
                return Ok(written);
            }
            self.stores.commands.settle_audit(&command.key).await?;
            metrics::counter!("painel_audit_events_recovered_total").increment(1);
            written += 1;
        }
        Ok(written)
    }

    async fn measure_queues(&self) {
        for queue in WorkQueue::all() {
            let Ok(depth) = self.stores.queue.depth(queue).await else { continue };
            let gauge = |name: &'static str, value: u64| {
                let value = u32::try_from(value).unwrap_or(u32::MAX);
                metrics::gauge!(name, "queue" => queue.name()).set(value);
            };
            gauge("painel_queue_ready", depth.ready);
            if let Some(in_flight) = depth.in_flight {
                gauge("painel_queue_in_flight", in_flight);
            }
            gauge("painel_queue_dead", depth.dead);
        }
    }
}
