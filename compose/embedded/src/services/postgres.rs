//! PostgreSQL in this process. It has one backend, so one connection at a time, and nothing beside it that would do what a
//! server's other processes do: checkpoints and vacuum are asked for here.

use std::{path::Path, time::Duration};

use anyhow::Context;
use painel_shared::db::Database;
use pglite_oxide::PgliteServer;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// A running PostgreSQL.
pub struct Postgres(PgliteServer);

impl Postgres {
    /// Starts it on the files in `dir`, which are made where they are missing.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.to_owned();
        // `fsync` cannot be turned on: the machine that it runs in syncs no folder, and that is an error to PostgreSQL. So
        // what was confirmed outlasts this process, however it ends, and a power cut only as far as the system has written.
        let start = move || {
            PgliteServer::builder()
                .path(dir)
                .postgres_config("min_wal_size", "32MB")
                .postgres_config("max_wal_size", "64MB")
                .start()
        };
        let started = tokio::task::spawn_blocking(start).await?;
        Ok(Self(started.context("the embedded PostgreSQL did not start")?))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.0.database_url()
    }

    /// Stops it. Its clients must have gone before.
    pub async fn stop(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.0.shutdown()).await?
    }
}

/// How often a checkpoint is asked for, and vacuum.
const CHECKPOINTS: Duration = Duration::from_secs(60);
const VACUUMS: Duration = Duration::from_secs(3_600);

/// Keeps the files of the embedded PostgreSQL small until `shutdown`.
pub async fn upkeep(db: Database, shutdown: CancellationToken) {
    let every = |period| {
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let (mut checkpoints, mut vacuums) = (every(CHECKPOINTS), every(VACUUMS));
    loop {
        let (what, done) = tokio::select! {
            _ = checkpoints.tick() => ("checkpoint", checkpoint(&db).await),
            _ = vacuums.tick() => ("vacuum", vacuum(&db).await),
            () = shutdown.cancelled() => return,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the embedded PostgreSQL did no {what}; it will be asked again");
        }
    }
}

/// Writes what has changed to its place, so that the log before it can go. Where nothing has, nothing is written.
pub async fn checkpoint(db: &Database) -> Result<(), sqlx::Error> {
    let service = db.service();
    let since = "SELECT pg_current_wal_insert_lsn() - redo_lsn > 65536 FROM pg_control_checkpoint()";
    if sqlx::query_scalar(since).fetch_one(&service).await? {
        sqlx::query("CHECKPOINT").execute(&service).await?;
    }
    Ok(())
}

/// Makes room where rows have gone, and has the planner know what is there.
async fn vacuum(db: &Database) -> Result<(), sqlx::Error> {
    let mut connection = db.service().acquire().await?;
    // It takes as long as it takes; what comes after has the limit again.
    let limited: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut *connection).await?;
    sqlx::query("SET statement_timeout = 0").execute(&mut *connection).await?;
    let vacuumed = sqlx::query("VACUUM (ANALYZE)").execute(&mut *connection).await;
    let again = "SELECT set_config('statement_timeout', $1, false)";
    sqlx::query(again).bind(limited).execute(&mut *connection).await?;
    vacuumed.map(|_| ())
}
