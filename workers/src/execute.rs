//! The frame of every job: decode, claim, keep the lease, supervise, record, settle.

use std::time::{Duration, Instant};

use painel_shared::{
    job::Job,
    queue::{Delivery, WorkQueue},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    runner::{Execute, send_to_dead_letters},
    settle::{Settlement, settle},
    supervise::supervise,
    work::{Claimed, Held, Recorded, Work, WorkError},
};

/// How long a delivery waits when a store did not answer.
const STORE_DOWN: Duration = Duration::from_secs(5);
/// How often a delivery is settled anew because its work moved on meanwhile.
const SETTLE_TRIES: usize = 4;

/// Executes the jobs of one kind of work.
#[derive(Clone, Debug)]
pub struct Frame<W> {
    pub(crate) work: W,
}

impl<W: Work> Execute for Frame<W> {
    fn queue(&self) -> WorkQueue {
        self.work.kind().queue()
    }

    async fn execute(&self, delivery: Delivery, drained: &CancellationToken) {
        let (job, key) = match self.read(&delivery.body) {
            Ok(known) => known,
            Err(reason) => return self.dead_letter(delivery, &reason).await,
        };
        let (kind, trace) = (job.kind.name(), job.traceparent.child());
        let span = tracing::info_span!(
            "job",
            job.kind = kind,
            job.id = %job.job_id,
            job.about = %key,
            trace_id = trace.trace_id(),
        );
        let in_flight = metrics::gauge!("painel_jobs_in_flight", "kind" => kind);
        in_flight.increment(1);
        Box::pin(self.work_on(delivery, key, drained)).instrument(span).await;
        in_flight.decrement(1);
    }
}

impl<W: Work> Frame<W> {
    /// The job, and what it is about; or why its message belongs to the dead letters.
    fn read(&self, body: &str) -> Result<(Job, W::Key), String> {
        let job = Job::decode(body).map_err(|error| error.to_string())?;
        match self.work.key(&job).filter(|_| job.kind == self.work.kind()) {
            Some(key) => Ok((job, key)),
            None => Err(format!("a {} job does not belong on {}", job.kind.name(), self.queue())),
        }
    }

    async fn work_on(&self, delivery: Delivery, key: W::Key, drained: &CancellationToken) {
        let stored = match self.work.claim(key).await {
            Ok(Claimed::Held(held)) => self.attempt(&held, &delivery, drained).await,
            Ok(Claimed::Refused(stored)) => Ok(Some(stored)),
            Ok(Claimed::Never(reason)) => return self.dead_letter(delivery, &reason).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(stored) => self.conclude(delivery, stored).await,
            Err(error) => self.postpone(delivery, &error).await,
        }
    }

    /// One attempt from claim to stored outcome: how the work stands then.
    async fn attempt(
        &self,
        held: &Held<W::Stored>,
        delivery: &Delivery,
        drained: &CancellationToken,
    ) -> Result<Option<W::Stored>, WorkError> {
        let began = Instant::now();
        let ended =
            supervise(Box::pin(self.work.run(held)), self.work.limit(), self.keep_lease(held, delivery), drained)
                .await;
        let Recorded { outcome, stored, written } = self.work.record(held, ended).await?;
        let labels = [("kind", self.work.kind().name()), ("outcome", outcome)];
        metrics::counter!("painel_jobs_total", &labels).increment(1);
        metrics::histogram!("painel_job_duration_seconds", &labels).record(began.elapsed());
        let duration_ms = began.elapsed().as_millis();
        match written {
            true => tracing::info!(outcome, duration_ms, "attempt ended"),
            false => tracing::warn!(outcome, duration_ms, "the lease was lost, and the outcome discarded"),
        }
        Ok(stored)
    }

    /// Renews lease and delivery at each third of the lease; returns when the lease has been lost, or has passed without
    /// the store having answered: then the work is another's to take, and what it waits for may never come.
    async fn keep_lease(&self, held: &Held<W::Stored>, delivery: &Delivery) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.work.lease() / 3).await;
            match self.work.renew(held).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(error) if renewed.elapsed() > self.work.lease() => {
                    tracing::warn!(%error, "the lease has passed without being renewed");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the lease was not renewed; trying again"),
            }
            if let Err(error) = delivery.extend().await {
                tracing::warn!(%error, "the delivery was not extended; a copy may come, and will be refused");
            }
        }
    }

    /// Settles a delivery by how its work stands.
    async fn conclude(&self, delivery: Delivery, mut stored: Option<W::Stored>) {
        for _ in 0..SETTLE_TRIES {
            let Some(found) = stored else {
                return self.dead_letter(delivery, "what it is about does not exist").await;
            };
            let settlement = settle(self.work.standing(&found));
            if matches!(settlement, Settlement::Acknowledge | Settlement::DeadLetter(_))
                && let Err(error) = self.work.close(&found).await
            {
                if !error.is_permanent() {
                    return self.postpone(delivery, &error).await;
                }
                // It is still owed, and is written by another when it is taken.
                tracing::error!(%error, "what must stand beside the work's end was refused");
            }
            match settlement {
                Settlement::Expire => match self.work.expire(&found).await {
                    Ok(next) => stored = next,
                    Err(error) => return self.postpone(delivery, &error).await,
                },
                Settlement::Acknowledge => return acknowledge(delivery).await,
                Settlement::RetryLater(delay) => return retry_later(delivery, delay).await,
                Settlement::DeadLetter(reason) => return self.dead_letter(delivery, &reason).await,
            }
        }
        retry_later(delivery, STORE_DOWN).await;
    }

    /// Has a delivery wait for a store. Where the store will not do its part however long it waits, the delivery is done
    /// with: nothing is lost with it, for the work still stands as open, and is published again less and less often.
    async fn postpone(&self, delivery: Delivery, error: &WorkError) {
        if !error.is_permanent() {
            tracing::warn!(%error, "a store did not answer; the delivery waits");
            return retry_later(delivery, STORE_DOWN).await;
        }
        tracing::error!(%error, "a store refused its part; the work stays open, and is tried again later");
        metrics::counter!("painel_jobs_refused_total", "kind" => self.work.kind().name()).increment(1);
        acknowledge(delivery).await;
    }

    async fn dead_letter(&self, delivery: Delivery, reason: &str) {
        send_to_dead_letters(delivery, self.queue(), reason).await;
    }
}

async fn acknowledge(delivery: Delivery) {
    if let Err(error) = delivery.acknowledge().await {
        tracing::warn!(%error, "the delivery was not acknowledged; it will come again");
    }
}

async fn retry_later(delivery: Delivery, delay: Duration) {
    if let Err(error) = delivery.retry_later(delay).await {
        tracing::warn!(%error, "the delivery was not put off; it will come again");
    }
}
