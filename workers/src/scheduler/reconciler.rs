//! What got lost is published again.
//!
//! The stores are the truth, so the queue may forget everything: what has waited too long, and what is held by a lease
//! that has passed, is given a new job. Of several replicas, the one whose conditional write moves the time of the next
//! publishing publishes.
//!
//! A round costs what is due, not what is stored. It is bounded in what it takes on, and in what each queue can take: on
//! one that does not answer, a round publishes the first few, and moves some more out of the way of the other queues'.
//! What lost its worker and what waits for another attempt is published whatever the queue holds. What waits for its
//! first attempt while its queue is long is most likely in it: such a command is only put off, as new work must not stand
//! behind copies of old work.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream};
use painel_shared::{
    command::{Command, DueKind},
    command_store::{StoreError, Write},
    dispatch,
    ids::RunId,
    planted::{Bug, planted},
    queue::{Depth, WorkQueue},
    retry::{RetryPolicy, reconnect_delays},
    rollup::{self, RollupRun},
    stores::Stores,
    time::{Timestamp, now},
};
use tokio_util::sync::CancellationToken;

use crate::{command_work::write_owed_event, config::ReconcilerConfig, work::WorkError};

/// How many commands of each kind one round takes on at most.
const COMMANDS: u32 = 1_000;
/// How many runs one round takes on at most.
const RUNS: i64 = 200;
/// How many are published at once.
const AT_ONCE: usize = 16;
/// A queue with so many jobs waiting gets no copies of what may be among them.
const LONG_QUEUE: u64 = 1_000;
/// After so many jobs that a queue did not take, a round publishes no more on it.
const FAILURES: u32 = 4;
/// How many commands of each kind of such queues a round moves out of the way of the others, which may be due after them.
const ASIDE: u32 = 250;

/// Adoption reads all that is open: where it fails it is not to be done over and over.
const ADOPTION: RetryPolicy =
    RetryPolicy { max_attempts: u32::MAX, base: Duration::from_secs(1), cap: Duration::from_secs(120) };

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
    /// Commands put off, as they most likely are in a long queue.
    pub put_off: u64,
    /// Rollup runs published again.
    pub runs_republished: u64,
    /// Audit events written that were owed.
    pub audited: u64,
}

/// The state of the queues, as one round finds it.
#[derive(Debug, Default)]
struct Publishing {
    queues: HashMap<WorkQueue, QueueState>,
    /// How many more of this kind may be put off because their queue takes nothing.
    aside: AtomicU32,
}

#[derive(Debug, Default)]
struct QueueState {
    /// None where it did not say.
    ready: Option<u64>,
    /// Jobs that it did not take.
    refused: AtomicU32,
}

impl Publishing {
    /// Whether a round publishes no more on that queue.
    fn has_given_up(&self, queue: WorkQueue) -> bool {
        self.queues.get(&queue).is_some_and(|state| state.refused.load(Ordering::Relaxed) >= FAILURES)
    }

    /// Whether none of the queues seems to be there.
    fn is_away(&self) -> bool {
        self.queues.values().all(|state| state.ready.is_none())
            && self.queues.keys().any(|queue| self.has_given_up(*queue))
    }

    /// Whether a copy of that command's job would only stand in the way.
    fn is_most_likely_queued(&self, command: &Command) -> bool {
        let ready = self.queues.get(&command.command_type.queue()).and_then(|state| state.ready);
        command.due().is_some_and(|due| due.kind == DueKind::New) && ready.is_some_and(|ready| ready >= LONG_QUEUE)
    }

    /// Whether there is a place left among what is put off because its queue takes nothing.
    fn takes_aside(&self) -> bool {
        let left = |left: u32| left.checked_sub(1);
        self.aside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }

    /// Notes whether the queue took a job.
    fn took(&self, queue: WorkQueue, taken: bool) -> bool {
        if let (false, Some(state)) = (taken, self.queues.get(&queue)) {
            state.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}

/// What was done about a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Published,
    PutOff,
    /// Another replica was faster, or the queue did not take it.
    Nothing,
}

impl Reconciler {
    /// A reconciler of these stores.
    pub fn new(stores: Stores, config: ReconcilerConfig) -> Self {
        Self { stores, config }
    }

    /// Goes round until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.go_on()).await;
    }

    async fn go_on(&self) {
        tokio::join!(self.adopt(), self.go_round());
    }

    /// Takes in what a build from before the index of what is due has left open, once.
    async fn adopt(&self) {
        let mut failures = 0;
        while let Err(error) = self.stores.commands.adopt().await {
            tracing::warn!(%error, "open commands were not looked through; it is tried again");
            failures += 1;
            tokio::time::sleep(ADOPTION.pause(failures)).await;
        }
    }

