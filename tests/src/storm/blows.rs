//! What happens to the processes while commands are sent.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use painel_shared::{
    job::Job,
    queue::{Side, WorkQueue},
};

use super::{LEASE, POSTERS, RESTARTS, WORKERS, Weather};
use crate::{broker::Broker, fleet::Fleet, postgres::Postgres, random::Random, stack::Stack, wait::eventually};

/// How long the sending may take from one blow to the next.
const PATIENCE: Duration = Duration::from_secs(180);

/// How many commands are sent before the broker is blocked: enough of them are restarts that are refused.
const BLOCKED: usize = 120;
/// As many refused restarts as two workers take in hand, and some.
const REFUSED: u64 = 16;

#[derive(Clone, Copy, Debug)]
enum Blow {
    KillWorker,
    StopWorker,
    KillApi,
    RestartBroker,
    BlockBroker,
    CrashPostgres,
    Purge,
    Duplicate,
}

/// What the blows fall on.
pub(super) struct Targets<'a> {
    pub(super) stack: &'a Stack,
    pub(super) fleet: Fleet<'a>,
    pub(super) broker: Option<Broker>,
    pub(super) postgres: &'a Postgres,
    /// How many commands have been accepted.
    pub(super) posted: &'a AtomicUsize,
}

impl Targets<'_> {
    /// Carries out the blows, spread over the sending, in an order drawn from the seed.
    pub(super) async fn strike(&mut self, weather: &Weather) {
        let mut random = Random(weather.seed);
        let blows = order(&mut random, weather);
        let (count, mut stopped) = (blows.len(), Vec::new());
        for (n, blow) in blows.into_iter().enumerate() {
            self.until_posted(weather.commands * (n + 1) / (count + 2)).await;
            let worker = WORKERS[random.below(4)];
            match blow {
                Blow::KillWorker => self.kill(worker, random.number()),
                // A zombie: it wakes up when its lease has long been another's. One of its kind at a time,
                // so that there is another.
                Blow::StopWorker if stopped.iter().any(|(kind, _)| *kind == worker) => {}
                Blow::StopWorker => {
                    self.fleet.signal_one(worker, random.number(), "STOP");
                    stopped.push((worker, Instant::now()));
                }
                Blow::KillApi => self.kill("painel-api", 0),
                Blow::RestartBroker => self.restart_broker(weather.commands).await,
                Blow::BlockBroker => self.block_broker(weather.commands).await,
                Blow::CrashPostgres => tokio::task::block_in_place(|| self.postgres.crash_and_start()),
                Blow::Purge => self.purge(random.below(3)).await,
                Blow::Duplicate => self.duplicate().await,
            }
            stopped.retain(|(worker, since)| {
                let over = since.elapsed() > LEASE * 2;
                if over {
                    self.fleet.signal(worker, "CONT");
                }
                !over
            });
        }
        for (worker, since) in stopped {
            eventually("a lease to pass", LEASE * 3, || async { (since.elapsed() > LEASE * 2).then_some(()) })
                .await;
            self.fleet.signal(worker, "CONT");
        }
    }

    async fn until_posted(&self, due: usize) {
        let sent = || async { (self.posted.load(Ordering::SeqCst) >= due).then_some(()) };
        eventually("the sending to come so far", PATIENCE, sent).await;
    }

    fn kill(&mut self, binary: &str, choice: u64) {
        let place = self.fleet.signal_one(binary, choice, "KILL");
        self.fleet.replace(place);
    }

    /// The broker hangs while more is sent, dies, and comes back.
    async fn restart_broker(&mut self, total: usize) {
        let Some(broker) = self.broker.as_mut() else { return };
        broker.hang();
        let due = self.posted.load(Ordering::SeqCst) + POSTERS;
        self.until_posted(due.min(total)).await;
        let Some(broker) = self.broker.as_mut() else { return };
        tokio::task::block_in_place(|| {
            broker.kill();
            broker.start_again();
        });
    }

    /// The broker takes nothing while it hands out jobs that must be tried again: none of them can be settled.
    async fn block_broker(&mut self, total: usize) {
        let Some(broker) = self.broker.as_ref() else { return };
        self.fleet.signal(RESTARTS, "STOP");
        let due = self.posted.load(Ordering::SeqCst) + BLOCKED;
        self.until_posted(due.min(total)).await;
        self.stack.refuse_restarts(u32::MAX).await;
        tokio::task::block_in_place(|| broker.control(&["set_vm_memory_high_watermark", "absolute", "1MiB"]));
        // From then on nothing that is tried can be put off.
        self.until_nothing_is_taken().await;
        let before = self.stack.restart_calls().await;
        self.fleet.signal(RESTARTS, "CONT");
        eventually("the jobs to be tried", PATIENCE, || async {
            (self.stack.restart_calls().await >= before + REFUSED).then_some(())
        })
        .await;
        // To put one off takes no longer than this; a few times that, and it has failed for all of them.
        for _ in 0..4 {
            self.until_nothing_is_taken().await;
        }
        self.stack.refuse_restarts(0).await;
        tokio::task::block_in_place(|| broker.control(&["set_vm_memory_high_watermark", "0.6"]));
    }

    /// Waits until the broker has refused a job, or left it without an answer for as long as a call may take.
    async fn until_nothing_is_taken(&self) {
        let stores = &self.stack.stores;
        eventually("the broker to take nothing", PATIENCE, || async {
            let page = stores.commands.list(&Default::default(), None, 0, 1).await.ok()?;
            let job = Job::for_command(page.commands.first()?);
            stores.queue.publish(&job).await.is_err().then_some(())
        })
        .await;
    }

    /// A queue forgets what it holds.
    async fn purge(&self, choice: usize) {
        let Some(queue) = WorkQueue::all().nth(choice) else { return };
        let Ok(mut receiver) = self.stack.stores.queue.receiver(queue, Side::Work, 1).await else { return };
        while let Ok(deliveries) = receiver.receive(10, Duration::from_millis(1)).await {
            if deliveries.is_empty() {
                return;
            }
            for delivery in deliveries {
                // What the broker does not take back now is lost all the same.
                let _ = delivery.acknowledge().await;
            }
        }
    }

    /// Jobs of commands of every status are delivered twice more.
    async fn duplicate(&self) {
        let stores = &self.stack.stores;
        let Ok(page) = stores.commands.list(&Default::default(), None, 0, 20).await else { return };
        for command in page.commands {
            let job = Job::for_command(&command);
            // Where the broker is away there are no duplicates.
            let _ = tokio::join!(stores.queue.publish(&job), stores.queue.publish(&job));
        }
    }
}

/// All blows, in an order drawn from the seed.
fn order(random: &mut Random, weather: &Weather) -> Vec<Blow> {
    let counts = [
        (Blow::KillWorker, weather.worker_kills),
        (Blow::StopWorker, weather.worker_stops),
        (Blow::KillApi, weather.api_kills),
        (Blow::RestartBroker, weather.broker_restarts),
        (Blow::BlockBroker, weather.broker_blocks),
        (Blow::CrashPostgres, weather.postgres_restarts),
        (Blow::Purge, weather.purges),
        (Blow::Duplicate, weather.duplicates),
    ];
    let mut blows: Vec<Blow> =
        counts.into_iter().flat_map(|(blow, count)| std::iter::repeat_n(blow, count)).collect();
    random.shuffle(&mut blows);
    blows
}
