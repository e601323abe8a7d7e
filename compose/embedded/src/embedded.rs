//! The composition: every service, the API, all workers and the scheduler in one process.
//!
//! It is not a mode: the product's code gets the same variables that a deployment would set, and
//! connects with the same clients; only the addresses differ.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use painel_api::{
    config::{HttpConfig, LimitsConfig, TokenUse},
    server,
    web::PanelConfig,
};
use painel_shared::{
    command_store::TableState,
    config::{CommandStoreConfig, ConfigError, CredentialsConfig, QueueConfig, Vars},
    stores::Stores,
};
use painel_workers::{
    command_work::Executor,
    commands,
    config::{ReconcilerConfig, RollupConfig, WorkerConfig},
    rollup::RollupExecutor,
    runner::Runner,
    scheduler::{Nightly, Reconciler},
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    data_dir::DataDir,
    demo_data,
    services::{
        self, ANYWHERE,
        agent_runtime::AgentRuntime,
        dynamodb::DynamoDb,
        issuer::Issuer,
        postgres::{Postgres, upkeep},
        sqs::Sqs,
        stand_ins::StandIns,
    },
};

/// How long a service may take to stop once nobody uses it.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Everything, running.
pub struct Embedded {
    address: SocketAddr,
    issuer: Issuer,
    stores: Stores,
    stand_ins: StandIns,
    postgres: Postgres,
    dynamodb: DynamoDb,
    sqs: Sqs,
    product: TaskTracker,
    api: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
    first_start: bool,
    _data_dir: DataDir,
}

impl Embedded {
    /// Starts everything on that folder. `vars` may set what a deployment may set; the addresses of the
    /// embedded services win.
    pub async fn start(data_dir: &Path, vars: &Vars, shutdown: CancellationToken) -> anyhow::Result<Self> {
        check(vars)?;
        let data_dir = DataDir::open(data_dir)?;
        let issuer = Issuer::open(&data_dir.issuer_key())?.with_token_use(TokenUse::from_vars(vars)?);
        let stand_ins = StandIns::start(&issuer, AgentRuntime::open(&data_dir.agent_runtime()?)?, ANYWHERE)?;
        let (files, file, key) =
            (data_dir.postgres(), data_dir.dynamodb()?, data_dir.access_key(&Vars::default())?);
        let (postgres, dynamodb, sqs) = tokio::try_join!(
            Postgres::start(&files),
            DynamoDb::start(Some(&file), ANYWHERE, &key),
            Sqs::start(ANYWHERE, &key)
        )?;
        let own = [
            ("PAINEL_DATABASE_URL", postgres.url()),
            ("PAINEL_DATABASE_POOL", "1".to_owned()),
            ("PAINEL_DATABASE_CONNECTION_SECONDS", "1000000000".to_owned()),
            ("PAINEL_QUEUE", "sqs".to_owned()),
        ];
        let given = services::variables(&dynamodb, &sqs, &stand_ins, key, &data_dir)?;
        // A person waits for the end of this process.
        let vars = vars.clone().with_defaults([("PAINEL_DRAIN_SECONDS", "2")]);
        let vars = vars.overridden_by(own).overridden_by(given);
        let stores = Stores::from_vars(&vars).await?;
        migrate(&stores).await?;
        let first_start = demo_data::load(&stores.db, &CredentialsConfig::from_vars(&vars)?).await?;
        stand_ins.login_site().offer(demo_data::customers(&stores.db.service()).await?);
        let product = TaskTracker::new();
        let (address, api) = spawn_product(&product, &vars, &stores, &shutdown).await?;
        product.spawn(upkeep(stores.db.clone(), shutdown.clone()));
        Ok(Self {
            address,
            issuer,
            stores,
            stand_ins,
            postgres,
            dynamodb,
            sqs,
            product,
            api,
            shutdown,
            first_start,
            _data_dir: data_dir,
        })
    }

