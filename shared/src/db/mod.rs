//! PostgreSQL: the pools of connections, the scopes that see only what they may, and the schema.
//!
//! Nowhere is a connection held while another of its pool is asked for: with a pool of one, and with any pool
//! under load, that would be a deadlock.

mod scope;

use std::{str::FromStr, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, SqlSafeStr, SqlStr, Transaction,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use self::scope::{InternalScope, Member, TenantScope};
use crate::config::{ConfigError, DatabaseConfig};

/// The schema's changes, in order.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The relational store. Cheap to clone. Questions of people are asked in a [`TenantScope`] or an
/// [`InternalScope`]; only workers, the audit log and the acceptance of commands go in as the service.
#[derive(Clone, Debug)]
pub struct Database {
    service: PgPool,
    readers: Option<PgPool>,
}

/// How many [readers](Database::readers) one transaction may ask for.
pub const READERS: u32 = 2;

impl Database {
    /// The configured one; connects on first use.
    pub fn new(config: &DatabaseConfig) -> Result<Self, ConfigError> {
        let connections = config.max_connections;
        let readers = (connections > 1).then(|| pool(config, connections.saturating_mul(READERS)));
        Ok(Self { service: pool(config, connections)?, readers: readers.transpose()? })
    }

    /// The pool, as the role that connects, which sees and may do everything.
    pub fn service(&self) -> &PgPool {
        &self.service
    }

    /// Connections that read beside a transaction of the pool: as many as all its transactions may ask for, so that
    /// none waits for another's. None where the pool is of one, for then there is no other connection to be had.
    pub fn readers(&self) -> Option<&PgPool> {
        self.readers.as_ref()
    }

    /// Lets go of all connections.
    pub async fn close(&self) {
        self.service.close().await;
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
    }

    /// Whether PostgreSQL answers within `limit`.
    pub async fn ping(&self, limit: Duration) -> Result<(), sqlx::Error> {
        let ask = async { sqlx::query("SELECT 1").execute(&self.service).await.map(|_| ()) };
        tokio::time::timeout(limit, ask).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    /// Brings the schema up to date, over a connection of its own that has no time limit.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let mut connection = PgConnection::connect_with(&self.service.connect_options()).await?;
        let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
        connection.close().await?;
        migrated
    }
}

/// Begins a transaction that is rolled back wherever it is dropped, also while it begins.
///
/// The driver forgets a BEGIN whose caller goes away before it is answered, and gives the connection to the next with
/// the transaction open: what that one writes would never be committed. So it is begun in a task that nobody cancels.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(pool, "BEGIN".into_sql_str()).await
}

async fn begin_with(pool: &PgPool, statement: SqlStr) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    #[expect(clippy::disallowed_methods, reason = "here it is not cancelled")]
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    begun.await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

fn pool(config: &DatabaseConfig, connections: u32) -> Result<PgPool, ConfigError> {
    let options = PgConnectOptions::from_str(config.url.expose_secret())
        .map_err(|_| {
            ConfigError::new("PAINEL_DATABASE_URL", "must look like postgres://user:password@host/database")
        })?
        .application_name("painel");
    let limit = config.call_limit.as_millis();
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(config.call_limit)
        .idle_timeout(config.connection_lifetime)
        .max_lifetime(config.connection_lifetime)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                // A worker that is stopped inside a transaction must not hold its locks for ever.
                let statement = format!(
                    "SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {}",
                    limit * 2
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
            })
        })
        .connect_lazy_with(options);
    Ok(pool)
}

/// The longest that the statements of one step may take together. PostgreSQL has its own limit a statement;
/// this one holds also when its host has vanished and nothing comes back at all.
const STEP_LIMIT: Duration = Duration::from_secs(12);

/// Carries out a few statements within a time limit.
pub async fn within_limit<T>(step: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(STEP_LIMIT, step).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}
