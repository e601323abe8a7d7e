//! Receive, execute with bounded concurrency, drain.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use painel_shared::{
    queue::{Delivery, Queue, QueueError, Side, WorkQueue, legible},
    retry::reconnect_delays,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::WorkerConfig;

/// How long one wait for deliveries lasts.
const LONG_POLL: Duration = Duration::from_secs(20);
/// How many deliveries are asked for at once.
const BATCH: usize = 10;
/// How long the giving back may take once the drain deadline has passed.
const GIVE_BACK: Duration = Duration::from_secs(3);

/// Executes the jobs of one queue.
pub trait Execute: Clone + Send + Sync + 'static {
    /// The queue whose jobs it executes.
    fn queue(&self) -> WorkQueue;

    /// Executes one delivery to its settlement. When `drained` is cancelled, what still runs is given back.
    fn execute(&self, delivery: Delivery, drained: &CancellationToken) -> impl Future<Output = ()> + Send;
}

/// Takes jobs off one queue and has them executed.
#[derive(Debug)]
pub struct Runner<E> {
    queue: Queue,
    executor: E,
    config: WorkerConfig,
}

impl<E: Execute> Runner<E> {
    /// A runner for the executor's queue.
    pub fn new(queue: Queue, executor: E, config: WorkerConfig) -> Self {
        Self { queue, executor, config }
    }

    /// Works until `shutdown`; then takes no more, lets what runs finish within the drain deadline, and
    /// gives the rest back.
    pub async fn run(self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let drained = CancellationToken::new();
        let permits = Arc::new(Semaphore::new(self.config.concurrency));
        let receivers = self.queue.receivers(self.config.concurrency);
        let taking = (0..receivers).map(|_| self.take_jobs(&permits, &tasks, &drained));
        shutdown.run_until_cancelled(join_all(taking)).await;
        tasks.close();
        if tokio::time::timeout(self.config.drain_deadline, tasks.wait()).await.is_err() {
            drained.cancel();
            if tokio::time::timeout(GIVE_BACK, tasks.wait()).await.is_err() {
                tracing::warn!(jobs = tasks.len(), "jobs were not given back; their leases will expire");
            }
        }
        if tokio::time::timeout(GIVE_BACK, self.queue.all_given_back()).await.is_err() {
            tracing::warn!("not all messages were given back; the queue will see that they were not settled");
        }
    }

    async fn take_jobs(&self, permits: &Arc<Semaphore>, tasks: &TaskTracker, drained: &CancellationToken) {
        let mut delays = reconnect_delays();
        loop {
            let Err(error) = self.receive_until_error(permits, tasks, drained).await else { continue };
            let delay = delays.next().unwrap_or(LONG_POLL);
            tracing::warn!(%error, queue = self.executor.queue().name(), ?delay, "nothing received");
            if error.worked {
                delays = reconnect_delays();
            }
            tokio::time::sleep(delay).await;
        }
    }

    async fn receive_until_error(
        &self,
        permits: &Arc<Semaphore>,
        tasks: &TaskTracker,
        drained: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let mut worked = false;
        let work_queue = self.executor.queue();
        let mut receiver = self
            .queue
            .receiver(work_queue, Side::Work, self.config.concurrency)
            .await
            .map_err(|error| Interrupted { worked, error })?;
        loop {
            let granted = take_permits(permits).await;
            let received = receiver.receive(granted.len(), LONG_POLL).await;
            let deliveries = received.map_err(|error| Interrupted { worked, error })?;
            worked = true;
            for (delivery, permit) in deliveries.into_iter().zip(granted) {
                let (executor, drained) = (self.executor.clone(), drained.clone());
                tasks.spawn(async move {
                    executor.execute(delivery, &drained).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Receiving came to an end; whether it had worked before.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Interrupted {
    worked: bool,
    error: QueueError,
}

/// Waits for one permit, and takes as many more as are free: what is received can start at once.
async fn take_permits(permits: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let mut granted: Vec<OwnedSemaphorePermit> = permits.clone().acquire_owned().await.into_iter().collect();
    while granted.len() < BATCH {
        match permits.clone().try_acquire_owned() {
            Ok(permit) => granted.push(permit),
            Err(_) => break,
        }
    }
    granted
}

/// Sends a message to the dead letters of its queue. One that is not taken comes again.
pub(crate) async fn send_to_dead_letters(delivery: Delivery, queue: WorkQueue, reason: &str) {
    let (queue, reason) = (queue.name(), legible(reason));
    tracing::error!(queue, reason, "dead-lettered");
    match delivery.dead_letter(&reason).await {
        Ok(()) => metrics::counter!("painel_dead_letters_total", "queue" => queue).increment(1),
        Err(error) => tracing::warn!(%error, "the dead letter was not taken; the message will come again"),
    }
}