    /// The API's URL.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{address}")
    }

    /// The URL of the stand-in agent runtime.
    pub fn agent_runtime_url(&self) -> String {
        self.stand_ins.url()
    }

    /// Signs tokens that the API takes.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The stores.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Whether this start made the demo data.
    pub fn is_first_start(&self) -> bool {
        self.first_start
    }

    /// Waits for the shutdown, drains, and stops every service.
    pub async fn run(self) -> anyhow::Result<()> {
        self.shutdown.cancelled().await;
        self.product.close();
        self.product.wait().await;
        let served = self.api.await.context("the API panicked").and_then(|served| served);
        self.stores.db.close().await;
        self.stand_ins.stop().await;
        self.sqs.stop().await;
        limited("DynamoDB", self.dynamodb.stop()).await;
        limited("PostgreSQL", self.postgres.stop()).await;
        served
    }
}

/// Reads what may be set, so that a wrong value is told before anything is touched.
fn check(vars: &Vars) -> Result<(), ConfigError> {
    HttpConfig::from_vars(vars)?;
    LimitsConfig::from_vars(vars)?;
    PanelConfig::from_vars(vars)?;
    TokenUse::from_vars(vars)?;
    CommandStoreConfig::from_vars(vars)?;
    QueueConfig::from_vars(vars)?;
    WorkerConfig::from_vars(vars)?;
    ReconcilerConfig::from_vars(vars)?;
    RollupConfig::from_vars(vars)?;
    Ok(())
}

/// Makes schema, table and queues where they are missing; what differs is an error.
pub async fn migrate(stores: &Stores) -> anyhow::Result<()> {
    stores.db.migrate().await.context("the schema of PostgreSQL was not brought up to date")?;
    if let TableState::Differs(differences) = stores.commands.migrate().await? {
        let all: Vec<String> = differences
            .into_iter()
            .map(|one| format!("{} is {} and must be {}", one.field, one.found, one.expected))
            .collect();
        bail!("the DynamoDB table differs, and was left alone: {}", all.join("; "));
    }
    stores.queue.migrate().await.context("the queues were not made")?;
    Ok(())
}

async fn spawn_product(
    tasks: &TaskTracker,
    vars: &Vars,
    stores: &Stores,
    shutdown: &CancellationToken,
) -> anyhow::Result<(SocketAddr, JoinHandle<anyhow::Result<()>>)> {
    let server = server::from_vars(vars, stores.clone())?;
    let address = server.address();
    let serving = server.run(shutdown.clone());
    let ended = shutdown.clone();
    let api = tokio::spawn(async move {
        let served = serving.await;
        // Where the API fails, the rest ends too.
        ended.cancel();
        served
    });
    let worker = WorkerConfig::from_vars(vars)?;
    for build in commands::CATALOGUE {
        let executor = Executor::new(stores.clone(), build(vars, stores)?);
        tasks.spawn(Runner::new(stores.queue.clone(), executor, worker).run(shutdown.clone()));
    }
    let rollups = RollupExecutor::new(stores.clone());
    tasks.spawn(
        Runner::new(stores.queue.clone(), rollups, WorkerConfig { concurrency: 1, ..worker }).run(shutdown.clone()),
    );
    let nightly = Nightly::new(stores.clone(), RollupConfig::from_vars(vars)?);
    let scheduling = shutdown.clone();
    tasks.spawn(async move { nightly.run(scheduling).await });
    let reconciler = Reconciler::new(stores.clone(), ReconcilerConfig::from_vars(vars)?);
    let reconciling = shutdown.clone();
    tasks.spawn(async move { reconciler.run(reconciling).await });
    Ok((address, api))
}

async fn limited(name: &str, stop: impl Future<Output = anyhow::Result<()>>) {
    match tokio::time::timeout(STOP_LIMIT, stop).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "{name} did not stop cleanly"),
        Err(_) => tracing::warn!("{name} did not stop within {STOP_LIMIT:?}"),
    }
}
