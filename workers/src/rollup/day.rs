//! One day's rollup, in one transaction: all of it, or nothing.
//!
//! Under a lock on the day, the marks that are there are deleted first and the requests are counted after. Each
//! statement sees what was committed when it began: a request whose mark was deleted is counted, and one that comes
//! later leaves its mark for the next run. So the last run equals a recount.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use futures::future::try_join_all;
use painel_shared::{
    command::{CommandError, Holder},
    db::{Database, READERS, is_about_data, sqlstate},
    rollup::{self, Horizon, RollupRun},
};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::mpsc;

use super::{
    scan::{Buckets, Pieces, Usage, tables},
    sums::Sums,
    write::{BATCH, Moves, move_counters, remove_others, write},
};

/// The first half of the key of a lock; the day, or what else is locked, is the second.
const LOCK: i32 = 0x0052_6f6c;
/// The lock on the agents' counters. Day 0 is before the calendar.
const COUNTERS: i32 = 0;
/// How many batches may wait to be written.
const BATCHES_AHEAD: usize = 2;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rolled {
    /// The day equals a recount.
    Done {
        /// How many requests were read.
        rows_read: i64,
        /// How many rows of daily usage were written.
        groups_written: i64,
    },
    /// The run had passed to another; nothing was written.
    LostLease,
    /// Some of the day's requests cannot be seen yet, or another rollup of the day is under way; nothing was written.
    NotYet,
}

/// Why a day was not rolled up. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// Its raw requests are not there any more: a rollup would write zeros.
    #[error("the raw requests of {0} are not there any more")]
    NoPartition(NaiveDate),
    /// PostgreSQL did not do its part.
    #[error("PostgreSQL did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

impl RollupError {
    /// As it is stored with the run.
    pub fn to_stored(&self) -> CommandError {
        match self {
            Self::NoPartition(_) => CommandError::new("no_raw_requests", &self.to_string(), false),
            Self::Database(error) if is_about_data(error) => {
                tracing::warn!(%error, "PostgreSQL refused its part");
                CommandError::new("database_refused", "PostgreSQL refused the day's usage", false)
            }
            Self::Database(error) => {
                tracing::warn!(%error, "PostgreSQL did not do its part");
                CommandError::new("database_unavailable", "PostgreSQL did not do its part", true)
            }
        }
    }
}

/// How much a rollup may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// PostgreSQL ends the transaction of one that says nothing for so long: its worker was stopped, or is gone.
    pub silence: Duration,
    /// How many requests of one agent are read at once.
    pub at_once: i64,
}

impl Limits {
    /// Those of a worker whose lease lasts so long.
    pub fn of(lease: Duration) -> Self {
        // 72 MB of samples: a day of more than twice as many requests costs a look for agents that have so many.
        Self { silence: lease * 2, at_once: 8_000_000 }
    }
}

/// Rolls up the run's day, and ends the run in the same transaction.
pub async fn roll_up(
    database: &Database,
    run: &RollupRun,
    holder: Holder,
    limits: Limits,
) -> Result<Rolled, RollupError> {
    // Looked at before anything is counted.
    let look = async || rollup::horizon(&database.service(), run.day).await;
    let sees_all = database.step(look).await? == Horizon::Passed;
    let mut transaction = database.begin().await?;
    let session = database.limited(Session::of(&mut transaction)).await?;
    let rolling = roll_up_in(transaction, database, run, holder, limits, sees_all);
    // Watched, so that what is given up below is looked at before others get it.
    let rolling = Box::pin(database.watch(Box::pin(rolling)));
    tokio::select! {
        rolled = rolling => rolled,
        // Its statements have no limit of their own, and one to a host that has vanished is never answered.
        () = session.ended(database, limits.silence / 6) => Err(sqlx::Error::PoolClosed.into()),
    }
}

/// A session, as the server knows it.
struct Session {
    pid: i32,
    began: DateTime<Utc>,
}

impl Session {
    async fn of(db: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as!(
            Self,
            r#"SELECT pid AS "pid!", backend_start AS "began!" FROM pg_stat_activity WHERE pid = pg_backend_pid()"#
        )
        .fetch_one(db)
        .await
    }

    /// Returns when the server says, over another session, that it does not have this one any more.
    async fn ended(self, database: &Database, pause: Duration) {
        if database.beside().is_none() {
            // No other is to be had.
            return std::future::pending().await;
        }
        let is_there = async || {
            sqlx::query_scalar!(
                r#"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2) AS "there!""#,
                self.pid,
                self.began,
            )
            .fetch_one(&database.service())
            .await
        };
        loop {
            tokio::time::sleep(pause).await;
            if let Ok(false) = database.step(is_there).await {
                return;
            }
        }
    }
}

