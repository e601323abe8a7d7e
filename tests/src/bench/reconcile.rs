//! The reconciler over many open commands, of which few are due: one round, and how long it takes to publish them all.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use painel_shared::{
    command::{Command, NewCommand, Status},
    commands::{CommandType, HealthCheck},
    ids::LeaseOwner,
    queue::WorkQueue,
    stores::Stores,
    time::now,
    trace::TraceContext,
};
use painel_workers::{
    config::ReconcilerConfig,
    scheduler::{Reconciler, Round},
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Health, Host},
    lossy::Lossy,
    stack::{Stack, with_stack},
    wait::eventually,
};

/// How many calls are made at once.
const AT_ONCE: usize = 16;
/// The scheduler's pause between two rounds, as it is by default.
const PAUSE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many commands are open.
    #[arg(long, default_value_t = 100_000)]
    pub open: u64,
    /// How many of them are due: a third each have lost their worker, wait for a retry, and for their first attempt.
    #[arg(long, default_value_t = 100)]
    pub due: u64,
    /// How many jobs the queue holds where it is long.
    #[arg(long, default_value_t = 5_000)]
    pub jobs: u64,
}

/// How the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Empty,
    Away,
    Long,
}

/// Measures, and prints.
pub fn run(load: Load) {
    println!("one round, with {} commands due:", load.due);
    for open in [load.open / 100, load.open] {
        for queue in [Queue::Empty, Queue::Away, Queue::Long] {
            with_stack(async |stack| measure(stack, Load { open, ..load }, queue).await);
        }
    }
}

async fn measure(stack: &Stack, load: Load, queue: Queue) {
    // A change of an item costs the embedded DynamoDB more with every one before it that its stream holds.
    let off = json!({"TableName": "operational_commands", "StreamSpecification": {"StreamEnabled": false}});
    stack.dynamodb_call("UpdateTable", off).await;
    fill(stack, load).await;
    let own = CommandType::of::<HealthCheck>().queue();
    if queue == Queue::Long {
        let publish = |n: u64| async move { stack.stores.queue.publish_raw(own, &n.to_string()).await.unwrap() };
        stream::iter(0..load.jobs).map(publish).buffer_unordered(AT_ONCE).count().await;
    }
    let (dynamodb, _) = stack.aws_urls();
    let proxy = Lossy::before(&dynamodb).await;
    let (host, behind) = Host::before_the_one_in(&stack.vars, "PAINEL_SQS_ENDPOINT").await;
    if queue == Queue::Away {
        host.become_so(Health::Silent).await;
    }
    let vars = stack.vars.clone().overridden_by([
        ("PAINEL_DYNAMODB_ENDPOINT", proxy.url()),
        ("PAINEL_SQS_ENDPOINT", behind),
        ("PAINEL_QUEUE_TIMEOUT_MS", "500".to_owned()),
        ("PAINEL_RECONCILE_MS", PAUSE.as_millis().to_string()),
    ]);
    let stores = Stores::from_vars(&vars).await.unwrap();
    let reconciler = Reconciler::new(stores, ReconcilerConfig::from_vars(&vars).unwrap());
    let ready = ready(stack, own).await;
    let began = Instant::now();
    let Round { republished, put_off, .. } = reconciler.round().await.unwrap();
    let took = began.elapsed();
    let (calls, bytes) = proxy.traffic();
    assert_eq!(self::ready(stack, own).await - ready, if queue == Queue::Away { 0 } else { republished });
    // From now on as the scheduler does it; what is put off waits for room in the queue.
    host.become_so(Health::Well).await;
    let back = Instant::now();
    let shutdown = CancellationToken::new();
    let all_published = eventually("all to be published", LONG, || async {
        (self::ready(stack, own).await - ready >= load.due - put_off).then_some(())
    });
    tokio::select! {
        () = reconciler.run(shutdown) => unreachable!("it goes on and on"),
        () = all_published => {}
    }
    let all = if queue == Queue::Away { back.elapsed() } else { took };
    println!(
        "  {:>7} open, queue {:<6} {calls:>5} calls {:>6} KB {:>6.2} s, {republished:>4} published, {put_off:>3} put off; \
         all published after {:.1} s",
        load.open,
        format!("{queue:?}").to_lowercase(),
        bytes / 1024,
        took.as_secs_f64(),
        all.as_secs_f64(),
    );
}

async fn ready(stack: &Stack, queue: WorkQueue) -> u64 {
    stack.stores.queue.depth(queue).await.unwrap().ready
}

async fn fill(stack: &Stack, load: Load) {
    let (past, future) = (now() - chrono::TimeDelta::hours(1), now() + chrono::TimeDelta::hours(1));
    let waiting = Command { next_publish_at: Some(future), ..fresh(past) };
    stack.stores.commands.create(&waiting, None).await.unwrap();
    let template: Value = stack.item(&waiting).await;
    let rest = i64::try_from(load.open - load.due - 1).unwrap();
    stack
        .fill_raw(rest, |n| {
            let mut item = template.clone();
            let id = uuid::Uuid::now_v7();
            item["command_id"]["S"] = id.to_string().into();
            item["due_shard"]["S"] = format!("new#{}", n % 4).into();
            item
        })
        .await;
    let due = (0..load.due).map(|n| match n % 3 {
        0 => Command {
            status: Status::Running,
            attempt: 1,
            fence: 1,
            lease_owner: Some(LeaseOwner::fresh()),
            lease_expires_at: Some(past),
            next_publish_at: None,
            ..fresh(past)
        },
        1 => Command { attempt: 1, fence: 1, ..fresh(past) },
        _ => fresh(past),
    });
    for command in due {
        stack.stores.commands.create(&command, None).await.unwrap();
    }
}

fn fresh(at: painel_shared::time::Timestamp) -> Command {
    let new = NewCommand {
        command_type: CommandType::of::<HealthCheck>(),
        tenant_id: None,
        parameters: Map::new(),
        reason: None,
        created_by: "bench".to_owned(),
        created_by_email: None,
        traceparent: TraceContext::root(),
    };
    Command::accept(new, at)
}
