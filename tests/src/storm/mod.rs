//! A storm: the real processes under load while they are killed, stopped and cut off; then the count.
//!
//! What was accepted is compared with records that are not the product's: the agent runtime's own file,
//! the rotations counted in PostgreSQL, and the table's stream of changes.

mod blows;
mod count;
mod history;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod rollups;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use painel_shared::ids::CommandId;
use serde_json::{Value, json};

pub use self::count::Count;
use self::{blows::Targets, count::calm};
use crate::{
    broker::Broker,
    client::Client,
    fleet::{Fleet, Programs},
    port::free_port,
    postgres::Postgres,
    stack::{DYNAMODB_FILE, POSTGRES_VARIABLE, Stack, with_stack_and},
    wait::eventually,
};

/// How long a claim lasts in a storm.
pub const LEASE: Duration = Duration::from_secs(5);
/// How long everything may take to end once the storm is over.
const CALM: Duration = Duration::from_secs(180);
const POSTERS: usize = 6;
const RESTARTS: &str = "painel-restart-agent-worker";
const WORKERS: [&str; 5] = [
    "painel-health-check-worker",
    "painel-reset-token-worker",
    RESTARTS,
    "painel-metrics-rollup-worker",
    "painel-reprocess-queue-worker",
];

/// What carries the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// RabbitMQ.
    Rabbitmq,
    /// SQS.
    Sqs,
}

/// How bad the storm is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Weather {
    /// What carries the jobs.
    #[arg(long, value_enum)]
    pub transport: Transport,
    /// How many commands are sent.
    #[arg(long, default_value_t = 2_000)]
    pub commands: usize,
    /// How often a worker is killed.
    #[arg(long, default_value_t = 60)]
    pub worker_kills: usize,
    /// How often a worker is stopped for longer than its lease, and goes on as a zombie.
    #[arg(long, default_value_t = 10)]
    pub worker_stops: usize,
    /// How often the API is killed.
    #[arg(long, default_value_t = 5)]
    pub api_kills: usize,
    /// How often RabbitMQ hangs, is killed and started again.
    #[arg(long, default_value_t = 0)]
    pub broker_restarts: usize,
    /// How often RabbitMQ takes no messages for a while, and hands out those that it has.
    #[arg(long, default_value_t = 0)]
    pub broker_blocks: usize,
    /// How often PostgreSQL is crashed and started again.
    #[arg(long, default_value_t = 0)]
    pub postgres_restarts: usize,
    /// How often a queue forgets what it holds.
    #[arg(long, default_value_t = 2)]
    pub purges: usize,
    /// How often the jobs of the newest twenty commands are published twice more.
    #[arg(long, default_value_t = 10)]
    pub duplicates: usize,
    /// What the order of things is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Jobs that a worker executes at once.
    #[arg(long, default_value_t = 4)]
    pub concurrency: usize,
    /// Whether the scheduler runs.
    #[arg(skip = true)]
    pub scheduler: bool,
    /// How long everything may take to end once the storm is over.
    #[arg(skip = CALM)]
    pub calm: Duration,
    /// On SQS: how long a delivered job is hidden.
    #[arg(skip = LEASE)]
    pub visibility: Duration,
    /// Which programs run.
    #[arg(skip)]
    pub programs: Programs,
}

/// Lets the storm pass over processes, a broker and a database of its own.
pub fn run(weather: Weather) -> Count {
    let postgres = Postgres::start();
    let broker = (weather.transport == Transport::Rabbitmq).then(Broker::start);
    let (database, url) = (postgres.url(), broker.as_ref().map(Broker::url).unwrap_or_default());
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let (lease, concurrency) = (LEASE.as_secs().to_string(), weather.concurrency.to_string());
    let visibility = weather.visibility.as_secs().to_string();
    let mut set = vec![
        (POSTGRES_VARIABLE, database.as_str()),
        (DYNAMODB_FILE, "yes"),
        ("PAINEL_LEASE_SECONDS", lease.as_str()),
        ("PAINEL_QUEUE_VISIBILITY_SECONDS", visibility.as_str()),
        ("PAINEL_QUEUE_TIMEOUT_MS", "500"),
        ("PAINEL_HTTP_ADDR", address.as_str()),
        ("PAINEL_RECONCILE_MS", "1000"),
        ("PAINEL_WORKER_CONCURRENCY", concurrency.as_str()),
        ("PAINEL_DATABASE_POOL", "4"),
        ("PAINEL_ROLLUP_LATE_SECONDS", "1"),
    ];
    if weather.transport == Transport::Rabbitmq {
        set.push(crate::stack::RABBITMQ);
        set.push(("PAINEL_RABBITMQ_URL", url.as_str()));
    }
    let count = Mutex::new(Count::default());
    let (counted, postgres, address) = (&count, &postgres, address.as_str());
    with_stack_and(&set, |stack| async move {
        *counted.lock().unwrap() = pass(stack, weather, broker, postgres, address).await;
    });
    count.into_inner().unwrap()
}

