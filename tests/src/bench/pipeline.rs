//! The way of a command through the real processes, beside its floor: a bare loop that makes the same writes with the same
//! clients and does nothing else.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use painel_shared::ids::CommandId;
use painel_workers::config::WorkerConfig;
use serde_json::{Value, json};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Cpu,
    counted::{Counting, ForEach},
    floor::Floor,
    median, percentile, spent_by_all,
};
use crate::{
    client::Client,
    fleet::Fleet,
    host::Host,
    stack::{DYNAMODB_FILE, RABBITMQ, Stack, with_stack_and},
    storm::Transport,
};

/// How many send commands at once.
const CLIENTS: usize = 16;
/// How many integrations the commands are about: none waits for another's row.
const INTEGRATIONS: usize = 1_000;
const API: &str = "painel-api";
const LONG: Duration = Duration::from_secs(600);
/// Between two commands whose whole way is timed.
const PACE: Duration = Duration::from_millis(50);

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// What carries the jobs.
    #[arg(long, value_enum, default_value = "rabbitmq")]
    pub transport: Transport,
    /// How many commands a round.
    #[arg(long, default_value_t = 1_000)]
    pub commands: usize,
    /// How many commands are stored before.
    #[arg(long, default_value_t = 0)]
    pub stored: usize,
    /// How many rounds, each of ours and of the floor.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// How many commands are timed from POST to outcome.
    #[arg(long, default_value_t = 100)]
    pub timed: usize,
    /// How many jobs a worker executes at once, where it is not the default.
    #[arg(long)]
    pub concurrency: Option<usize>,
    /// RESTART_AGENTs instead of RESET_TOKENs, without the floor.
    #[arg(long)]
    pub restarts: bool,
    /// Instead of the floor, ours where each answer of the stores takes so many milliseconds longer.
    #[arg(long)]
    pub distance: Option<u64>,
    /// Instead of the floor, ours with this library preloaded, such as an allocator.
    #[arg(long)]
    pub preload: Option<PathBuf>,
    /// Only what the comparison with others needs, as JSON.
    #[arg(long)]
    pub figures: bool,
}

impl Load {
    fn worker(&self) -> &'static str {
        if self.restarts { "painel-restart-agent-worker" } else { "painel-reset-token-worker" }
    }
}

/// Measures with services of its own, and prints.
pub fn run(load: Load) {
    let concurrency = load.concurrency.map(|n| n.to_string());
    let mut set = vec![
        (DYNAMODB_FILE, "yes"),
        ("PAINEL_HTTP_WORKERS", "2"),
        ("PAINEL_RATE_CALLER", "1000000"),
        ("PAINEL_RATE_TENANT", "1000000"),
    ];
    match load.transport {
        Transport::Rabbitmq => set.push(RABBITMQ),
        Transport::Sqs => set.push(("PAINEL_QUEUE", "sqs")),
    }
    if let Some(concurrency) = &concurrency {
        set.push(("PAINEL_WORKER_CONCURRENCY", concurrency));
    }
    with_stack_and(&set, |stack| measure(stack, load));
}

