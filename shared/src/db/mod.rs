//! PostgreSQL: the pools of connections, the roles that see only what they may, and the schema.
//!
//! Nowhere is a connection held while another of its pool is asked for: with a pool of one, and with any pool
//! under load, that would be a deadlock.

mod kept;
mod lanes;
mod members;
mod roles;
mod sessions;
mod statement;

use std::{
    borrow::Cow,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction,
    error::DatabaseError,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use self::{
    kept::Kept,
    lanes::{Lanes, Message},
    sessions::Sessions,
};
use tokio::runtime::Handle;

pub use self::{
    kept::Session,
    members::Member,
    statement::{Batch, Bound, Known, Statement, Value},
};
use crate::{
    config::{ConfigError, DatabaseConfig},
    ids::TenantId,
};

/// The schema's changes, in order.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The relational store. Cheap to clone. Questions of people are asked [as a tenant](Self::ask_as_tenant) or
/// [as an operator](Self::ask_as_operator); only workers, the audit log and the acceptance of commands go in as the service.
#[derive(Clone, Debug)]
pub struct Database {
    config: Arc<DatabaseConfig>,
    options: Arc<PgConnectOptions>,
    sessions: Sessions,
    lanes: Lanes,
    kept: Kept,
    /// Where what outlasts a question goes on.
    runtime: Handle,
    pools: Arc<RwLock<Pools>>,
}

#[derive(Clone, Debug)]
struct Pools {
    service: PgPool,
    beside: Option<PgPool>,
}

/// How many connections [beside](Database::beside) one transaction may ask for.
pub const READERS: u32 = 2;

/// The longest that the statements of one step may take together. PostgreSQL has its own limit a statement;
/// this one holds also when its host has vanished and nothing comes back at all.
const STEP_LIMIT: Duration = Duration::from_secs(12);
/// How long a connection for a migration may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

impl Database {
    /// The configured one; connects on first use. Within the runtime that lives as long as the process.
    pub fn new(config: &DatabaseConfig) -> Result<Self, ConfigError> {
        let options = PgConnectOptions::from_str(config.url.expose_secret())
            .map_err(|_| {
                ConfigError::new("PAINEL_DATABASE_URL", "must look like postgres://user:password@host/database")
            })?
            .application_name("painel")
            // Some bear their values, and those people's addresses and reasons.
            .disable_statement_logging();
        let sessions = Sessions::default();
        let pools = Arc::new(RwLock::new(pools(config, &options, &sessions)));
        let (config, options) = (Arc::new(config.clone()), Arc::new(options));
        let runtime = Handle::current();
        let most = busy(&config);
        let (lanes, kept) = (Lanes::new(most), Kept::new(most, runtime.clone()));
        Ok(Self { config, options, sessions, lanes, kept, runtime, pools })
    }

    /// The pool, as the role that connects, which sees and may do everything. To be asked for each time: it is replaced
    /// where its host has vanished.
    pub fn service(&self) -> PgPool {
        self.pools().service
    }

    /// Connections to read on beside a transaction of the pool, as the same role: as many as all its transactions may ask
    /// for, so that none waits for another's. None where the pool is of one, for then there is no other to be had.
    pub fn beside(&self) -> Option<PgPool> {
        self.pools().beside
    }

    fn pools(&self) -> Pools {
        // A server that takes one connection has no host to vanish.
        if self.config.max_connections > 1 && self.sessions.has_vanished() {
            self.kept.clear();
            let fresh = pools(&self.config, &self.options, &self.sessions);
            let old = std::mem::replace(&mut *self.pools.write().unwrap_or_else(PoisonError::into_inner), fresh);
            // It ends when TCP has given up what it still holds.
            tokio::spawn(async move { old.close().await });
        }
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets go of all connections.
    pub async fn close(&self) {
        self.kept.clear();
        // One to a host that has vanished cannot even be closed.
        let _ = tokio::time::timeout(CONNECT_LIMIT, self.pools().close()).await;
    }

    /// Whether PostgreSQL answers within `limit`.
    pub async fn ping(&self, limit: Duration) -> Result<(), sqlx::Error> {
        let ask = async { sqlx::query("SELECT 1").execute(&self.service()).await.map(|_| ()) };
        tokio::time::timeout(limit, self.watch(ask)).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    /// Brings the schema up to date, over a connection of its own that has no time limit once it is made.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let connecting = tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(&self.options));
        let mut connection = connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let encoding: String = sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut connection).await?;
        if encoding != "UTF8" {
            let said = format!("the database is encoded in {encoding}, and must be in UTF8");
            return Err(sqlx::Error::Configuration(said.into()).into());
        }
        roles::ensure(&mut connection).await?;
        let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
        connection.close().await?;
        migrated
    }

    /// Carries out a step: a statement or a transaction, within a time limit. Where its session turns out to be useless,
    /// it has done nothing, and is carried out once more on a fresh one.
    pub async fn step<T, F>(&self, step: impl Fn() -> F) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        // Boxed, as otherwise whoever awaits this would have room for the step twice.
        match self.limited(Box::pin(step())).await {
            Err(error) if self.learn(&error) => self.limited(Box::pin(step())).await,
            outcome => outcome,
        }
    }

    /// Carries out a step that is one statement, on a [session](Self::session). One that was kept may have ended since then,
    /// and whether its statement was carried out is not known: so it is one that does nothing where that has been done.
    pub async fn statement<T, F>(&self, statement: impl Fn(Session) -> F) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let step = async || {
            let session = self.session().await?;
            let was_kept = session.was_kept();
            match statement(session).await {
                Err(error) if was_kept && sessions::has_ended(&error) => {
                    self.kept.clear();
                    statement(self.session().await?).await
                }
                outcome => outcome,
            }
        };
        self.step(step).await
    }

    /// The same as a step, for what cannot be carried out twice: a part of a transaction.
    pub async fn limited<T>(&self, step: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let watched = tokio::time::timeout(STEP_LIMIT, self.watch(step)).await;
        let outcome = watched.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if matches!(outcome, Err(sqlx::Error::PoolTimedOut)) {
            self.sessions.learn_of_none_to_be_had(self.config.call_limit);
        }
        outcome
    }

    /// Carries something out that uses connections of the pools. Where it is given up half-way, they are looked at before
    /// others get them.
    pub async fn watch<T>(&self, step: impl Future<Output = T>) -> T {
        self.sessions.watch(step).await
    }

    /// Draws the conclusion from an error that was met outside of a [step](Self::step): whether its session was useless,
    /// and what was asked can be asked again.
    pub fn learn(&self, error: &sqlx::Error) -> bool {
        let useless = self.sessions.learn(error);
        if useless {
            self.kept.clear();
        }
        useless
    }

    /// A session of the pool for one statement, for those who have one after the other. Whoever is [done](Session::done)
    /// with it leaves it to the next.
    pub async fn session(&self) -> Result<Session, sqlx::Error> {
        let leave = tokio::time::timeout(self.config.call_limit, self.kept.leave()).await;
        match leave.map_err(|_| sqlx::Error::PoolTimedOut)?.take() {
            Ok(session) => Ok(session),
            Err(leave) => Ok(leave.adopt(self.service().acquire().await?)),
        }
    }

    /// Asks as that tenant, in one exchange: PostgreSQL itself decides which rows it sees, and takes no write.
    pub async fn ask_as_tenant<B: Batch>(&self, tenant: TenantId, batch: &B) -> Result<B::Answers, sqlx::Error> {
        self.ask(roles::TENANT, tenant.to_string(), batch).await
    }

    /// Asks as an operator, who sees the rows of all tenants, in one exchange that takes no write.
    pub async fn ask_as_operator<B: Batch>(&self, batch: &B) -> Result<B::Answers, sqlx::Error> {
        self.ask(roles::INTERNAL, String::new(), batch).await
    }

    async fn ask<B: Batch>(
        &self,
        role: &'static str,
        tenant: String,
        batch: &B,
    ) -> Result<B::Answers, sqlx::Error> {
        let mut pieces = Vec::new();
        batch.add_to(&mut pieces);
        if pieces.is_empty() {
            return batch.read(&mut Vec::new().into_iter());
        }
        let message = Message { role, tenant, pieces };
        let answers = self.lanes.ask(self, message).await?;
        batch.read(&mut answers.into_iter())
    }

    /// Begins a transaction that is rolled back wherever it is dropped, also while it begins.
    ///
    /// The driver forgets a BEGIN whose caller goes away before it is answered, and gives the connection to the next with
    /// the transaction open: what that one writes would never be committed. So it is begun in a task that nobody cancels.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let own = self.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "here it is not cancelled, but where nothing comes back at all"
        )]
        let begun = self.runtime.spawn(async move { own.limited(own.service().begin()).await });
        begun.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }
}

