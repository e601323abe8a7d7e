//! The nightly rollup: which days are rolled up when, and which raw requests are held.
//!
//! Several schedulers may run: what is to be done is found and stored in one statement under a lock, so that each
//! run is asked for once.

use std::time::Duration;

use chrono::{Days, NaiveDate, Utc};
use painel_shared::{
    db::Database,
    dispatch,
    rollup::{self, RollupRun},
    stores::Stores,
    time::today,
};
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::config::RollupConfig;

/// For how many days ahead there are partitions.
const AHEAD: Days = Days::new(7);

/// Has days rolled up when it is time.
#[derive(Clone, Debug)]
pub struct Nightly {
    stores: Stores,
    config: RollupConfig,
}

impl Nightly {
    /// A scheduler of rollups on these stores.
    pub fn new(stores: Stores, config: RollupConfig) -> Self {
        Self { stores, config }
    }

    /// Goes on until `shutdown`: at once, and then at each time of the schedule, every closed day without a finished
    /// run is rolled up; in between, days that requests came late for.
    pub async fn run(&self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.go_on()).await;
    }

    async fn go_on(&self) {
        let mut due = Some(Utc::now());
        loop {
            if due.is_some_and(|due| due <= Utc::now()) {
                due = match self.night().await {
                    Ok(_) => self.next_time(),
                    Err(error) => {
                        tracing::warn!(%error, "PostgreSQL did not answer; the nightly work is tried again");
                        due
                    }
                };
            } else if let Err(error) = self.catch_up().await {
                tracing::warn!(%error, "PostgreSQL did not answer; late days are looked for again");
            }
            tokio::time::sleep(self.pause(due)).await;
        }
    }

    fn next_time(&self) -> Option<chrono::DateTime<Utc>> {
        self.config.schedule.find_next_occurrence(&Utc::now(), false).ok()
    }

    /// Until the next time of the schedule, but no longer than until the next look for late requests.
    fn pause(&self, due: Option<chrono::DateTime<Utc>>) -> Duration {
        let until = due.and_then(|due| (due - Utc::now()).to_std().ok());
        // A failed night is tried again after a moment.
        until.map_or(Duration::from_secs(1), |until| {
            until.min(self.config.late_pause).max(Duration::from_millis(10))
        })
    }

    /// The nightly work: partitions for the coming days, runs for closed days without one, old partitions detached.
    pub async fn night(&self) -> Result<Vec<RollupRun>, sqlx::Error> {
        let (db, today) = (&self.stores.db, today());
        rollup::ensure_partitions(db, today, today + AHEAD).await?;
        let runs = rollup::request_missing(db, today).await?;
        self.publish(&runs).await;
        for day in rollup::days_to_detach(&db.service(), today - self.config.retention).await? {
            detach(db, day).await?;
        }
        Ok(runs)
    }

    /// Runs for what came late to days that had been rolled up: of the tenants it came for, and no others.
    pub async fn catch_up(&self) -> Result<Vec<RollupRun>, sqlx::Error> {
        let (db, today) = (&self.stores.db, today());
        let late = rollup::request_late(db, today).await?;
        self.publish(&late).await;
        let lag = rollup::lag_days(&db.service(), today).await?;
        metrics::gauge!("painel_rollup_lag_days").set(u32::try_from(lag).unwrap_or(u32::MAX));
        Ok(late)
    }

    async fn publish(&self, runs: &[RollupRun]) {
        for run in runs {
            tracing::info!(run.day = %run.day, tenant = ?run.tenant_id, "a day is to be rolled up");
            // What the queue does not take now, the reconciler publishes.
            dispatch::publish_run(&self.stores, run).await;
        }
    }
}

/// Takes a day's raw requests out of the table, if it is still rolled up when nobody can add to it any more.
async fn detach(db: &Database, day: NaiveDate) -> Result<(), sqlx::Error> {
    let mut transaction = db.begin().await?;
    sqlx::query("LOCK TABLE agent_requests IN ACCESS EXCLUSIVE MODE").execute(&mut *transaction).await?;
    if rollup::is_settled(&mut transaction, day).await? {
        let partition = rollup::partition(day);
        let sql = format!("ALTER TABLE agent_requests DETACH PARTITION {partition}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
        tracing::info!(partition, "raw requests were detached: they are older than the retention");
    }
    transaction.commit().await
}