/// What the processes of a round are configured with beside what all are.
type Set = Vec<(&'static str, String)>;

/// What is measured of a round.
#[derive(Default)]
struct Figures {
    accepted: Vec<f64>,
    executed: Vec<f64>,
    /// Of the API, and of the worker, in milliseconds a command.
    accepting_cpu: Vec<f64>,
    executing_cpu: Vec<f64>,
}

async fn measure(stack: &'static Stack, load: Load) {
    let integrations = integrations(stack).await;
    let sent = Sent::of(stack, &load, &integrations);
    fill(stack, load.stored).await;
    if load.figures {
        return println!("{}", figures(stack, &load, &sent).await);
    }
    println!("{load:?}\n");
    if let Some(distance) = load.distance {
        let hosts = async |ms| Through::hosts(stack, Duration::from_millis(ms)).await;
        let (near, far) = (hosts(0).await, hosts(distance).await);
        return compare(stack, &load, &sent, ("near", &near.set), (&format!("{distance} ms away"), &far.set)).await;
    }
    if let Some(library) = load.preload.as_ref().and_then(|path| path.to_str()) {
        let with = vec![("LD_PRELOAD", library.to_owned())];
        return compare(stack, &load, &sent, ("without", &Set::new()), (library, &with)).await;
    }
    let floor = Floor::begin(stack, load.transport, &integrations).await;
    let (mut ours, mut floors) = (Figures::default(), Figures::default());
    for _ in 0..load.rounds {
        round(stack, &load, &sent, &Set::new(), &mut ours).await;
        if load.restarts {
            continue;
        }
        let rate = |took: Duration| load.commands as f64 / took.as_secs_f64();
        floors.accepted.push(rate(floor.accept(load.commands, CLIENTS).await));
        let concurrency =
            load.concurrency.unwrap_or_else(|| WorkerConfig::from_vars(&stack.vars).unwrap().concurrency);
        floors.executed.push(rate(floor.execute(load.commands, concurrency).await));
    }
    floor.end().await;
    println!("| medians of {} rounds, by turns | ours | floor | ratio |\n|---|---|---|---|", load.rounds);
    let rates = [
        ("accepted a second", ours.accepted, floors.accepted),
        ("executed a second", ours.executed, floors.executed),
    ];
    for (what, ours, floor) in rates {
        let (ours, floor) = (median(ours), median(floor));
        match load.restarts {
            true => println!("| {what} | {ours:.0} | | |"),
            false => println!("| {what} | {ours:.0} | {floor:.0} | {:.2} |", ours / floor),
        }
    }
    println!("| CPU of the API, ms a POST | {:.2} | | |", median(ours.accepting_cpu));
    println!("| CPU of the worker, ms a command | {:.2} | | |", median(ours.executing_cpu));
    let (accepting, executing) = exchanges(stack, &load, &sent).await;
    println!("| exchanges with DynamoDB and PostgreSQL, a POST | {accepting} | | |");
    println!("| exchanges with DynamoDB and PostgreSQL, a command executed | {executing} | | |");
    let mut times = timed(stack, load.timed, &sent).await;
    for percent in [50, 99] {
        let rate = 1_000 / PACE.as_millis();
        println!(
            "| POST to outcome at {rate} a second, p{percent} | {:.1?} | | |",
            percentile(&mut times, percent)
        );
    }
}

/// What the comparison with others needs of a round.
async fn figures(stack: &'static Stack, load: &Load, sent: &Sent) -> Value {
    let mut fleet = Fleet::new(stack);
    let client = api(&mut fleet, stack, sent).await;
    let one = load.commands / 10;
    let began = Instant::now();
    for n in 0..one {
        client.accepted(sent.body(n)).await;
    }
    let one_by_one = one as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    send(&client, sent, load.commands - one).await;
    let many = (load.commands - one) as f64 / began.elapsed().as_secs_f64();
    let executed = execute(&mut fleet, stack, sent.worker, load.commands + CLIENTS).await;
    drop(fleet);
    let mut times = timed(stack, load.timed, sent).await;
    let mut ms = |percent| percentile(&mut times, percent).as_secs_f64() * 1_000.0;
    json!({
        "one": one_by_one,
        "many": many,
        "drain": executed.commands / executed.took.as_secs_f64(),
        "drain_a_core_second": executed.commands / executed.all.as_secs_f64(),
        "drain_a_core_second_without_double": executed.commands / executed.without_double.as_secs_f64(),
        "p50_ms": ms(50),
        "p99_ms": ms(99),
    })
}

/// The same rounds with processes that are configured in two ways, by turns.
async fn compare(
    stack: &'static Stack,
    load: &Load,
    sent: &Sent,
    (one, with_one): (&str, &Set),
    (other, with_other): (&str, &Set),
) {
    let (mut of_one, mut of_other) = (Figures::default(), Figures::default());
    for _ in 0..load.rounds {
        round(stack, load, sent, with_one, &mut of_one).await;
        round(stack, load, sent, with_other, &mut of_other).await;
    }
    println!("| medians of {} rounds, by turns | {one} | {other} | ratio |\n|---|---|---|---|", load.rounds);
    let figures = [
        ("accepted a second", of_one.accepted, of_other.accepted),
        ("executed a second", of_one.executed, of_other.executed),
        ("CPU of the API, ms a POST", of_one.accepting_cpu, of_other.accepting_cpu),
        ("CPU of the worker, ms a command", of_one.executing_cpu, of_other.executing_cpu),
    ];
    for (what, one, other) in figures {
        let (one, other) = (median(one), median(other));
        println!("| {what} | {one:.2} | {other:.2} | {:.2} |", other / one);
    }
}

/// Hosts before the stores, and what leads through them.
struct Through {
    set: Set,
    _hosts: Vec<Host>,
}

impl Through {
    async fn hosts(stack: &Stack, distance: Duration) -> Self {
        let (mut set, mut hosts) = (Set::new(), Vec::new());
        for variable in ["PAINEL_DYNAMODB_ENDPOINT", "PAINEL_DATABASE_URL"] {
            let (host, url) = Host::far_before_the_one_in(&stack.vars, variable, distance).await;
            set.push((variable, url));
            hosts.push(host);
        }
        Self { set, _hosts: hosts }
    }
}

/// What a POST, and what a command costs that is executed, once everything is connected and prepared.
async fn exchanges(stack: &'static Stack, load: &Load, sent: &Sent) -> (ForEach, ForEach) {
    let (mut of_api, mut of_worker) = (Counting::before(stack).await, Counting::before(stack).await);
    let mut fleet = Fleet::new(stack);
    of_api.set().into_iter().for_each(|(name, url)| fleet.set(name, &url));
    let client = api(&mut fleet, stack, sent).await;
    of_api.begin();
    send(&client, sent, load.commands).await;
    let accepting = of_api.for_each_of(load.commands);
    of_worker.set().into_iter().for_each(|(name, url)| fleet.set(name, &url));
    let before = effects(stack).await.count;
    fleet.start(sent.worker);
    until(stack, before + i64::try_from(load.commands + CLIENTS).unwrap()).await;
    of_worker.begin();
    send(&client, sent, load.commands).await;
    until(stack, before + i64::try_from(2 * load.commands + CLIENTS).unwrap()).await;
    (accepting, of_worker.for_each_of(load.commands))
}

/// Commands through the processes: first accepted, then executed.
async fn round(stack: &'static Stack, load: &Load, sent: &Sent, set: &Set, figures: &mut Figures) {
    let mut fleet = Fleet::new(stack);
    set.iter().for_each(|(name, value)| fleet.set(name, value));
    let client = api(&mut fleet, stack, sent).await;
    let (cpu, began) = (Cpu::of(fleet.id(API)), Instant::now());
    send(&client, sent, load.commands).await;
    let (took, cpu) = (began.elapsed(), cpu.since());
    let commands = load.commands as f64;
    figures.accepted.push(commands / took.as_secs_f64());
    figures.accepting_cpu.push(cpu.as_secs_f64() * 1_000.0 / commands);
    let executed = execute(&mut fleet, stack, sent.worker, load.commands + CLIENTS).await;
    figures.executed.push(executed.commands / executed.took.as_secs_f64());
    figures.executing_cpu.push(executed.cpu.as_secs_f64() * 1_000.0 / executed.commands);
    fleet.signal(sent.worker, "TERM");
    fleet.ended(sent.worker, LONG).await;
}

/// Starts the API; a client of it, after its sessions and connections were made.
async fn api(fleet: &mut Fleet<'_>, stack: &Stack, sent: &Sent) -> Client {
    fleet.start(API);
    let client = fleet.client(&stack.issuer).await;
    send(&client, sent, CLIENTS).await;
    client
}

/// What was executed while it was measured.
struct Executed {
    commands: f64,
    took: Duration,
    /// What the worker has spent.
    cpu: Duration,
    /// What everything but this process has spent, which holds the stand-in for DynamoDB; and what all have.
    without_double: Duration,
    all: Duration,
}

/// Starts the worker, and has it execute what waits, which is so much. Its start is not measured.
async fn execute(fleet: &mut Fleet<'_>, stack: &Stack, worker: &str, waiting: usize) -> Executed {
    let before = effects(stack).await.count;
    fleet.start(worker);
    let all = i64::try_from(waiting).unwrap();
    until(stack, before + 1).await;
    let (spent, own) = (spent_by_all(), Cpu::of(std::process::id()));
    let of_worker = Cpu::of(fleet.id(worker));
    let first = effects(stack).await;
    until(stack, before + all).await;
    let (all, cpu, own) = (spent_by_all() - spent, of_worker.since(), own.since());
    let last = effects(stack).await;
    Executed {
        commands: (last.count - first.count) as f64,
        took: (last.latest - first.latest).to_std().unwrap(),
        cpu,
        without_double: all.saturating_sub(own),
        all,
    }
}

/// Waits until so many commands have taken effect; how many have is asked so seldom that it costs nothing.
async fn until(stack: &Stack, count: i64) {
    let began = Instant::now();
    while effects(stack).await.count < count {
        assert!(began.elapsed() < LONG, "not {count} effects after {LONG:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn send(client: &Client, sent: &Sent, count: usize) {
    let post = |n: usize| async move {
        client.accepted(sent.body(n)).await;
    };
    stream::iter(0..count).for_each_concurrent(CLIENTS, post).await;
}

/// What is sent, and who executes it.
struct Sent {
    worker: &'static str,
    bodies: Vec<Value>,
}

impl Sent {
    fn of(stack: &Stack, load: &Load, integrations: &[Uuid]) -> Self {
        let tenant = stack.example.tenant;
        let body = |command_type: &str, parameters: Value| json!({"command_type": command_type, "tenant_id": tenant, "parameters": parameters});
        let bodies = match load.restarts {
            true => stack.example.agents.map(|agent| body("RESTART_AGENT", json!({"agent_id": agent}))).to_vec(),
            false => integrations.iter().map(|one| body("RESET_TOKEN", json!({"integration_id": one}))).collect(),
        };
        Self { worker: load.worker(), bodies }
    }

    fn body(&self, n: usize) -> &Value {
        &self.bodies[n % self.bodies.len()]
    }
}

/// From POST to the stored outcome, at a slow pace.
async fn timed(stack: &'static Stack, count: usize, sent: &Sent) -> Vec<Duration> {
    let mut fleet = Fleet::new(stack);
    fleet.start(API);
    fleet.start(sent.worker);
    let client = fleet.client(&stack.issuer).await;
    let one = client.accepted(sent.body(0)).await;
    client.until(&one, "SUCCESS").await;
    let mut under_way = Vec::new();
    for n in 0..count {
        let (client, body) = (client.clone(), sent.body(n).clone());
        under_way.push(tokio::spawn(async move {
            let began = Instant::now();
            let id: CommandId = client.accepted(&body).await.parse().unwrap();
            loop {
                let found = stack.stores.commands.get(id).await.unwrap().unwrap();
                if found.status.is_final() {
                    return began.elapsed();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }));
        tokio::time::sleep(PACE).await;
    }
    let mut times = Vec::new();
    for one in under_way {
        times.push(one.await.unwrap());
    }
    times
}

/// How many commands have taken effect, and when the last one did.
#[derive(FromRow)]
struct Effects {
    count: i64,
    latest: DateTime<Utc>,
}

async fn effects(stack: &Stack) -> Effects {
    let ask = "SELECT count(*) AS count, COALESCE(max(created_at), now()) AS latest FROM command_effects";
    sqlx::query_as(ask).fetch_one(&stack.stores.db.service()).await.unwrap()
}

async fn integrations(stack: &Stack) -> Vec<Uuid> {
    sqlx::query_scalar(
        "INSERT INTO tenant_integrations (id, tenant_id, type, name)
         SELECT gen_random_uuid(), $1, 'crm', 'Bench ' || n FROM generate_series(1, $2) AS n RETURNING id",
    )
    .bind(stack.example.tenant.uuid())
    .bind(i32::try_from(INTEGRATIONS).unwrap())
    .fetch_all(&stack.stores.db.service())
    .await
    .unwrap()
}

/// Stores commands that have ended, and are in the table's stream.
async fn fill(stack: &Stack, count: usize) {
    if count == 0 {
        return;
    }
    let began = Instant::now();
    let integration = json!({"integration_id": stack.example.integration});
    let template = stack.send::<painel_shared::commands::ResetToken>(Some(stack.example.tenant), integration).await;
    stack.next(template.command_type.queue()).await.acknowledge().await.unwrap();
    let mut item = stack.item(&template).await;
    item["status"]["S"] = "SUCCESS".into();
    for due in ["due_at", "due_shard", "next_publish_at"] {
        item.as_object_mut().unwrap().remove(due);
    }
    stack
        .fill_raw(i64::try_from(count).unwrap(), |_| {
            let mut item = item.clone();
            item["command_id"]["S"] = Uuid::now_v7().to_string().into();
            item
        })
        .await;
    println!("{count} commands stored before, in {:.0} s\n", began.elapsed().as_secs_f64());
}