    async fn go_round(&self) {
        let mut delays = reconnect_delays();
        loop {
            match self.round().await {
                Ok(_) => {
                    delays = reconnect_delays();
                    tokio::time::sleep(jittered(self.config.pause)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the round was not finished; the next one goes on");
                    let delay = delays.next().unwrap_or(self.config.pause);
                    tokio::time::sleep(delay + jittered(self.config.pause)).await;
                }
            }
        }
    }

    /// One round over what is due. What one store does not do keeps nothing from the others.
    pub async fn round(&self) -> Result<Round, WorkError> {
        if planted(Bug::NoReconciler) {
            return Ok(Round::default());
        }
        let publishing = Publishing { queues: self.survey_queues().await, ..Publishing::default() };
        let (commands, runs, audited) = tokio::join!(
            self.publish_commands(&publishing),
            self.publish_runs(&publishing),
            self.write_owed_events(),
        );
        let (republished, put_off) = commands?;
        Ok(Round { republished, put_off, runs_republished: runs?, audited: audited? })
    }

    /// Publishes commands again, the most urgent kind first: how many, and how many were put off.
    async fn publish_commands(&self, publishing: &Publishing) -> Result<(u64, u64), StoreError> {
        let at = now();
        let (mut published, mut put_off, mut found) = (0, 0, 0_u32);
        let mut oldest: Option<Timestamp> = None;
        for kind in [DueKind::Held, DueKind::Retry, DueKind::New] {
            if publishing.is_away() || (kind == DueKind::Held && planted(Bug::ReconcilerSkipsRunning)) {
                continue;
            }
            publishing.aside.store(ASIDE, Ordering::Relaxed);
            let due = self.stores.commands.find_due(kind, at, COMMANDS).await?;
            found = found.saturating_add(u32::try_from(due.len()).unwrap_or(u32::MAX));
            oldest = due.iter().map(|command| command.key.created_at).chain(oldest).min();
            let outcomes = stream::iter(due)
                .map(|command| self.republish(command, publishing))
                .buffer_unordered(AT_ONCE)
                .filter_map(|outcome| async {
                    outcome.inspect_err(|error| tracing::warn!(%error, "a command was not published again")).ok()
                })
                .collect::<Vec<Done>>()
                .await;
            published += outcomes.iter().map(|done| u64::from(*done == Done::Published)).sum::<u64>();
            put_off += outcomes.iter().map(|done| u64::from(*done == Done::PutOff)).sum::<u64>();
        }
        let age = oldest.map_or(0, |oldest| (at - oldest).num_seconds().max(0));
        metrics::gauge!("painel_overdue_commands").set(found);
        metrics::gauge!("painel_oldest_overdue_seconds").set(u32::try_from(age).unwrap_or(u32::MAX));
        Ok((published, put_off))
    }

    /// Publishes a command again, if no other replica has: the write comes before the job.
    async fn republish(&self, found: Command, publishing: &Publishing) -> Result<Done, StoreError> {
        let queue = found.command_type.queue();
        let given_up = publishing.has_given_up(queue);
        if given_up && (publishing.is_away() || !publishing.takes_aside()) {
            return Ok(Done::Nothing);
        }
        let put_off = publishing.is_most_likely_queued(&found) || !found.command_type.is_known();
        let Write::Done(command) = self.stores.commands.republish(&found).await? else { return Ok(Done::Nothing) };
        if put_off {
            return Ok(Done::PutOff);
        }
        if !given_up && self.publish(&command, publishing).await {
            return Ok(Done::Published);
        }
        // The wait that was set is for a queue that has the job.
        self.stores.commands.publish_failed(&command).await?;
        Ok(Done::Nothing)
    }

    /// Whether the queue took the job.
    async fn publish(&self, command: &Command, publishing: &Publishing) -> bool {
        let kind = command.command_type.name();
        tracing::info!(command.id = %command.id(), kind, status = command.status.as_str(), "publishing again");
        metrics::counter!("painel_commands_republished_total", "kind" => kind).increment(1);
        publishing.took(command.command_type.queue(), dispatch::publish(&self.stores, command).await)
    }

    /// Publishes rollup runs again that waited too long, by the same rules; how many.
    async fn publish_runs(&self, publishing: &Publishing) -> Result<u64, sqlx::Error> {
        let db = &self.stores.db;
        let runs = db.step(async || rollup::take_overdue(&db.service(), RUNS).await).await?;
        let taken = runs.len();
        let refused = stream::iter(runs.into_iter().map(|run| self.publish_run(run, publishing)))
            .buffer_unordered(AT_ONCE)
            .filter_map(|refused| async move { refused })
            .collect::<Vec<_>>()
            .await;
        if !refused.is_empty() {
            db.step(async || rollup::publish_failed(&db.service(), &refused).await).await?;
        }
        Ok(u64::try_from(taken.saturating_sub(refused.len())).unwrap_or(u64::MAX))
    }

    /// The run's id where the queue did not take its job.
    async fn publish_run(&self, run: RollupRun, publishing: &Publishing) -> Option<RunId> {
        if publishing.has_given_up(rollup::QUEUE) {
            return Some(run.id);
        }
        tracing::info!(run.id = %run.id, run.day = %run.day, "publishing a rollup job again");
        metrics::counter!("painel_commands_republished_total", "kind" => rollup::KIND).increment(1);
        let taken = publishing.took(rollup::QUEUE, dispatch::publish_run(&self.stores, &run).await);
        (!taken).then_some(run.id)
    }

    /// Writes the events that ended commands owe; how many.
    async fn write_owed_events(&self) -> Result<u64, WorkError> {
        let mut written = 0;
        for command in self.stores.commands.find_due(DueKind::Event, now(), COMMANDS).await? {
            match write_owed_event(&self.stores, &command).await {
                Ok(()) => {}
                // It would be refused each time: the others are written all the same.
                Err(error) if error.is_about_data() => {
                    tracing::error!(%error, command.id = %command.id(), "an owed event was refused");
                    self.stores.commands.event_refused(&command).await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            metrics::counter!("painel_audit_events_recovered_total").increment(1);
            written += 1;
        }
        Ok(written)
    }

    /// Measures the queues.
    async fn survey_queues(&self) -> HashMap<WorkQueue, QueueState> {
        let asked = WorkQueue::all().map(|queue| async move {
            let depth = self.stores.queue.depth(queue).await.ok();
            if let Some(depth) = depth {
                measure(queue, depth);
            }
            (queue, QueueState { ready: depth.map(|depth| depth.ready), refused: AtomicU32::default() })
        });
        futures::future::join_all(asked).await.into_iter().collect()
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