async fn roll_up_in(
    mut transaction: Transaction<'static, Postgres>,
    database: &Database,
    run: &RollupRun,
    holder: Holder,
    limits: Limits,
    sees_all: bool,
) -> Result<Rolled, RollupError> {
    if !prepare(&mut transaction, run, limits).await? {
        return Ok(Rolled::NotYet);
    }
    let partition = rollup::partition(run.day);
    let tables = tables(&mut transaction, &partition).await?;
    if tables.is_empty() {
        return Err(RollupError::NoPartition(run.day));
    }
    forget_marks(&mut transaction, run).await?;
    let before = match run.tenant_id {
        Some(tenant) => Some(Sums::of_tenant(&mut transaction, run.day, tenant).await?),
        None => None,
    };
    let mut found = Found::default();
    let buckets = Buckets::new();
    let pieces = Pieces::cut(&mut transaction, &tables, run.tenant_id, limits.at_once).await?;
    // A tenant's part of a day is small.
    if let (None, Some(beside)) = (run.tenant_id, database.beside()) {
        let (batches, mut to_write) = mpsc::channel::<Vec<Usage>>(BATCHES_AHEAD);
        let write = async {
            loop {
                match tokio::time::timeout(limits.silence / 4, to_write.recv()).await {
                    Ok(Some(batch)) => found.write(&mut transaction, run.day, &batch).await?,
                    Ok(None) => return Ok(()),
                    // There is nothing to write yet.
                    Err(_) => {
                        sqlx::query("SELECT 1").execute(&mut *transaction).await?;
                    }
                }
            }
        };
        let reads = try_join_all((0..READERS).map(|_| pieces.read(&beside, &buckets, BATCH, batches.clone())));
        drop(batches);
        tokio::try_join!(reads, write)?;
    } else {
        // What is read over the connection that writes is held until it has been read.
        let usages = pieces.read_all(&mut transaction, &buckets).await?;
        for batch in usages.chunks(BATCH) {
            found.write(&mut transaction, run.day, batch).await?;
        }
    }
    for batch in pieces.parts().chunks(BATCH) {
        found.write(&mut transaction, run.day, batch).await?;
    }
    let groups_written = found.moves.len();
    remove_others(&mut transaction, run.day, run.tenant_id, &mut found.moves).await?;
    match before {
        None => found.sums.write(&mut transaction, run.day).await?,
        Some(before) => found.sums.replace(&before, &mut transaction, run.day).await?,
    }
    lock(&mut transaction, COUNTERS).await?;
    move_counters(&mut transaction, &found.moves).await?;
    if sees_all && run.tenant_id.is_none() {
        rollup::note_settled(&mut transaction, run.day).await?;
    }
    if !rollup::succeed(&mut transaction, run.id, holder, found.requests, groups_written).await? {
        return Ok(Rolled::LostLease);
    }
    transaction.commit().await?;
    Ok(Rolled::Done { rows_read: found.requests, groups_written })
}

/// How long a run waits for transactions that may have inserted on its day, before it makes room for another.
const WAIT: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until all that was inserted on the run's day can be seen; false where that takes longer. Where it cannot be
/// waited for, the day is rolled up as it is, and again when it can be seen.
pub async fn wait_for_all(database: &Database, run: &RollupRun) -> Result<bool, sqlx::Error> {
    let looking = async {
        loop {
            match database.step(async || rollup::horizon(&database.service(), run.day).await).await? {
                Horizon::Ahead => tokio::time::sleep(LOOK).await,
                Horizon::Open | Horizon::Stuck | Horizon::Passed => return Ok(()),
            }
        }
    };
    tokio::time::timeout(WAIT, looking).await.map_or(Ok(false), |looked| looked.map(|()| true))
}

/// What has been written.
#[derive(Default)]
struct Found {
    requests: i64,
    moves: Moves,
    sums: Sums,
}

impl Found {
    async fn write(&mut self, db: &mut PgConnection, day: NaiveDate, batch: &[Usage]) -> Result<(), sqlx::Error> {
        self.requests += batch.iter().map(|usage| usage.total).sum::<i64>();
        write(db, day, batch, &mut self.moves, &mut self.sums).await
    }
}

/// How long a rollup waits for another that is under way: longer than that one can keep its locks without a sign of life.
const PREDECESSOR: Duration = Duration::from_secs(180);

/// Takes the lock on the day; false where another rollup of it has not ended in that time. The transaction may take as
/// long as a run may.
async fn prepare(db: &mut PgConnection, run: &RollupRun, limits: Limits) -> Result<bool, sqlx::Error> {
    // Compiling these statements takes longer than running them.
    let set = format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {};
         SET LOCAL lock_timeout = {}; SET LOCAL jit = off",
        rollup::TIMEOUT.as_millis(),
        limits.silence.as_millis(),
        PREDECESSOR.as_millis(),
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *db).await?;
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    match lock(db, run.day.num_days_from_ce()).await {
        Ok(()) => Ok(true),
        Err(error) if sqlstate(&error).as_deref() == Some(LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks until the transaction ends.
async fn lock(db: &mut PgConnection, what: i32) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(LOCK).bind(what).execute(db).await?;
    Ok(())
}

async fn forget_marks(db: &mut PgConnection, run: &RollupRun) -> Result<(), sqlx::Error> {
    let forget = sqlx::query!(
        "DELETE FROM rollup_marks WHERE day = $1 AND ($2::uuid IS NULL OR tenant_id = $2)",
        run.day,
        run.tenant_id.map(painel_shared::ids::TenantId::uuid),
    );
    forget.execute(db).await?;
    Ok(())
}
