//! One rollup job: claim the run, keep the lease, roll up, settle by what is stored.

use std::time::{Duration, Instant};

use painel_shared::{
    command::Holder,
    job::{Job, Work},
    queue::{Delivery, QueueError, WorkQueue},
    rollup::{self, RollupRun, RunClaim, RunState},
    stores::Stores,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::day::{Rolled, RollupError, roll_up};
use crate::{
    runner::{Execute, dead_letter},
    supervise::{Ended, supervise},
};

/// How long a delivery waits when PostgreSQL did not answer.
const STORE_DOWN: Duration = Duration::from_secs(5);

/// Executes rollup jobs.
#[derive(Clone, Debug)]
pub struct RollupExecutor {
    stores: Stores,
}

/// Why a delivery could not be settled.
#[derive(Debug, thiserror::Error)]
enum Unsettled {
    #[error("PostgreSQL did not answer: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Execute for RollupExecutor {
    fn queue(&self) -> WorkQueue {
        rollup::QUEUE
    }

    async fn execute(&self, delivery: Delivery, drained: &CancellationToken) {
        let job = match Job::decode(&delivery.body) {
            Ok(job) => job,
            Err(error) => return dead_letter(delivery, rollup::QUEUE, &error.to_string()).await,
        };
        let Work::Rollup { run_id, .. } = job.work else {
            let reason = format!("a {} job does not belong on {}", job.kind.name(), rollup::QUEUE);
            return dead_letter(delivery, rollup::QUEUE, &reason).await;
        };
        let trace = job.traceparent.child();
        let span = tracing::info_span!(
            "job",
            job.kind = rollup::KIND,
            job.id = %job.job_id,
            run.id = %run_id,
            trace_id = trace.trace_id(),
        );
        let in_flight = metrics::gauge!("painel_jobs_in_flight", "kind" => rollup::KIND);
        in_flight.increment(1);
        async {
            let claimed = rollup::claim(self.db(), run_id, self.lease()).await;
            let outcome = match claimed {
                Ok(RunClaim::Held(run, holder)) => self.attempt_and_settle(delivery, run, holder, drained).await,
                Ok(RunClaim::Refused(run)) => self.settle(delivery, &run).await,
                Ok(RunClaim::Missing) => {
                    return dead_letter(delivery, rollup::QUEUE, "its run does not exist").await;
                }
                Err(error) => {
                    tracing::warn!(%error, "PostgreSQL did not answer; the delivery waits");
                    delivery.retry_later(STORE_DOWN).await.map_err(Unsettled::from)
                }
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "the delivery was not settled; it will come again");
            }
        }
        .instrument(span)
        .await;
        in_flight.decrement(1);
    }
}

impl RollupExecutor {
    /// An executor on these stores.
    pub fn new(stores: Stores) -> Self {
        Self { stores }
    }

    fn db(&self) -> &PgPool {
        self.stores.db.service()
    }

    fn lease(&self) -> Duration {
        self.stores.commands.lease()
    }

    async fn attempt_and_settle(
        &self,
        delivery: Delivery,
        run: RollupRun,
        holder: Holder,
        drained: &CancellationToken,
    ) -> Result<(), Unsettled> {
        let began = Instant::now();
        let ended = self.run(&run, holder, &delivery, drained).await;
        let outcome = self.record(&run, holder, ended).await?;
        let labels = [("kind", rollup::KIND), ("outcome", outcome)];
        metrics::counter!("painel_jobs_total", &labels).increment(1);
        metrics::histogram!("painel_job_duration_seconds", &labels).record(began.elapsed());
        tracing::info!(outcome, run.day = %run.day, run.attempt, duration_ms = began.elapsed().as_millis(), "attempt ended");
        match rollup::find(self.db(), run.id).await? {
            Some(stored) => self.settle(delivery, &stored).await,
            None => {
                dead_letter(delivery, rollup::QUEUE, "its run does not exist").await;
                Ok(())
            }
        }
    }

