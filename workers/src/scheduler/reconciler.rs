//! What got lost is published again.
//!
//! The command store is the truth, so the queue may forget everything: a PENDING command that has waited
//! too long, and a RUNNING one whose lease has passed, are given a new job. Of several replicas, the one
//! whose conditional write moves `next_publish_at` publishes.
//!
//! A round is bounded: it publishes at most [`BATCH`] commands, a few at a time, and none to a queue that
//! already holds [`QUEUE_FULL_ENOUGH`] jobs. Those commands are most likely not lost but waiting, and new
//! work must not stand behind copies of old work. The pause between rounds is drawn at random around the
//! configured one, so that replicas do not go in step.

use std::{collections::HashSet, time::Duration};

use futures::{StreamExt, stream};
use painel_shared::{
    command::{Command, Status},
    command_store::{ReadOn, StoreError, Write},
    db, dispatch,
    planted::{Bug, planted},
    queue::{Depth, WorkQueue},
    retry::RetryPolicy,
    rollup,
    stores::Stores,
    time::{Timestamp, now},
};
use tokio_util::sync::CancellationToken;

use crate::{config::ReconcilerConfig, execute::record_end};

/// How many commands one round publishes again at most.
const BATCH: usize = 1_000;
/// How many are published at once.
const AT_ONCE: usize = 16;
/// A queue with so many jobs waiting gets no copies of what may be among them.
const QUEUE_FULL_ENOUGH: u64 = 1_000;

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
    /// Rollup runs published again.
    pub runs_republished: u64,
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
                tokio::time::sleep(jittered(self.config.pause)).await;
            }
        };
        shutdown.run_until_cancelled(rounds).await;
    }

    /// One round over what is overdue: what lost its worker first, then what waits, oldest first.
    pub async fn round(&self) -> Result<Round, StoreError> {
        if planted(Bug::NoReconciler) {
            return Ok(Round::default());
        }
        let at = now();
        let full = self.survey_queues().await;
        let (mut round, mut found) = (Round::default(), 0_u32);
        let mut oldest: Option<Timestamp> = None;
        for status in [Status::Running, Status::Pending] {
            let mut from = ReadOn::default();
            loop {
                let (overdue, on) = self.stores.commands.find_overdue(status, at, from).await?;
                found = found.saturating_add(u32::try_from(overdue.len()).unwrap_or(u32::MAX));
                oldest = overdue.iter().map(|command| command.key.created_at).chain(oldest).min();
                let room = BATCH.saturating_sub(usize::try_from(round.republished).unwrap_or(BATCH));
                let mut due = overdue;
                due.retain(|command| !full.contains(&command.command_type.queue()));
                due.truncate(room);
                round.republished += self.republish_all(due).await;
                if on.is_done() || room == 0 {
                    break;
                }
                from = on;
            }
        }
        round.runs_republished = self.republish_runs().await;
        round.audited = self.write_owed_events().await?;
        let age = oldest.map_or(0, |oldest| (at - oldest).num_seconds().max(0));
        metrics::gauge!("painel_overdue_commands").set(found);
        metrics::gauge!("painel_oldest_overdue_seconds").set(u32::try_from(age).unwrap_or(u32::MAX));
        Ok(round)
    }

    /// Publishes these again, a few at a time; how many. One that fails is met again in the next round.
    async fn republish_all(&self, due: Vec<Command>) -> u64 {
        let published = stream::iter(due).map(|command| self.republish(command)).buffer_unordered(AT_ONCE);
        let count = published.filter_map(|outcome| async {
            outcome.inspect_err(|error| tracing::warn!(%error, "a command was not published again")).ok()
        });
        count.fold(0, |sum, published| async move { sum + u64::from(published) }).await
    }

    /// Measures the queues; those that hold so much that a copy would only stand in the way. One that does
    /// not answer is not among them: publishing will tell.
    async fn survey_queues(&self) -> HashSet<WorkQueue> {
        let asked = WorkQueue::all().map(|queue| async move { (queue, self.stores.queue.depth(queue).await) });
        let mut full = HashSet::new();
        for (queue, depth) in futures::future::join_all(asked).await {
            let Ok(depth) = depth else { continue };
            measure(queue, depth);
            if depth.ready >= QUEUE_FULL_ENOUGH {
                full.insert(queue);
            }
        }
        full
    }

    /// Publishes a command again, if no other replica has: the write comes before the job.
    async fn republish(&self, found: Command) -> Result<bool, StoreError> {
        let Write::Done(command) = self.stores.commands.republish(&found).await? else { return Ok(false) };
        let kind = command.command_type.name();
        tracing::info!(command.id = %command.id(), kind, status = command.status.as_str(), "publishing again");
        metrics::counter!("painel_commands_republished_total", "kind" => kind).increment(1);
        if dispatch::publish(&self.stores, &command).await {
            return Ok(true);
        }
        // The wait that was set is for a queue that has the job.
        self.stores.commands.publish_failed(&command).await?;
        Ok(false)
    }

    /// Publishes rollup runs again that waited too long, by the same rule. Without PostgreSQL there is nothing to do.
    async fn republish_runs(&self) -> u64 {
        let taken = db::within_limit(rollup::take_overdue(self.stores.db.service())).await;
        let runs = taken.unwrap_or_else(|error| {
            tracing::warn!(%error, "PostgreSQL did not answer; rollup runs are looked for in the next round");
            Vec::new()
        });
        let mut published = 0;
        for run in runs {
            tracing::info!(run.id = %run.id, run.day = %run.day, "publishing a rollup job again");
            metrics::counter!("painel_commands_republished_total", "kind" => rollup::KIND).increment(1);
            published += u64::from(rollup::publish(&self.stores, &run).await);
        }
        published
    }

    /// Writes the events of commands that ended while PostgreSQL was down.
    async fn write_owed_events(&self) -> Result<u64, StoreError> {
        let mut written = 0;
        for command in self.stores.commands.find_unaudited().await? {
            if !command.status.is_final() {
                continue;
            }
            let recorded = async { record_end(&mut *self.stores.db.service().acquire().await?, &command).await };
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
}

fn measure(queue: WorkQueue, depth: Depth) {
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

/// Between half of the pause and one and a half of it.
fn jittered(pause: Duration) -> Duration {
    let policy = RetryPolicy { max_attempts: 1, base: pause, cap: pause };
    pause / 2 + policy.delay(1)
}
