//! Services for one test: a database of its own on the real PostgreSQL, DynamoDB and SQS in memory, the
//! token issuer and the stand-in agent runtime. Nothing is shared, and everything is dropped at the end.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use futures::FutureExt;
use painel::{
    demo_data::{self, Example},
    embedded::migrate,
    services::{
        ANYWHERE,
        agent_runtime::AgentRuntime,
        dynamodb::DynamoDb,
        issuer::{CLIENT_ID, ISSUER, Issuer},
        login_site::LoginSite,
        signed::AccessKey,
        sqs::Sqs,
        stand_ins::StandIns,
    },
};
use painel_api::server;
use painel_shared::{
    command::{Command, CommandKey, NewCommand},
    command_store::CommandStore,
    commands::{CommandType, Parameters},
    config::{CredentialsConfig, Vars},
    dispatch::dispatch,
    events::Origin,
    ids::TenantId,
    job::Job,
    queue::{Delivery, Receiver, Side, WorkQueue},
    stores::Stores,
    time::to_text,
    trace::TraceContext,
};
use painel_workers::{
    command_work::Executor,
    config::{ReconcilerConfig, RollupConfig, WorkerConfig},
    handler::{AnyHandler, Handler},
    rollup::RollupExecutor,
    runner::{Execute, Runner},
    scheduler::{Nightly, Reconciler},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use sqlx::{Connection, PgConnection};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    client::Client,
    lossy::Lossy,
    wait::{eventually, for_a_day_that_lasts},
    wire,
};

/// The real PostgreSQL, where its own databases can be made.
const POSTGRES: &str = "postgres://postgres@127.0.0.1:5432/postgres";
/// Where the PostgreSQL of the tests is, if it is another; also for [`with_stack_and`].
pub const POSTGRES_VARIABLE: &str = "PAINEL_TEST_POSTGRES";
/// Thirty-two bytes of zero: a key for tests.
const CREDENTIALS: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// For [`with_stack_and`]: jobs go over RabbitMQ, on queues of the test's own.
pub const RABBITMQ: (&str, &str) = ("PAINEL_QUEUE", "rabbitmq");

/// For [`with_stack_and`]: DynamoDB is over a file, as the embedded default has it.
pub const DYNAMODB_FILE: &str = "PAINEL_TEST_DYNAMODB_FILE";

/// The services of one test.
pub struct Stack {
    /// What the processes of this test are configured with.
    pub vars: Vars,
    /// The stores.
    pub stores: Stores,
    /// The token issuer.
    pub issuer: Issuer,
    /// A tenant, two agents and an integration of the demo data.
    pub example: Example,
    /// The folder of the stand-ins' files.
    pub folder: PathBuf,
    /// The PostgreSQL where its database is.
    postgres: String,
    database: String,
    dynamodb: DynamoDb,
    sqs: Sqs,
    stand_ins: StandIns,
    product: TaskTracker,
    shutdown: CancellationToken,
}

