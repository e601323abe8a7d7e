//! One job: decode, claim, keep the lease, run with a timeout, catch a panic, settle.

use std::time::{Duration, Instant};

use painel_shared::{
    command::{Command, CommandError, CommandKey, Holder, Verdict},
    command_store::{Claim, StoreError, Write},
    commands::CommandType,
    db,
    events::{self, Event},
    job::{Job, JobKind, Work},
    queue::{Delivery, QueueError, WorkQueue},
    stores::Stores,
    time::now,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    effects,
    handler::{AnyHandler, Attempt, HandlerError, ResultMap},
    runner::{Execute, dead_letter},
    settle::{Decision, Settlement, decide, settle},
    supervise::{Ended, supervise},
};

/// How long a delivery waits when a store did not answer.
const STORE_DOWN: Duration = Duration::from_secs(5);
/// How often a delivery is settled anew because its command moved on meanwhile.
const SETTLE_TRIES: usize = 4;

/// Executes the jobs of one command type.
#[derive(Clone, Debug)]
pub struct Executor {
    stores: Stores,
    handler: AnyHandler,
}

impl Execute for Executor {
    fn queue(&self) -> WorkQueue {
        self.command_type().queue()
    }

    async fn execute(&self, delivery: Delivery, drained: &CancellationToken) {
        let kind = self.command_type();
        let (job, key) = match Job::decode(&delivery.body) {
            Ok(job) => match job.work {
                Work::Command(key) if job.kind == JobKind::Command(kind) => (job, key),
                _ => {
                    let reason = format!("a {} job does not belong on {}", job.kind.name(), kind.queue());
                    return self.dead_letter(delivery, &reason).await;
                }
            },
            Err(error) => return self.dead_letter(delivery, &error.to_string()).await,
        };
        let trace = job.traceparent.child();
        let span = tracing::info_span!(
            "job",
            job.kind = kind.name(),
            job.id = %job.job_id,
            command.id = %key.command_id,
            trace_id = trace.trace_id(),
        );
        let in_flight = metrics::gauge!("painel_jobs_in_flight", "kind" => kind.name());
        in_flight.increment(1);
        self.execute_job(delivery, key, drained).instrument(span).await;
        in_flight.decrement(1);
    }
}

/// Why a delivery could not be settled from its command's state.
#[derive(Debug, thiserror::Error)]
enum Unsettled {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("PostgreSQL did not answer: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Executor {
    /// An executor for the handler's command type.
    pub fn new(stores: Stores, handler: AnyHandler) -> Self {
        Self { stores, handler }
    }

    /// The type whose jobs it executes.
    pub fn command_type(&self) -> CommandType {
        self.handler.command_type()
    }

    async fn execute_job(&self, delivery: Delivery, key: CommandKey, drained: &CancellationToken) {
        let outcome = match self.stores.commands.claim(key).await {
            Ok(Claim::Held(command, holder)) if command.command_type != self.command_type() => {
                if let Err(error) = self.stores.commands.release(&command, holder).await {
                    tracing::warn!(%error, "a command of another type was not given back; its lease will expire");
                }
                let reason = format!("a {} job cannot execute a {}", self.command_type(), command.command_type);
                return self.dead_letter(delivery, &reason).await;
            }
            Ok(Claim::Held(command, holder)) => {
                let attempt = Attempt { command, holder };
                match self.attempt(&attempt, &delivery, drained).await {
                    Ok((stored, audited)) => self.settle(delivery, stored, audited).await,
                    Err(error) => self.postpone(delivery, &error).await,
                }
            }
            Ok(Claim::Refused(command, refusal)) => {
                tracing::debug!(%refusal, "not claimed");
                self.settle(delivery, Some(command), false).await
            }
            Ok(Claim::Missing) => {
                return self.dead_letter(delivery, "its command does not exist").await;
            }
            Err(error) => self.postpone(delivery, &error.into()).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "the delivery was not settled; it will come again");
        }
    }

    /// One attempt from claim to stored outcome: what stands in the store then, and whether its event is written.
    async fn attempt(
        &self,
        attempt: &Attempt,
        delivery: &Delivery,
        drained: &CancellationToken,
    ) -> Result<(Option<Command>, bool), Unsettled> {
        let began = Instant::now();
        let limit = self.command_type().timeout();
        let lease_lost = self.keep_lease(attempt, delivery);
        let ended = supervise(self.handler.run(attempt.clone()), limit, lease_lost, drained).await;
        let Attempt { command, holder } = attempt;
        let retry = |code, message| Err(HandlerError::retryable(code, message));
        let (outcome, written) = match ended {
            Ended::LostLease => {
                tracing::warn!(command.attempt, "the lease was lost; the result is discarded");
                ("lease_lost", Write::Refused(self.stores.commands.get_key(command.key).await?))
            }
            Ended::Drained => {
                tracing::info!(command.attempt, "given back: the process is stopping");
                ("released", self.stores.commands.release(command, *holder).await?)
            }
            Ended::Returned(returned) => self.record(command, *holder, returned).await?,
            Ended::Panicked => {
                self.record(command, *holder, retry("panic", "the handler panicked".to_owned())).await?
            }
            Ended::TimedOut => {
                self.record(command, *holder, retry("timeout", format!("no outcome within {limit:?}"))).await?
            }
        };
        let labels = [("kind", self.command_type().name()), ("outcome", outcome)];
        metrics::counter!("painel_jobs_total", &labels).increment(1);
        metrics::histogram!("painel_job_duration_seconds", &labels).record(began.elapsed());
        let audited = matches!(&written, Write::Done(command) if command.status.is_final());
        if matches!(written, Write::Refused(_)) && outcome != "lease_lost" {
            tracing::warn!(outcome, "the outcome came after the lease was lost, and was discarded");
        } else {
            tracing::info!(outcome, command.attempt, duration_ms = began.elapsed().as_millis(), "attempt ended");
        }
        Ok((written.stored(), audited))
    }

