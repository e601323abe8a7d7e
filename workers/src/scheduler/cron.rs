//! The nightly rollup: which days are rolled up when, and which raw requests are held.
//!
//! Several schedulers may run: what is to be done is found and stored in one transaction under a lock, so that each
//! run is asked for once. To ask for runs, to keep the partitions and to look for what came late are three things: none
//! waits for another.

use std::time::Duration;

use chrono::{DateTime, Days, Utc};
use painel_shared::{
    db::Database,
    dispatch,
    rollup::{self, RollupRun},
    stores::Stores,
    time::today,
};
use tokio_util::sync::CancellationToken;

use crate::config::RollupConfig;

/// For how many days ahead there are partitions.
const AHEAD: u64 = 7;
/// The longest that partitions are not looked after.
const A_DAY: Duration = Duration::from_secs(24 * 3600);
/// Why a partition is not known to be there.
const ANOTHER: &str = "another scheduler is making partitions";
/// Between two days that are detached, so that all who wait to insert get their turn.
const BREATH: Duration = Duration::from_millis(100);
/// How long to wait after something was not done. Who comes back to a table in use gets in the way of those who use it.
const AGAIN: Duration = Duration::from_secs(60);

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
    /// run is rolled up, and the partitions are looked after; in between, days that requests came late for are found.
    pub async fn run(&self, shutdown: CancellationToken) {
        let nightly = || self.config.schedule.find_next_occurrence(&Utc::now(), false).ok();
        // However seldom days are rolled up, requests have to be inserted.
        let daily = || Some(nightly().map_or(Utc::now() + A_DAY, |time| time.min(Utc::now() + A_DAY)));
        let often = || Some(Utc::now() + self.config.late_pause);
        let all = async {
            tokio::join!(
                repeat("days were not asked for", nightly, || async { self.ask_for_missing().await.map(drop) }),
                repeat("the partitions were not looked after", daily, || self.keep_partitions()),
                repeat("late days were not looked for", often, || async { self.catch_up().await.map(drop) }),
            )
        };
        shutdown.run_until_cancelled(all).await;
    }

    /// Runs for closed days without one.
    pub async fn ask_for_missing(&self) -> Result<Vec<RollupRun>, sqlx::Error> {
        let runs = self.db().step(async || rollup::request_missing(self.db(), today()).await).await?;
        self.publish(&runs).await;
        Ok(runs)
    }

    /// Partitions for the coming days; those that are older than the retention detached. The first error, once all have
    /// been tried that can be.
    pub async fn keep_partitions(&self) -> Result<(), sqlx::Error> {
        let mut first = Ok(());
        for ahead in 0..=AHEAD {
            let day = today() + Days::new(ahead);
            let made = self.db().step(async || rollup::ensure_partition(self.db(), day).await).await;
            first = first.and(
                made.and_then(|made| if made { Ok(()) } else { Err(sqlx::Error::Protocol(ANOTHER.to_owned())) }),
            );
        }
        let oldest = today() - self.config.retention;
        for day in self.db().step(async || rollup::days_to_detach(self.db(), oldest).await).await? {
            match self.db().step(async || rollup::detach(self.db(), day).await).await {
                Ok(true) => tracing::info!(%day, "raw requests were detached: they are older than the retention"),
                Ok(false) => {}
                // Who is in the way of this day is in the way of the others, too; and who inserts waits for each try.
                Err(error) => return first.and(Err(error)),
            }
            tokio::time::sleep(BREATH).await;
        }
        first
    }

    /// Runs for what came late to days that had been rolled up: of the tenants it came for, and no others.
    pub async fn catch_up(&self) -> Result<Vec<RollupRun>, sqlx::Error> {
        let late = self.db().step(async || rollup::request_late(self.db(), today()).await).await?;
        self.publish(&late).await;
        let lag = self.db().step(async || rollup::lag_days(&self.db().service(), today()).await).await?;
        metrics::gauge!("painel_rollup_lag_days").set(u32::try_from(lag).unwrap_or(u32::MAX));
        Ok(late)
    }

    fn db(&self) -> &Database {
        &self.stores.db
    }

    async fn publish(&self, runs: &[RollupRun]) {
        for run in runs {
            tracing::info!(run.day = %run.day, tenant = ?run.tenant_id, "a day is to be rolled up");
            // What the queue does not take now, the reconciler publishes.
            dispatch::publish_run(&self.stores, run).await;
        }
    }
}

/// Does something at once and at each time that `next` gives; what was not done, again after a while. That is logged once.
async fn repeat<F: Future<Output = Result<(), sqlx::Error>>>(
    failure: &'static str,
    next: impl Fn() -> Option<DateTime<Utc>>,
    work: impl Fn() -> F,
) {
    let mut failing = false;
    loop {
        match work().await {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("{failure}; now they were");
                }
                until(next()).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "{failure}; it is tried again each minute");
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Waits until that time by the clock, which may be set meanwhile.
async fn until(time: Option<DateTime<Utc>>) {
    loop {
        let left = time.map_or(AGAIN, |time| (time - Utc::now()).to_std().unwrap_or_default());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(AGAIN)).await;
    }
}