/// Runs a test with a stack of its own, which is taken down also when the test panics.
pub fn with_stack<F>(test: impl FnOnce(&'static Stack) -> F)
where
    F: Future<Output = ()>,
{
    with_stack_and(&[], test);
}

/// The same, with some variables set otherwise.
pub fn with_stack_and<F>(set: &[(&str, &str)], test: impl FnOnce(&'static Stack) -> F)
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        painel_shared::process::install_tls();
        for_a_day_that_lasts().await;
        // A test's stack lives as long as the test's process: handing out `&'static` spares every test a clone.
        let stack: &'static Stack = Box::leak(Box::new(Stack::start(set).await.unwrap()));
        let outcome = std::panic::AssertUnwindSafe(test(stack)).catch_unwind().await;
        stack.stop().await.unwrap();
        outcome
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Stack {
    async fn start(set: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("painel-test-").tempdir()?.keep();
        let issuer = Issuer::open(issuer_key())?;
        let stand_ins =
            StandIns::start(&issuer, AgentRuntime::open(&folder.join("agent-runtime.jsonl"))?, ANYWHERE)?;
        let file = set.iter().any(|(name, _)| *name == DYNAMODB_FILE).then(|| folder.join("dynamodb.db"));
        let key = access_key();
        let dynamodb = DynamoDb::start(file.as_deref(), ANYWHERE, &key);
        let (dynamodb, sqs) = tokio::try_join!(dynamodb, Sqs::start(ANYWHERE, &key))?;
        let database = format!("painel_test_{}", Uuid::new_v4().simple());
        let own_server = set.iter().find(|(name, _)| *name == POSTGRES_VARIABLE).map(|(_, url)| (*url).to_owned());
        let postgres = own_server.unwrap_or_else(postgres_url);
        admin(&postgres, &format!("CREATE DATABASE {database}")).await?;
        let (server, _) = postgres.rsplit_once('/').unwrap();
        let url = format!("{server}/{database}");
        let own = [
            ("PAINEL_DATABASE_URL", url),
            ("PAINEL_DYNAMODB_ENDPOINT", dynamodb.url()),
            ("PAINEL_SQS_ENDPOINT", sqs.url()),
            ("PAINEL_QUEUE_TIMEOUT_MS", "5000".to_owned()),
            ("PAINEL_RABBITMQ_URL", rabbitmq_url()),
            ("PAINEL_QUEUE_PREFIX", database.replace('_', "-")),
            ("PAINEL_AWS_REGION", "us-east-1".to_owned()),
            ("PAINEL_AWS_ACCESS_KEY_ID", key.id),
            ("PAINEL_AWS_SECRET_ACCESS_KEY", key.secret),
            ("PAINEL_AUTH_ISSUER", ISSUER.to_owned()),
            ("PAINEL_AUTH_JWKS_URL", format!("{}/.well-known/jwks.json", stand_ins.url())),
            ("PAINEL_AUTH_CLIENT_IDS", CLIENT_ID.to_owned()),
            ("PAINEL_AGENT_RUNTIME_URL", stand_ins.url()),
            ("PAINEL_CREDENTIALS_KEYS", CREDENTIALS.to_owned()),
            ("PAINEL_OAUTH_URL", stand_ins.url()),
            ("PAINEL_OAUTH_CLIENT_ID", CLIENT_ID.to_owned()),
            ("PAINEL_SESSION_KEYS", CREDENTIALS.to_owned()),
            ("PAINEL_HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("PAINEL_HTTP_WORKERS", "1".to_owned()),
            // On a busy machine nobody is to be refused who would be served on another.
            ("PAINEL_HTTP_CONCURRENCY", "64".to_owned()),
            ("PAINEL_RATE_CALLER", "100000".to_owned()),
            ("PAINEL_DRAIN_SECONDS", "1".to_owned()),
            ("PAINEL_RECONCILE_MS", "100".to_owned()),
        ];
        let mut vars = Vars::default().overridden_by(own);
        // The same tests run on the other transport where the run asks for it.
        if let Ok(transport) = std::env::var("PAINEL_TEST_QUEUE") {
            vars = vars.overridden_by([("PAINEL_QUEUE", transport)]);
        }
        for (name, value) in set {
            vars = vars.overridden_by([(*name, (*value).to_owned())]);
        }
        let stores = Stores::from_vars(&vars).await?;
        migrate(&stores).await?;
        demo_data::load(&stores.db, &CredentialsConfig::from_vars(&vars)?).await?;
        let example = demo_data::example(&stores.db.service()).await?;
        Ok(Self {
            vars,
            stores,
            issuer,
            example,
            folder,
            postgres,
            database,
            dynamodb,
            sqs,
            stand_ins,
            product: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        })
    }

    async fn stop(&self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.product.close();
        self.product.wait().await;
        self.stores.db.close().await;
        if self.vars.text("PAINEL_QUEUE") == Some(RABBITMQ.1) {
            let url = self.vars.text("PAINEL_RABBITMQ_URL").unwrap_or_default();
            // A test may have taken its own broker away.
            if let Err(error) = delete_queues(url, &self.database.replace('_', "-")).await
                && url == rabbitmq_url()
            {
                return Err(error);
            }
        }
        drop_database(&self.postgres, &self.database).await?;
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }

    /// Starts the API; a client of it with an administrator's token.
    pub async fn serve(&self) -> Client {
        self.serve_with(&self.vars).await
    }

    /// Starts another API, configured otherwise; a client of it.
    pub async fn serve_with(&self, vars: &Vars) -> Client {
        self.serve_with_on(vars, Stores::from_vars(vars).await.unwrap())
    }

    /// Starts another API on these stores; a client of it.
    pub async fn serve_on(&self, stores: Stores) -> Client {
        self.serve_with_on(&self.vars, stores)
    }

    fn serve_with_on(&self, vars: &Vars, stores: Stores) -> Client {
        let server = server::from_vars(vars, stores).unwrap();
        let url = format!("http://{}", server.address());
        let serving = server.run(self.shutdown.clone());
        self.product.spawn(async move { serving.await.unwrap() });
        Client::new(url, &self.issuer)
    }

    /// Starts a worker of that kind.
    pub fn work<H: Handler>(&self) {
        self.work_until::<H>(self.shutdown.clone());
    }

    /// Starts a worker of that kind that stops when `shutdown` is cancelled.
    pub fn work_until<H: Handler>(&self, shutdown: CancellationToken) {
        let config = WorkerConfig::from_vars(&self.vars).unwrap();
        let runner = Runner::new(self.stores.queue.clone(), self.executor::<H>(), config);
        self.product.spawn(runner.run(shutdown));
    }

    /// Starts a worker for rollups.
    pub fn work_rollups(&self) {
        let config = WorkerConfig::from_vars(&self.vars).unwrap();
        let runner = Runner::new(self.stores.queue.clone(), self.rollup_executor(), config);
        self.product.spawn(runner.run(self.shutdown.clone()));
    }

    /// An executor of rollup jobs, to be stepped.
    pub fn rollup_executor(&self) -> RollupExecutor {
        RollupExecutor::new(self.stores.clone())
    }

    /// A scheduler of rollups, to be stepped.
    pub fn nightly(&self) -> Nightly {
        Nightly::new(self.stores.clone(), RollupConfig::from_vars(&self.vars).unwrap())
    }

    /// Starts a reconciler.
    pub fn reconcile(&self) {
        let (reconciler, shutdown) = (self.reconciler(), self.shutdown.clone());
        self.product.spawn(async move { reconciler.run(shutdown).await });
    }

    /// A reconciler, to be stepped.
    pub fn reconciler(&self) -> Reconciler {
        Reconciler::new(self.stores.clone(), ReconcilerConfig::from_vars(&self.vars).unwrap())
    }

    /// An executor of that kind, to be stepped.
    pub fn executor<H: Handler>(&self) -> Executor {
        Executor::new(self.stores.clone(), AnyHandler::build::<H>(&self.vars, &self.stores).unwrap())
    }

    /// An executor of a handler made for the test.
    pub fn executor_of<H: Handler>(&self, handler: H) -> Executor {
        Executor::new(self.stores.clone(), AnyHandler::new(handler))
    }

    /// Accepts a command as the API would.
    pub async fn send<P: Parameters>(&self, tenant_id: Option<TenantId>, parameters: Value) -> Command {
        let command_type = CommandType::of::<P>();
        let raw: Map<String, Value> = parameters.as_object().cloned().unwrap();
        let new = NewCommand {
            command_type,
            tenant_id,
            parameters: command_type.normalise(raw).unwrap(),
            reason: None,
            created_by: "tester".to_owned(),
            created_by_email: None,
            traceparent: TraceContext::root(),
        };
        dispatch(&self.stores, new, None, Origin::default()).await.unwrap().command
    }

    /// The command as it is stored.
    pub async fn stored(&self, command: &Command) -> Command {
        self.stores.commands.get_key(command.key).await.unwrap().unwrap()
    }

    /// A receiver of that queue.
    pub async fn receiver(&self, queue: WorkQueue, side: Side) -> Receiver {
        self.stores.queue.receiver(queue, side, 20).await.unwrap()
    }

    /// The next delivery of that queue; panics where none comes.
    pub async fn next(&self, queue: WorkQueue) -> Delivery {
        let mut receiver = self.receiver(queue, Side::Work).await;
        let mut received = receiver.receive(1, Duration::from_secs(20)).await.unwrap();
        received.pop().expect("a delivery")
    }

    /// Takes the next delivery of the executor's queue and executes it to its settlement.
    pub async fn step(&self, executor: &impl Execute) {
        let delivery = self.next(executor.queue()).await;
        executor.execute(delivery, &CancellationToken::new()).await;
    }

    /// Publishes another job for that command, as a duplicate.
    pub async fn publish_again(&self, command: &Command) {
        self.stores.queue.publish(&Job::for_command(command)).await.unwrap();
    }

    /// How many events of that type the command has.
    pub async fn events(&self, command: &Command, event_type: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM operational_events WHERE resource_id = $1 AND event_type = $2")
            .bind(command.id().to_string())
            .bind(event_type)
            .fetch_one(&self.stores.db.service())
            .await
            .unwrap()
    }

    /// How often the example's integration's token was rotated.
    pub async fn rotations(&self) -> i64 {
        sqlx::query_scalar("SELECT token_rotations FROM tenant_integrations WHERE id = $1")
            .bind(self.example.integration.uuid())
            .fetch_one(&self.stores.db.service())
            .await
            .unwrap()
    }

    /// Where people sign in.
    pub fn login_site(&self) -> &LoginSite {
        self.stand_ins.login_site()
    }

    /// The restarts that the stand-in agent runtime has made.
    pub fn restarts(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("agent-runtime.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Has the stand-in agent runtime refuse the first agent's next restarts.
    pub async fn refuse_restarts(&self, refusals: u32) {
        let [agent, _] = self.example.agents;
        let url = format!("{}/tenants/{}/agents/{agent}/refusals", self.stand_ins.url(), self.example.tenant);
        let body = serde_json::json!({"refusals": refusals});
        reqwest::Client::new().post(url).json(&body).send().await.unwrap().error_for_status().unwrap();
    }

    /// A call to DynamoDB as its wire has it, for what the product never does.
    pub async fn dynamodb_call(&self, operation: &str, body: Value) -> String {
        self.aws_call(&format!("DynamoDB_20120810.{operation}"), body).await
    }

    /// A call to DynamoDB Streams as its wire has it.
    pub async fn streams_call(&self, operation: &str, body: Value) -> Value {
        let answer = self.aws_call(&format!("DynamoDBStreams_20120810.{operation}"), body).await;
        serde_json::from_str(&answer).unwrap()
    }

    async fn aws_call(&self, target: &str, body: Value) -> String {
        wire::call(&self.dynamodb.url(), "dynamodb", target, &body).await
    }

    /// The item of a command as the table has it.
    pub async fn item(&self, command: &Command) -> Value {
        let answer = self.dynamodb_call("GetItem", json!({"TableName": self.table(), "Key": key(command)})).await;
        serde_json::from_str::<Value>(&answer).unwrap()["Item"].take()
    }

    /// Some attributes of a command's item; null where one is absent.
    pub async fn attributes<const N: usize>(&self, command: &Command, names: [&str; N]) -> [Value; N] {
        let mut item = self.item(command).await;
        names.map(|name| item[name].take())
    }

    /// Changes a command's item as nothing in the product does: `#x` is that attribute, `:x` the value.
    pub async fn damage(&self, command: &Command, update: &str, attribute: &str, value: Value) {
        let request = json!({
            "TableName": self.table(), "Key": key(command), "UpdateExpression": update,
            "ExpressionAttributeNames": {"#x": attribute}, "ExpressionAttributeValues": {":x": value},
        });
        self.dynamodb_call("UpdateItem", request).await;
    }

    /// Puts `count` items into the table, as they are.
    pub async fn fill_raw(&self, count: i64, item: impl Fn(i64) -> Value) {
        for first in (0..count).step_by(25) {
            let puts: Vec<Value> =
                (first..(first + 25).min(count)).map(|n| json!({"PutRequest": {"Item": item(n)}})).collect();
            let request = json!({"RequestItems": {self.table(): puts}});
            self.dynamodb_call("BatchWriteItem", request).await;
        }
    }

    fn table(&self) -> &str {
        self.vars.text("PAINEL_DYNAMODB_TABLE").unwrap_or("operational_commands")
    }

    /// How often the stand-in agent runtime was asked for a restart.
    pub async fn restart_calls(&self) -> u64 {
        let answer = reqwest::get(format!("{}/calls", self.stand_ins.url())).await.unwrap();
        answer.json::<Value>().await.unwrap()["calls"].as_u64().unwrap()
    }

    /// Takes one side of that queue away, whatever the transport.
    pub async fn take_away(&self, queue: WorkQueue, side: Side) {
        let prefix = self.vars.text("PAINEL_QUEUE_PREFIX").unwrap();
        let mut name = queue.name().replacen("painel", prefix, 1);
        if side == Side::DeadLetters {
            name.push_str(".dead-letter");
        }
        if self.vars.text("PAINEL_QUEUE") == Some(RABBITMQ.1) {
            let url = self.vars.text("PAINEL_RABBITMQ_URL").unwrap();
            delete_queue(url, &name).await.unwrap();
        } else {
            let name = name.replace('.', "-");
            let url = self.sqs_call("GetQueueUrl", json!({"QueueName": name})).await["QueueUrl"].take();
            self.sqs_call("DeleteQueue", json!({"QueueUrl": url})).await;
        }
    }

    /// A call to SQS as its wire has it; what it answers.
    async fn sqs_call(&self, operation: &str, body: Value) -> Value {
        let answer = wire::call(&self.sqs.url(), "sqs", &format!("AmazonSQS.{operation}"), &body).await;
        serde_json::from_str(&answer).unwrap_or_default()
    }

    /// Another command store, which asks DynamoDB through a proxy that can be told to do it wrong.
    pub async fn behind_a_proxy(&self) -> (Lossy, CommandStore) {
        let proxy = Lossy::before(&self.dynamodb.url()).await;
        let vars = self.vars.clone().overridden_by([("PAINEL_DYNAMODB_ENDPOINT", proxy.url())]);
        (proxy, Stores::from_vars(&vars).await.unwrap().commands)
    }

    /// Where PostgreSQL listens, as its URL says.
    pub fn postgres_address(&self) -> std::net::SocketAddr {
        let (_, rest) = self.postgres.split_once('@').unwrap();
        rest.split_once('/').unwrap().0.parse().unwrap()
    }

    /// Where DynamoDB and SQS listen.
    pub fn aws_urls(&self) -> (String, String) {
        (self.dynamodb.url(), self.sqs.url())
    }
}

async fn delete_queue(url: &str, name: &str) -> anyhow::Result<()> {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.queue_delete(name.into(), lapin::options::QueueDeleteOptions::default()).await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

fn key(command: &Command) -> Value {
    let CommandKey { command_id, created_at } = command.key;
    json!({"command_id": {"S": command_id}, "created_at": {"S": to_text(created_at)}})
}

fn postgres_url() -> String {
    std::env::var(POSTGRES_VARIABLE).unwrap_or_else(|_| POSTGRES.to_owned())
}

/// The real RabbitMQ.
pub fn rabbitmq_url() -> String {
    std::env::var("PAINEL_TEST_RABBITMQ").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// Deletes what a test has made at the broker; what it has not made is not missed.
async fn delete_queues(url: &str, prefix: &str) -> anyhow::Result<()> {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let own = |queue: WorkQueue| queue.name().replacen("painel", prefix, 1);
    let mut queues: Vec<String> = WorkQueue::all().map(own).collect();
    queues.extend(WorkQueue::all().map(|queue| format!("{}.dead-letter", own(queue))));
    let rooms: Vec<String> = (0..9).map(|level| format!("{prefix}.wait.{level}")).collect();
    for name in queues.iter().chain(&rooms) {
        channel.queue_delete(name.as_str().into(), lapin::options::QueueDeleteOptions::default()).await?;
    }
    for room in &rooms {
        channel.exchange_delete(room.as_str().into(), lapin::options::ExchangeDeleteOptions::default()).await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Drops the database of a test, whoever is still in it. `WITH (FORCE)` ends the sessions of others as well, and so is
/// denied to an owner who is no superuser while autovacuum is at work there; a plain `DROP` sends autovacuum away.
async fn drop_database(server: &str, database: &str) -> anyhow::Result<()> {
    const OBJECT_IN_USE: &str = "55006";
    let statement = format!("DROP DATABASE IF EXISTS {database}");
    let end_own_sessions = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND usename = session_user"
    );
    eventually("a test's database is left by everybody", Duration::from_secs(60), || async {
        let outcome = match admin(server, &end_own_sessions).await {
            Ok(()) => admin(server, &statement).await,
            denied => denied,
        };
        let in_use = |error: &anyhow::Error| {
            let error = error.downcast_ref().and_then(sqlx::Error::as_database_error);
            error.and_then(|error| error.code()).is_some_and(|code| code == OBJECT_IN_USE)
        };
        outcome.as_ref().err().is_none_or(|error| !in_use(error)).then_some(outcome)
    })
    .await
}

async fn admin(server: &str, statement: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// One RSA key for all tests of this process: making one takes a while.
fn issuer_key() -> &'static Path {
    static KEY: OnceLock<PathBuf> = OnceLock::new();
    KEY.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("painel-test-issuer-").tempdir().unwrap().keep();
        let file = folder.join("issuer.pem");
        Issuer::open(&file).unwrap();
        file
    })
}

/// The key that the tests' AWS services want requests signed with.
pub fn access_key() -> AccessKey {
    AccessKey { id: "test".to_owned(), secret: "secret of the tests".to_owned() }
}

/// The test's key for credentials, as text.
pub fn credentials() -> CredentialsConfig {
    CredentialsConfig { keys: CREDENTIALS.into() }
}

/// Shows a secret, in a test.
pub fn reveal(secret: &secrecy::SecretString) -> String {
    secret.expose_secret().to_owned()
}