    /// Rolls up while the lease is kept.
    async fn run(
        &self,
        run: &RollupRun,
        holder: Holder,
        delivery: &Delivery,
        drained: &CancellationToken,
    ) -> Ended<Result<Rolled, RollupError>> {
        let (database, own_run) = (self.stores.db.clone(), run.clone());
        let rolling = async move { roll_up(&database, &own_run, holder).await };
        supervise(rolling, rollup::TIMEOUT, self.keep_lease(run, holder, delivery), drained).await
    }

    /// Renews lease and visibility at each third of the lease; returns when the lease has been lost.
    async fn keep_lease(&self, run: &RollupRun, holder: Holder, delivery: &Delivery) {
        loop {
            tokio::time::sleep(self.lease() / 3).await;
            match rollup::renew(self.db(), run.id, holder, self.lease()).await {
                Ok(true) => {}
                Ok(false) => return,
                // A pool of one is in the rollup's own hands: nobody else can take the run either.
                Err(error) => tracing::debug!(%error, "the lease was not renewed; trying again"),
            }
            if let Err(error) = delivery.extend().await {
                tracing::warn!(%error, "the delivery was not extended; a copy may come, and will be refused");
            }
        }
    }

    /// Stores what came of an attempt; its outcome as metrics name it.
    async fn record(
        &self,
        run: &RollupRun,
        holder: Holder,
        ended: Ended<Result<Rolled, RollupError>>,
    ) -> Result<&'static str, sqlx::Error> {
        let error = match ended {
            Ended::Returned(Ok(Rolled::Done { rows_read, .. })) => {
                metrics::counter!("painel_rollup_rows_total").increment(rows_read.unsigned_abs());
                return Ok("success");
            }
            Ended::Returned(Ok(Rolled::LostLease)) | Ended::LostLease => {
                tracing::warn!(run.attempt, "the lease was lost; nothing was written");
                return Ok("lease_lost");
            }
            Ended::Drained => {
                rollup::release(self.db(), run.id, holder).await?;
                return Ok("released");
            }
            Ended::Returned(Err(error @ RollupError::NoPartition(_))) => {
                rollup::fail(self.db(), run.id, holder, &error.to_string()).await?;
                return Ok("error");
            }
            Ended::Returned(Err(RollupError::Database(error))) => {
                tracing::warn!(%error, run.attempt, "attempt failed");
                "PostgreSQL did not do its part".to_owned()
            }
            Ended::Panicked => "the rollup panicked".to_owned(),
            Ended::TimedOut => format!("no outcome within {:?}", rollup::TIMEOUT),
        };
        if run.attempt < run.max_attempts {
            metrics::counter!("painel_job_retries_total", "kind" => rollup::KIND).increment(1);
            rollup::retry(self.db(), run.id, holder, &error, rollup::RETRY.delay(run.attempt)).await?;
            Ok("retry")
        } else {
            rollup::fail(self.db(), run.id, holder, &error).await?;
            Ok("dead_letter")
        }
    }

    /// Settles a delivery by how its run stands.
    async fn settle(&self, delivery: Delivery, run: &RollupRun) -> Result<(), Unsettled> {
        match run.state {
            RunState::Succeeded => Ok(delivery.acknowledge().await?),
            RunState::Failed if run.attempt < run.max_attempts => Ok(delivery.acknowledge().await?),
            RunState::Failed => {
                dead_letter(delivery, rollup::QUEUE, run.error.as_deref().unwrap_or("the run failed")).await;
                Ok(())
            }
            RunState::Queued => Ok(delivery.retry_later(run.due_in).await?),
            // Should its holder die, the reconciler publishes it again.
            RunState::Running if !run.lease_expired => Ok(delivery.acknowledge().await?),
            RunState::Running if run.attempt >= run.max_attempts => {
                rollup::expire(self.db(), run.id).await?;
                dead_letter(delivery, rollup::QUEUE, "lease_lost: the worker stopped during the last attempt")
                    .await;
                Ok(())
            }
            // The lease ran out after the claim was refused: the next delivery claims it.
            RunState::Running => Ok(delivery.retry_later(Duration::ZERO).await?),
        }
    }
}
