//! The transport by itself, beside the bare client in the same modes: durable messages on quorum queues, each confirmed when
//! it is published and acknowledged when it has been handled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use painel_shared::{
    commands::{CommandType, HealthCheck},
    queue::{Delivery, Queue, WorkQueue},
};
use painel_workers::{
    config::WorkerConfig,
    runner::{Execute, Runner},
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{bare::Bare, median, percentile, spent_by_all};
use crate::stack::{RABBITMQ, Stack, with_stack_and};

/// As long as a job is.
const BODY_BYTES: usize = 300;
/// How many messages are timed on their way, and how many of them a second.
const TIMED: usize = 500;
const TIMED_RATE: u64 = 100;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many messages a round.
    #[arg(long, default_value_t = 20_000)]
    pub messages: usize,
    /// How many rounds, each of ours and of the bare client.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// How many messages a worker has in hand at once.
    #[arg(long, default_value_t = 32)]
    pub concurrency: usize,
    /// Only what the comparison with others needs, as JSON.
    #[arg(long)]
    pub figures: bool,
}

/// Measures with queues of its own, and prints.
pub fn run(load: Load) {
    with_stack_and(&[RABBITMQ], async |stack| measure(stack, load).await);
}

/// What is measured of both: messages a second, and for each message how long it took from publisher to handler.
#[derive(Default)]
struct Figures {
    /// With 64 unconfirmed, with 1,000, drained, and both at once.
    rates: [Vec<f64>; 4],
    times: Vec<Duration>,
}

async fn measure(stack: &'static Stack, load: Load) {
    let ours = Ours { queue: stack.stores.queue.clone(), work: CommandType::of::<HealthCheck>().queue() };
    if load.figures {
        return println!("{}", figures(&ours, load).await);
    }
    println!("{load:?}\n");
    let bare = Bare::begin(stack).await;
    let (mut of_ours, mut of_bare) = (Figures::default(), Figures::default());
    for _ in 0..load.rounds {
        round(&ours, load, &mut of_ours).await;
        round(&bare, load, &mut of_bare).await;
    }
    bare.end().await;
    println!("| medians of {} rounds, by turns | ours | bare client | ratio |\n|---|---|---|---|", load.rounds);
    let what =
        ["published a second, 64 unconfirmed", "the same, 1,000 unconfirmed", "drained a second", "both at once"];
    for ((what, ours), bare) in what.iter().zip(of_ours.rates).zip(of_bare.rates) {
        let (ours, bare) = (median(ours), median(bare));
        println!("| {what} | {ours:.0} | {bare:.0} | {:.2} |", ours / bare);
    }
    for percent in [50, 99] {
        let (ours, bare) = (percentile(&mut of_ours.times, percent), percentile(&mut of_bare.times, percent));
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        println!(
            "| publisher to handler at {TIMED_RATE} a second, p{percent} | {ours:.1?} | {bare:.1?} | {ratio:.2} |"
        );
    }
}

/// What the comparison with others needs of a round.
async fn figures(ours: &Ours, load: Load) -> Value {
    let one = publish(ours, load.messages / 10, 1).await;
    let many = publish(ours, load.messages - load.messages / 10, 64).await;
    let spent = spent_by_all();
    let drained = drain(ours, load).await;
    let spent = spent_by_all() - spent;
    let mut times = timed(ours, load.concurrency).await;
    let mut ms = |percent| percentile(&mut times, percent).as_secs_f64() * 1_000.0;
    json!({
        "one": one,
        "many": many,
        "drain": drained,
        "drain_a_core_second": load.messages as f64 / spent.as_secs_f64(),
        "p50_ms": ms(50),
        "p99_ms": ms(99),
    })
}

