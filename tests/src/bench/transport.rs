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
use lapin::{
    BasicProperties, Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeleteOptions},
    types::FieldTable,
};
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
use uuid::Uuid;

use super::{floor, middle, percentile, spent_by_all};
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
    let url = stack.vars.text("PAINEL_RABBITMQ_URL").unwrap();
    let name = format!("{}.floor", stack.vars.text("PAINEL_QUEUE_PREFIX").unwrap());
    let bare =
        Bare { publishing: floor::channel(url, &name).await, consuming: floor::channel(url, &name).await, name };
    let (mut of_ours, mut of_bare) = (Figures::default(), Figures::default());
    for _ in 0..load.rounds {
        round(&ours, load, &mut of_ours).await;
        round(&bare, load, &mut of_bare).await;
    }
    bare.publishing.queue_delete(bare.name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    println!("| medians of {} rounds, by turns | ours | bare client | ratio |\n|---|---|---|---|", load.rounds);
    let what =
        ["published a second, 64 unconfirmed", "the same, 1,000 unconfirmed", "drained a second", "both at once"];
    for ((what, ours), bare) in what.iter().zip(of_ours.rates).zip(of_bare.rates) {
        let (ours, bare) = (middle(ours), middle(bare));
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
    let filler = "x".repeat(BODY_BYTES);
    let publish = async |count: usize, at_once: usize| {
        let began = Instant::now();
        stream::iter(0..count).for_each_concurrent(at_once, |_| ours.publish(filler.clone())).await;
        count as f64 / began.elapsed().as_secs_f64()
    };
    let one = publish(load.messages / 10, 1).await;
    let many = publish(load.messages - load.messages / 10, 64).await;
    let (began, spent) = (Instant::now(), spent_by_all());
    ours.drain(load.messages, load.concurrency, |_| {}).await;
    let (took, spent) = (began.elapsed(), spent_by_all() - spent);
    let mut times = timed(ours, load.concurrency).await;
    let mut ms = |percent| percentile(&mut times, percent).as_secs_f64() * 1_000.0;
    json!({
        "one": one,
        "many": many,
        "drain": load.messages as f64 / took.as_secs_f64(),
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
    let filler = "x".repeat(BODY_BYTES);
    let publish = async |at_once: usize| {
        stream::iter(0..load.messages).for_each_concurrent(at_once, |_| way.publish(filler.clone())).await;
    };
    let drain = || way.drain(load.messages, load.concurrency, |_| {});
    let rate = |began: Instant| load.messages as f64 / began.elapsed().as_secs_f64();
    let [few, many, drained, both] = &mut figures.rates;
    for (at_once, rates) in [(64, few), (1_000, many)] {
        let began = Instant::now();
        publish(at_once).await;
        rates.push(rate(began));
        let began = Instant::now();
        drain().await;
        drained.push(rate(began));
    }
    let began = Instant::now();
    tokio::join!(publish(64), drain());
    both.push(rate(began));
    figures.times.extend(timed(way, load.concurrency).await);
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

/// The client by itself.
struct Bare {
    publishing: Channel,
    consuming: Channel,
    name: String,
}

impl Way for Bare {
    async fn publish(&self, body: String) {
        let durable = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let sent =
            self.publishing.basic_publish("".into(), self.name.as_str().into(), options, body.as_bytes(), durable);
        sent.await.unwrap().await.unwrap();
    }

    async fn drain(&self, count: usize, at_once: usize, handled: impl Fn(&str) + Send + Sync + 'static) {
        let tag = Uuid::new_v4().to_string();
        let options = BasicConsumeOptions::default();
        let consumer = self.consuming.basic_consume(
            self.name.as_str().into(),
            tag.as_str().into(),
            options,
            FieldTable::default(),
        );
        consumer
            .await
            .unwrap()
            .take(count)
            .for_each_concurrent(at_once, async |delivery| {
                let delivery = delivery.unwrap();
                handled(std::str::from_utf8(&delivery.data).unwrap());
                delivery.ack(BasicAckOptions::default()).await.unwrap();
            })
            .await;
        self.consuming.basic_cancel(tag.as_str().into(), BasicCancelOptions::default()).await.unwrap();
    }
}