    /// Renews lease and visibility at each third of the lease; returns when the lease has been lost.
    async fn keep_lease(&self, attempt: &Attempt, delivery: &Delivery) {
        loop {
            tokio::time::sleep(self.stores.commands.lease() / 3).await;
            match self.stores.commands.renew(&attempt.command, attempt.holder).await {
                Ok(Write::Done(_)) => {}
                Ok(Write::Refused(_)) => return,
                Err(error) => tracing::warn!(%error, "the lease was not renewed; trying again"),
            }
            if let Err(error) = delivery.extend().await {
                tracing::warn!(%error, "the delivery was not extended; a copy may come, and will be refused");
            }
        }
    }

    /// Stores what came of an attempt.
    async fn record(
        &self,
        command: &Command,
        holder: Holder,
        returned: Result<ResultMap, HandlerError>,
    ) -> Result<(&'static str, Write), Unsettled> {
        if let Err(error) = &returned {
            tracing::warn!(%error, cause = error.cause(), command.attempt, "attempt failed");
        }
        let commands = &self.stores.commands;
        match decide(command, returned.map_err(|error| error.to_stored())) {
            Decision::Succeed(result) => {
                Ok(("success", commands.finish(command, holder, Verdict::Success(result)).await?))
            }
            Decision::Retry(error) => {
                metrics::counter!("painel_job_retries_total", "kind" => self.command_type().name()).increment(1);
                let delay = self.command_type().retry().delay(command.attempt);
                Ok(("retry", commands.retry(command, holder, error, delay).await?))
            }
            Decision::Fail { error, dead_letter } => {
                // Nothing is written of an end that is another's to bring about.
                if let Write::Refused(found) = commands.renew(command, holder).await? {
                    return Ok(("lease_lost", Write::Refused(found)));
                }
                let verdict = self.bury(command, holder.fence, error, dead_letter).await?;
                let outcome = match &verdict {
                    Verdict::Success(_) => "success",
                    Verdict::Error { dead_letter: true, .. } => "dead_letter",
                    Verdict::Error { dead_letter: false, .. } => "error",
                };
                Ok((outcome, commands.finish(command, holder, verdict).await?))
            }
        }
    }

    /// Settles a delivery by what the store says of its command. `audited`: the event of its end is written.
    async fn settle(
        &self,
        delivery: Delivery,
        mut stored: Option<Command>,
        audited: bool,
    ) -> Result<(), Unsettled> {
        for _ in 0..SETTLE_TRIES {
            let Some(command) = stored else {
                self.dead_letter(delivery, "its command does not exist").await;
                return Ok(());
            };
            match settle(&command, now()) {
                Settlement::Expire => match self.expire(&command).await {
                    Ok(next) => stored = next,
                    Err(error) => return self.postpone(delivery, &error).await,
                },
                Settlement::RetryLater(delay) => return Ok(delivery.retry_later(delay).await?),
                Settlement::DeadLetter(reason) => {
                    self.dead_letter(delivery, &reason).await;
                    return Ok(());
                }
                Settlement::Acknowledge => {
                    if command.status.is_final()
                        && !audited
                        && let Err(error) = self.audit(&command).await
                    {
                        return self.postpone(delivery, &error.into()).await;
                    }
                    return Ok(delivery.acknowledge().await?);
                }
            }
        }
        Ok(delivery.retry_later(STORE_DOWN).await?)
    }

    /// Ends a command whose last attempt lost its lease: in ERROR, unless it turns out to have taken effect.
    async fn expire(&self, command: &Command) -> Result<Option<Command>, Unsettled> {
        let error = CommandError {
            code: "lease_lost".to_owned(),
            message: "the worker stopped during the last attempt".to_owned(),
            retryable: true,
        };
        let verdict = self.bury(command, command.fence + 1, error, true).await?;
        Ok(self.stores.commands.expire(command, verdict).await?.stored())
    }

    /// Writes the tombstone of a command, within a time limit: how it ends.
    async fn bury(
        &self,
        command: &Command,
        fence: u64,
        error: CommandError,
        dead_letter: bool,
    ) -> Result<Verdict, sqlx::Error> {
        db::within_limit(effects::bury(self.stores.db.service(), command, fence, error, dead_letter)).await
    }

    /// Writes the event of a command's end if it is missing.
    async fn audit(&self, command: &Command) -> Result<(), sqlx::Error> {
        db::within_limit(async { record_end(&mut *self.stores.db.service().acquire().await?, command).await }).await
    }

    async fn postpone(&self, delivery: Delivery, error: &Unsettled) -> Result<(), Unsettled> {
        tracing::warn!(%error, "a store did not answer; the delivery waits");
        Ok(delivery.retry_later(STORE_DOWN).await?)
    }

    async fn dead_letter(&self, delivery: Delivery, reason: &str) {
        dead_letter(delivery, self.command_type().queue(), reason).await;
    }
}

/// Writes the event of an ended command. The event of an ERROR that was written with its tombstone stays.
pub(crate) async fn record_end(db: &mut sqlx::PgConnection, command: &Command) -> Result<(), sqlx::Error> {
    let event = match (&command.result, &command.error) {
        (Some(result), _) => Event::succeeded(command, command.fence, result),
        (None, Some(error)) => Event::failed(command, command.fence, &error.code, &error.message),
        (None, None) => return Ok(()),
    };
    events::record(db, &event).await
}
