//! A rollup run as a kind of work.

use std::time::Duration;

use painel_shared::{
    command::CommandError,
    ids::RunId,
    job::{Job, JobKind, Work as About},
    rollup::{self, RollupRun, RunClaim},
    stores::Stores,
};
use sqlx::PgPool;

use super::day::{Limits, Rolled, RollupError, roll_up, wait_for_all};
use crate::{
    execute::Frame,
    settle::{Decision, Standing, decide},
    supervise::Ended,
    work::{Claimed, Held, Recorded, Work, WorkError},
};

/// How long a run is put off that cannot see all of its day's requests.
const NOT_YET: Duration = Duration::from_secs(15);

/// Executes rollup jobs.
pub type RollupExecutor = Frame<RunWork>;

impl RollupExecutor {
    /// An executor on these stores.
    pub fn new(stores: Stores) -> Self {
        Self { work: RunWork { stores } }
    }
}

/// The rollup runs.
#[derive(Clone, Debug)]
pub struct RunWork {
    stores: Stores,
}

impl RunWork {
    fn db(&self) -> PgPool {
        self.stores.db.service()
    }

    async fn release(&self, held: &Held<RollupRun>, delay: Duration) -> Result<bool, sqlx::Error> {
        let Held { stored: run, holder } = held;
        self.stores.db.step(async || rollup::release(&self.db(), run.id, *holder, delay).await).await
    }

    /// Stores that an attempt failed; false where the run had passed to another.
    async fn fail(&self, held: &Held<RollupRun>, error: CommandError) -> Result<(&'static str, bool), sqlx::Error> {
        let Held { stored: run, holder } = held;
        tracing::warn!(code = error.code, error = error.message, run.attempt, "attempt failed");
        match decide::<()>(run.attempt, run.max_attempts, Err(error)) {
            Decision::Succeed(()) => Ok(("success", true)),
            Decision::Retry(error) => {
                metrics::counter!("painel_job_retries_total", "kind" => rollup::KIND).increment(1);
                let delay = rollup::RETRY.delay(run.attempt);
                let given = self
                    .stores
                    .db
                    .step(async || rollup::retry(&self.db(), run.id, *holder, &error.message, delay).await)
                    .await?;
                Ok(("retry", given))
            }
            Decision::Fail { error, dead_letter } => {
                let failed = self
                    .stores
                    .db
                    .step(async || rollup::fail(&self.db(), run.id, *holder, &error.message, dead_letter).await)
                    .await?;
                Ok((if dead_letter { "dead_letter" } else { "error" }, failed))
            }
        }
    }
}

impl Work for RunWork {
    type Key = RunId;
    type Stored = RollupRun;
    type Output = Result<Rolled, RollupError>;

    fn kind(&self) -> JobKind {
        JobKind::MetricsRollup
    }

    fn key(&self, job: &Job) -> Option<RunId> {
        match job.work {
            About::Rollup { run_id, .. } => Some(run_id),
            About::Command(_) => None,
        }
    }

    fn lease(&self) -> Duration {
        self.stores.commands.lease()
    }

    fn limit(&self) -> Duration {
        rollup::TIMEOUT
    }

    async fn claim(&self, id: RunId) -> Result<Claimed<RollupRun>, WorkError> {
        Ok(match self.stores.db.step(async || rollup::claim(&self.db(), id, self.lease()).await).await? {
            RunClaim::Held(stored, holder) => Claimed::Held(Held { stored, holder }),
            RunClaim::Refused(run) => Claimed::Refused(run),
            RunClaim::Missing => Claimed::Never("its run does not exist".to_owned()),
        })
    }

    fn run(&self, held: &Held<RollupRun>) -> impl Future<Output = Self::Output> + Send + 'static {
        let (database, run, holder) = (self.stores.db.clone(), held.stored.clone(), held.holder);
        let limits = Limits::of(self.lease());
        let rolling = async move {
            match wait_for_all(&database, &run).await? {
                true => roll_up(&database, &run, holder, limits).await,
                false => Ok(Rolled::NotYet),
            }
        };
        let watched = self.stores.db.clone();
        async move { watched.watch(Box::pin(rolling)).await }
    }

    /// While a pool of one is in the rollup's own hands it cannot be asked; then nobody else can take the run either.
    async fn renew(&self, held: &Held<RollupRun>) -> Result<bool, WorkError> {
        let Held { stored: run, holder } = held;
        let renew = async || rollup::renew(&self.db(), run.id, *holder, self.lease()).await;
        match self.stores.db.step(renew).await {
            Err(sqlx::Error::PoolTimedOut) if self.stores.db.beside().is_none() => Ok(true),
            renewed => Ok(renewed?),
        }
    }

    async fn record(
        &self,
        held: &Held<RollupRun>,
        ended: Ended<Self::Output>,
    ) -> Result<Recorded<RollupRun>, WorkError> {
        let run = &held.stored;
        let (outcome, written) = match ended {
            Ended::Returned(Ok(Rolled::Done { rows_read, .. })) => {
                metrics::counter!("painel_rollup_rows_total").increment(rows_read.unsigned_abs());
                ("success", true)
            }
            Ended::Returned(Ok(Rolled::LostLease)) | Ended::LostLease => ("lease_lost", false),
            Ended::Returned(Ok(Rolled::NotYet)) => ("not_yet", self.release(held, NOT_YET).await?),
            Ended::Drained => ("released", self.release(held, Duration::ZERO).await?),
            Ended::Returned(Err(error)) => {
                if let RollupError::Database(error) = &error {
                    self.stores.db.learn(error);
                }
                self.fail(held, error.to_stored()).await?
            }
            Ended::Panicked => self.fail(held, CommandError::new("panic", "the rollup panicked", true)).await?,
            Ended::TimedOut => {
                let message = format!("no outcome within {:?}", self.limit());
                self.fail(held, CommandError::new("timeout", &message, true)).await?
            }
        };
        Ok(Recorded {
            outcome,
            stored: self.stores.db.step(async || rollup::find(&self.db(), run.id).await).await?,
            written,
        })
    }

    fn standing(&self, stored: &RollupRun) -> Standing {
        Standing::of_run(stored)
    }

    async fn expire(&self, run: &RollupRun) -> Result<Option<RollupRun>, WorkError> {
        self.stores.db.step(async || rollup::expire(&self.db(), run.id).await).await?;
        Ok(self.stores.db.step(async || rollup::find(&self.db(), run.id).await).await?)
    }

    /// A run's end has no event of its own.
    async fn close(&self, _: &RollupRun) -> Result<(), WorkError> {
        Ok(())
    }
}
