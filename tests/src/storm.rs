//! A storm: the real processes under load while they are killed, stopped and cut off; then the count.
//!
//! What was accepted is compared with records that are not the product's: the agent runtime's own file,
//! and the rotations counted in PostgreSQL.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::ValueEnum;
use painel_shared::{
    command::{Command, Status},
    ids::CommandId,
    job::Job,
    queue::{Side, WorkQueue},
};
use serde_json::{Value, json};

use crate::{
    broker::Broker,
    client::Client,
    fleet::Fleet,
    postgres::Postgres,
    stack::{POSTGRES_VARIABLE, Stack, with_stack_and},
    wait::eventually,
};

/// How long a claim lasts in a storm.
const LEASE: Duration = Duration::from_secs(5);
/// How long everything may take to end once the storm is over.
const CALM: Duration = Duration::from_secs(180);
const POSTERS: usize = 6;
const WORKERS: [&str; 4] = [
    "painel-health-check-worker",
    "painel-reset-token-worker",
    "painel-restart-agent-worker",
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
    /// How often a worker is killed; one time in six it is stopped for longer than its lease instead.
    #[arg(long, default_value_t = 60)]
    pub worker_kills: usize,
    /// How often the API is killed.
    #[arg(long, default_value_t = 5)]
    pub api_kills: usize,
    /// How often RabbitMQ is killed and started again.
    #[arg(long, default_value_t = 0)]
    pub broker_restarts: usize,
    /// How often PostgreSQL is crashed and started again.
    #[arg(long, default_value_t = 0)]
    pub postgres_restarts: usize,
    /// What the order of things is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// The count after a storm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Commands that were answered 202.
    pub accepted: usize,
    /// Of them, in SUCCESS.
    pub succeeded: usize,
    /// Of them, in ERROR.
    pub failed: usize,
    /// Of them, not in the store, or in SUCCESS without their effect.
    pub lost: usize,
    /// Of them, neither in SUCCESS nor in ERROR.
    pub stuck: usize,
    /// How often the agent runtime was asked for a restart.
    pub calls: u64,
    /// Restarts and rotations there have been.
    pub effects: usize,
    /// Restarts and rotations beyond one a command.
    pub double_effects: usize,
    /// Audit events that should be there and are not.
    pub audit_missing: usize,
    /// From acceptance to end, of the commands that changed hands: the 99th percentile in seconds.
    pub recovery_p99_s: f64,
}