async fn pass(
    stack: &'static Stack,
    weather: Weather,
    broker: Option<Broker>,
    postgres: &Postgres,
    address: &str,
) -> Count {
    if weather.scheduler {
        rollups::fill(stack, weather.commands).await;
    }
    let mut fleet = Fleet::of(stack, weather.programs);
    fleet.set("PAINEL_LOG", "warn");
    fleet.start("painel-api");
    if weather.scheduler {
        fleet.start("painel-scheduler");
    }
    for worker in WORKERS {
        fleet.start(worker);
        fleet.start(worker);
    }
    let client = Client::new(format!("http://{address}"), &stack.issuer);
    let posted = AtomicUsize::new(0);
    let posters = futures::future::join_all(
        (0..POSTERS).map(|poster| post(stack, &client, &posted, weather.commands, poster)),
    );
    let mut targets = Targets { stack, fleet, broker, postgres, posted: &posted };
    let days = async {
        if weather.scheduler {
            rollups::ask(stack, &client, &posted, weather.commands).await;
        }
    };
    let (accepted, (), ()) = tokio::join!(posters, targets.strike(&weather), days);
    let accepted: Vec<CommandId> = accepted.into_iter().flatten().collect();
    let commands = calm(stack, &accepted, weather.calm).await;
    let unpublished = unpublished(&targets.fleet);
    let mut count = Count::take(stack, &accepted, &commands, &unpublished).await;
    if weather.scheduler {
        count.rollups_wrong = rollups::wrong(stack, &client, weather.calm).await;
    }
    count
}

/// The commands whose jobs the API says were not published.
fn unpublished(fleet: &Fleet<'_>) -> BTreeSet<String> {
    let logs = fleet.logs("painel-api");
    let entries = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains("a job was not published"));
    let id = |line: &str| {
        let entry: Value = serde_json::from_str(line).ok()?;
        entry["command.id"].as_str().map(str::to_owned)
    };
    entries.filter_map(id).collect()
}

/// Sends this poster's share; each command until it is accepted, under its own key.
async fn post(stack: &Stack, client: &Client, posted: &AtomicUsize, total: usize, poster: usize) -> Vec<CommandId> {
    let mut accepted = Vec::new();
    for n in (poster..total).step_by(POSTERS) {
        let (body, key) = (body(stack, n), format!("storm-{n}"));
        let id = eventually("a command to be accepted", CALM, || async {
            let answer = client.try_post_once(&body, &key).await?;
            (answer.status == 202).then(|| answer.body["command_id"].as_str().unwrap().parse().unwrap())
        })
        .await;
        accepted.push(id);
        posted.fetch_add(1, Ordering::SeqCst);
    }
    accepted
}

fn body(stack: &Stack, n: usize) -> Value {
    let tenant = stack.example.tenant;
    match n % 10 {
        0..=4 => {
            let agent = stack.example.agents[n % 2];
            json!({"command_type": "RESTART_AGENT", "tenant_id": tenant, "parameters": {"agent_id": agent}})
        }
        5..=7 => json!({
            "command_type": "RESET_TOKEN",
            "tenant_id": tenant,
            "parameters": {"integration_id": stack.example.integration},
        }),
        8 => json!({"command_type": "HEALTH_CHECK"}),
        _ => json!({
            "command_type": "REPROCESS_QUEUE",
            "parameters": {"queue_name": "painel.restart-agent", "message_count": 50},
        }),
    }
}