impl Pools {
    async fn close(&self) {
        self.service.close().await;
        if let Some(beside) = &self.beside {
            beside.close().await;
        }
    }
}

/// The SQLSTATE of an error that PostgreSQL answered with: its documentation, Appendix A.
pub fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}

/// Whether PostgreSQL will refuse it each time: what was to be written, or for missing rights (42501).
pub fn is_permanent(error: &sqlx::Error) -> bool {
    is_about_data(error) || sqlstate(error).is_some_and(|code| code == "42501")
}

/// Whether PostgreSQL will refuse to write this each time: wrong data (class 22) or a broken constraint (23).
pub fn is_about_data(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// How many connections may be kept from whoever asks the pool itself: some are always left.
fn busy(config: &DatabaseConfig) -> usize {
    let most = config.max_connections - config.max_connections.div_ceil(8);
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn pools(config: &DatabaseConfig, options: &PgConnectOptions, sessions: &Sessions) -> Pools {
    let connections = config.max_connections;
    let of = |connections| pool(config, options, sessions, connections);
    Pools { service: of(connections), beside: (connections > 1).then(|| of(connections.saturating_mul(READERS))) }
}

fn pool(config: &DatabaseConfig, options: &PgConnectOptions, sessions: &Sessions, connections: u32) -> PgPool {
    let limit = config.call_limit.as_millis();
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(config.call_limit)
        .idle_timeout(config.connection_lifetime)
        .max_lifetime(config.connection_lifetime)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                // A worker that is stopped inside a transaction must not hold its locks for ever, nor one whose host has
                // vanished: PostgreSQL notices that by the keepalives that it sends.
                let statement = format!(
                    "SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {};
                     SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
                     SET tcp_user_timeout = 50000",
                    limit * 2
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
            })
        });
    sessions.watched_over(pool).connect_lazy_with(options.clone())
}