/// A way to send messages and have them handled.
trait Way {
    /// Sends one; it has been taken when this returns.
    async fn publish(&self, body: String);
    /// Has so many handled, at most so many at once.
    async fn drain(&self, count: usize, at_once: usize, handled: impl Fn(&str) + Send + Sync + 'static);
}

async fn round(way: &impl Way, load: Load, figures: &mut Figures) {
    let [few, many, drained, both] = &mut figures.rates;
    for (at_once, rates) in [(64, few), (1_000, many)] {
        rates.push(publish(way, load.messages, at_once).await);
        drained.push(drain(way, load).await);
    }
    let began = Instant::now();
    tokio::join!(publish(way, load.messages, 64), drain(way, load));
    both.push(load.messages as f64 / began.elapsed().as_secs_f64());
    figures.times.extend(timed(way, load.concurrency).await);
}

/// Sends so many, of which so many are unconfirmed at once: how many a second.
async fn publish(way: &impl Way, count: usize, at_once: usize) -> f64 {
    let filler = "x".repeat(BODY_BYTES);
    let began = Instant::now();
    stream::iter(0..count).for_each_concurrent(at_once, |_| way.publish(filler.clone())).await;
    count as f64 / began.elapsed().as_secs_f64()
}

/// Has a round's messages handled: how many a second.
async fn drain(way: &impl Way, load: Load) -> f64 {
    let began = Instant::now();
    way.drain(load.messages, load.concurrency, |_| {}).await;
    load.messages as f64 / began.elapsed().as_secs_f64()
}

/// Messages that say when they were sent.
async fn timed(way: &impl Way, at_once: usize) -> Vec<Duration> {
    let (began, times) = (Instant::now(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let noted = Arc::clone(&times);
    let handled = way.drain(TIMED, at_once, move |body| {
        let sent = Duration::from_nanos(body.trim().parse().unwrap());
        noted.lock().unwrap().push(began.elapsed() - sent);
    });
    let sent = async {
        let mut pace = tokio::time::interval(Duration::from_millis(1_000 / TIMED_RATE));
        for _ in 0..TIMED {
            pace.tick().await;
            way.publish(format!("{:BODY_BYTES$}", began.elapsed().as_nanos())).await;
        }
    };
    tokio::join!(handled, sent);
    std::mem::take(&mut times.lock().unwrap())
}

struct Ours {
    queue: Queue,
    work: WorkQueue,
}

impl Way for Ours {
    async fn publish(&self, body: String) {
        self.queue.publish_raw(self.work, &body).await.unwrap();
    }

    async fn drain(&self, count: usize, at_once: usize, handled: impl Fn(&str) + Send + Sync + 'static) {
        let (done, left) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(count)));
        let executor = Nothing { queue: self.work, handled: Arc::new(handled), left, done: Arc::clone(&done) };
        let config = WorkerConfig { concurrency: at_once, drain_deadline: Duration::from_secs(5) };
        let shutdown = CancellationToken::new();
        let running = Runner::new(self.queue.clone(), executor, config).run(shutdown.clone());
        let stopped = async {
            done.notified().await;
            shutdown.cancel();
        };
        tokio::join!(running, stopped);
    }
}

/// An executor that does nothing.
#[derive(Clone)]
struct Nothing {
    queue: WorkQueue,
    handled: Arc<dyn Fn(&str) + Send + Sync>,
    left: Arc<AtomicUsize>,
    done: Arc<Notify>,
}

impl Execute for Nothing {
    fn queue(&self) -> WorkQueue {
        self.queue
    }

    async fn execute(&self, delivery: Delivery, _: &CancellationToken) {
        (self.handled)(&delivery.body);
        delivery.acknowledge().await.unwrap();
        if self.left.fetch_sub(1, SeqCst) == 1 {
            self.done.notify_one();
        }
    }
}

impl Way for Bare {
    async fn publish(&self, body: String) {
        Bare::publish(self, &body).await;
    }

    async fn drain(&self, count: usize, at_once: usize, handled: impl Fn(&str) + Send + Sync + 'static) {
        Bare::drain(self, count, at_once, async |body| handled(body)).await;
    }
}