impl Count {
    /// Whether the promise held.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.stuck == 0 && self.double_effects == 0 && self.audit_missing == 0
    }

    /// The count as one line of JSON.
    pub fn to_json(&self, seed: u64) -> Value {
        json!({
            "accepted": self.accepted, "succeeded": self.succeeded, "failed": self.failed, "lost": self.lost,
            "stuck": self.stuck, "calls": self.calls, "effects": self.effects,
            "double_effects": self.double_effects, "audit_missing": self.audit_missing,
            "recovery_p99_s": self.recovery_p99_s, "seed": seed,
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Blow {
    KillWorker,
    StopWorker,
    KillApi,
    RestartBroker,
    CrashPostgres,
    Purge,
    Duplicate,
}

/// Lets the storm pass over processes, a broker and a database of its own.
pub fn run(weather: Weather) -> Count {
    let postgres = Postgres::start();
    let broker = (weather.transport == Transport::Rabbitmq).then(Broker::start);
    let (database, url) = (postgres.url(), broker.as_ref().map(Broker::url).unwrap_or_default());
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let lease = LEASE.as_secs().to_string();
    let mut set = vec![
        (POSTGRES_VARIABLE, database.as_str()),
        ("PAINEL_LEASE_SECONDS", lease.as_str()),
        ("PAINEL_QUEUE_VISIBILITY_SECONDS", lease.as_str()),
        ("PAINEL_QUEUE_TIMEOUT_MS", "500"),
        ("PAINEL_HTTP_ADDR", address.as_str()),
        ("PAINEL_RECONCILE_MS", "1000"),
        ("PAINEL_WORKER_CONCURRENCY", "4"),
        ("PAINEL_DATABASE_POOL", "4"),
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
    mut broker: Option<Broker>,
    postgres: &Postgres,
    address: &str,
) -> Count {
    let mut fleet = Fleet::new(stack);
    fleet.set("PAINEL_LOG", "warn");
    fleet.start("painel-api");
    fleet.start("painel-scheduler");
    for worker in WORKERS {
        fleet.start(worker);
        fleet.start(worker);
    }
    let client = Client::new(format!("http://{address}"), &stack.issuer);
    let posted = AtomicUsize::new(0);
    let posters = futures::future::join_all(
        (0..POSTERS).map(|poster| post(stack, &client, &posted, weather.commands, poster)),
    );
    let blows = blow(stack, &mut fleet, &mut broker, postgres, weather, &posted);
    let (accepted, ()) = tokio::join!(posters, blows);
    let accepted: Vec<CommandId> = accepted.into_iter().flatten().collect();
    let commands = calm(stack, &accepted).await;
    take_stock(stack, &accepted, &commands).await
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

/// Carries out the blows, spread over the sending, in an order drawn from the seed.
async fn blow(
    stack: &Stack,
    fleet: &mut Fleet<'_>,
    broker: &mut Option<Broker>,
    postgres: &Postgres,
    weather: Weather,
    posted: &AtomicUsize,
) {
    let mut random = Random(weather.seed);
    let mut blows = Vec::new();
    blows.extend((0..weather.worker_kills).map(|n| if n % 6 == 5 { Blow::StopWorker } else { Blow::KillWorker }));
    blows.extend((0..weather.api_kills).map(|_| Blow::KillApi));
    blows.extend((0..weather.broker_restarts).map(|_| Blow::RestartBroker));
    blows.extend((0..weather.postgres_restarts).map(|_| Blow::CrashPostgres));
    blows.extend((0..2).map(|_| Blow::Purge));
    blows.extend((0..10).map(|_| Blow::Duplicate));
    random.shuffle(&mut blows);
    let (count, mut stopped) = (blows.len(), Vec::new());
    for (n, blow) in blows.into_iter().enumerate() {
        let due = weather.commands * (n + 1) / (count + 2);
        eventually("the sending to come so far", CALM, || async {
            (posted.load(Ordering::SeqCst) >= due).then_some(())
        })
        .await;
        let worker = WORKERS[random.below(3)];
        match blow {
            Blow::KillWorker => {
                let place = fleet.signal_one(worker, random.next(), "KILL");
                fleet.replace(place);
            }
            // A zombie: it wakes up when its lease has long been another's.
            Blow::StopWorker => {
                fleet.signal_one(worker, random.next(), "STOP");
                stopped.push((worker, Instant::now()));
            }
            Blow::KillApi => {
                let place = fleet.signal_one("painel-api", 0, "KILL");
                fleet.replace(place);
            }
            Blow::RestartBroker => {
                if let Some(broker) = broker.as_mut() {
                    tokio::task::block_in_place(|| {
                        broker.kill();
                        broker.start_again()
                    });
                }
            }
            Blow::CrashPostgres => tokio::task::block_in_place(|| postgres.crash_and_start()),
            Blow::Purge => purge(stack, random.below(3)).await,
            Blow::Duplicate => duplicate(stack).await,
        }
        stopped.retain(|(worker, since)| {
            let over = since.elapsed() > LEASE * 2;
            if over {
                fleet.signal(worker, "CONT");
            }
            !over
        });
    }
    for (worker, since) in stopped {
        eventually("a lease to pass", LEASE * 3, || async { (since.elapsed() > LEASE * 2).then_some(()) }).await;
        fleet.signal(worker, "CONT");
    }
}

/// A queue forgets what it holds.
async fn purge(stack: &Stack, choice: usize) {
    let Some(queue) = WorkQueue::all().nth(choice) else { return };
    let Ok(mut receiver) = stack.stores.queue.receiver(queue, Side::Work).await else { return };
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

/// Jobs of commands of every status are delivered once more.
async fn duplicate(stack: &Stack) {
    let Ok(page) = stack.stores.commands.list(&Default::default(), None, 0, 20).await else { return };
    for command in page.commands {
        let _ = stack.stores.queue.publish(&Job::for_command(&command)).await;
    }
}

/// Waits until every command has ended, or the time for it has passed.
async fn calm(stack: &Stack, accepted: &[CommandId]) -> BTreeMap<CommandId, Command> {
    let ended: Mutex<BTreeMap<CommandId, Command>> = Mutex::default();
    let deadline = Instant::now() + CALM;
    eventually("the calm", CALM * 2, || async {
        let open: Vec<CommandId> = {
            let ended = ended.lock().unwrap();
            let is_open = |id: &CommandId| !ended.get(id).is_some_and(|one| one.status.is_final());
            accepted.iter().copied().filter(is_open).take(200).collect()
        };
        let asked = futures::future::join_all(open.iter().map(|id| stack.stores.commands.get(*id))).await;
        let found = asked.into_iter().filter_map(|one| one.ok().flatten());
        ended.lock().unwrap().extend(found.map(|one| (one.id(), one)));
        (open.is_empty() || Instant::now() > deadline).then_some(())
    })
    .await;
    ended.into_inner().unwrap()
}

async fn take_stock(stack: &Stack, accepted: &[CommandId], commands: &BTreeMap<CommandId, Command>) -> Count {
    let mut count = Count { accepted: accepted.len(), calls: stack.restart_calls().await, ..Count::default() };
    let mut restarts: BTreeMap<String, usize> = BTreeMap::new();
    for restart in stack.restarts() {
        *restarts.entry(restart["key"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let events = events(stack).await;
    let (mut resets, mut times) = (0, Vec::new());
    for id in accepted {
        let Some(command) = commands.get(id) else {
            count.lost += 1;
            continue;
        };
        let (kind, made) = (command.command_type.name(), restarts.get(&id.to_string()).copied().unwrap_or(0));
        count.double_effects += made.saturating_sub(1);
        let has = |event: &str| events.contains(&(id.to_string(), event.to_owned()));
        count.audit_missing += usize::from(!has("command.requested"));
        match command.status {
            Status::Success => {
                count.succeeded += 1;
                count.lost += usize::from(kind == "RESTART_AGENT" && made == 0);
                count.audit_missing += usize::from(!has("command.succeeded"));
                resets += usize::from(kind == "RESET_TOKEN");
            }
            Status::Error => {
                count.failed += 1;
                count.audit_missing += usize::from(!has("command.failed"));
            }
            Status::Pending | Status::Running => count.stuck += 1,
        }
        if let (true, Some(at)) = (command.fence > 1, command.completed_at) {
            times.push((at - command.key.created_at).num_milliseconds());
        }
    }
    let rotations = usize::try_from(stack.rotations().await).unwrap();
    count.effects = restarts.values().sum::<usize>() + rotations;
    count.double_effects += rotations.saturating_sub(resets);
    count.lost += resets.saturating_sub(rotations);
    times.sort_unstable();
    let p99 = times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(0);
    count.recovery_p99_s = f64::from(i32::try_from(p99).unwrap_or(i32::MAX)) / 1000.0;
    count
}

async fn events(stack: &Stack) -> std::collections::BTreeSet<(String, String)> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT resource_id, event_type FROM operational_events")
        .fetch_all(&stack.stores.db)
        .await
        .unwrap();
    rows.into_iter().collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed gives the same storm.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            items.swap(n, self.below(n + 1));
        }
    }
}
