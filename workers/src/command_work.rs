//! A command as a kind of work.

use std::time::Duration;

use painel_shared::{
    command::{Command, CommandError, CommandKey, Status, Verdict},
    command_store::{Claim, StoreError, Write},
    events::{self, Event},
    job::{Job, JobKind, Work as About},
    stores::Stores,
    time::now,
};
use serde_json::Map;

use crate::{
    effects::{self, Success},
    execute::Frame,
    handler::{AnyHandler, HandlerError},
    settle::{Decision, Standing, decide},
    supervise::Ended,
    work::{Claimed, Held, Recorded, Work, WorkError},
};

/// Executes the jobs of one command type.
pub type Executor = Frame<CommandWork>;

impl Executor {
    /// An executor for the handler's command type.
    pub fn new(stores: Stores, handler: AnyHandler) -> Self {
        Self { work: CommandWork { stores, handler } }
    }
}

/// The commands of one type.
#[derive(Clone, Debug)]
pub struct CommandWork {
    stores: Stores,
    handler: AnyHandler,
}

impl Work for CommandWork {
    type Key = CommandKey;
    type Stored = Command;
    type Output = Result<Success, HandlerError>;

    fn kind(&self) -> JobKind {
        JobKind::Command(self.handler.command_type())
    }

    fn key(&self, job: &Job) -> Option<CommandKey> {
        match job.work {
            About::Command(key) => Some(key),
            About::Rollup { .. } => None,
        }
    }

    fn lease(&self) -> Duration {
        self.stores.commands.lease()
    }

    fn limit(&self) -> Duration {
        self.handler.command_type().timeout()
    }

    async fn claim(&self, key: CommandKey) -> Result<Claimed<Command>, WorkError> {
        let own = self.handler.command_type();
        match self.stores.commands.claim(key, own).await {
            Ok(Claim::Held(stored, holder)) => Ok(Claimed::Held(Held { stored, holder })),
            Ok(Claim::Refused(command, refusal)) => {
                tracing::debug!(%refusal, "not claimed");
                Ok(Claimed::Refused(command))
            }
            Ok(Claim::OtherType(other)) => Ok(Claimed::Never(format!("a {own} job cannot execute a {other}"))),
            Ok(Claim::Missing) => Ok(Claimed::Never("its command does not exist".to_owned())),
            Err(error @ StoreError::Corrupt(_)) => {
                self.stores.commands.condemn(key).await?;
                Ok(Claimed::Never(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn run(&self, held: &Held<Command>) -> impl Future<Output = Self::Output> + Send + 'static {
        let (handler, db) = (self.handler.run(held.clone()), self.stores.db.clone());
        async move { db.watch(handler).await }
    }

    async fn renew(&self, held: &Held<Command>) -> Result<bool, WorkError> {
        Ok(matches!(self.stores.commands.renew(&held.stored, held.holder).await?, Write::Done(_)))
    }

    async fn record(
        &self,
        held: &Held<Command>,
        ended: Ended<Self::Output>,
    ) -> Result<Recorded<Command>, WorkError> {
        let Held { stored: command, holder } = held;
        let commands = &self.stores.commands;
        let (outcome, write) = match ended {
            Ended::LostLease => ("lease_lost", Write::Refused(commands.get_key(command.key).await?)),
            Ended::Drained => ("released", commands.release(command, *holder).await?),
            Ended::Returned(returned) => self.end(held, returned).await?,
            Ended::Panicked => {
                self.end(held, Err(HandlerError::retryable("panic", "the handler panicked"))).await?
            }
            Ended::TimedOut => {
                let message = format!("no outcome within {:?}", self.limit());
                self.end(held, Err(HandlerError::retryable("timeout", message))).await?
            }
        };
        let written = matches!(write, Write::Done(_));
        Ok(Recorded { outcome, stored: write.stored(), written })
    }

    fn standing(&self, stored: &Command) -> Standing {
        Standing::of_command(stored, now())
    }

    /// In ERROR, unless it turns out to have taken effect.
    async fn expire(&self, command: &Command) -> Result<Option<Command>, WorkError> {
        let error = CommandError::new("lease_lost", "the worker stopped during the last attempt", true);
        let verdict = self.bury(command, command.fence + 1, error, true).await?;
        Ok(self.stores.commands.expire(command, verdict).await?.stored())
    }

    async fn close(&self, ended: &Command) -> Result<(), WorkError> {
        if ended.owes_event {
            write_owed_event(&self.stores, ended).await?;
        }
        Ok(())
    }
}

impl CommandWork {
    /// Stores the outcome that a handler's return comes to.
    async fn end(
        &self,
        held: &Held<Command>,
        returned: Result<Success, HandlerError>,
    ) -> Result<(&'static str, Write), WorkError> {
        let Held { stored: command, holder } = held;
        if let Err(error) = &returned {
            tracing::warn!(%error, cause = error.cause(), command.attempt, "attempt failed");
            if let Some(error) = error.of_database() {
                self.stores.db.learn(error);
            }
        }
        let outcome = returned.map_err(|error| error.to_stored());
        let commands = &self.stores.commands;
        match decide(command.attempt, command.max_attempts, outcome) {
            Decision::Succeed(success) => {
                Ok(("success", commands.finish(command, *holder, success.into_verdict()).await?))
            }
            Decision::Retry(error) => {
                let kind = self.handler.command_type();
                metrics::counter!("painel_job_retries_total", "kind" => kind.name()).increment(1);
                let delay = kind.retry().delay(command.attempt);
                Ok(("retry", commands.retry(command, *holder, error, delay).await?))
            }
            Decision::Fail { error, dead_letter } => {
                let verdict = self.bury(command, holder.fence, error, dead_letter).await?;
                let outcome = match &verdict {
                    Verdict::Success(_) | Verdict::Unaudited(_) => "success",
                    Verdict::Error { dead_letter: true, .. } => "dead_letter",
                    Verdict::Error { dead_letter: false, .. } => "error",
                };
                Ok((outcome, commands.finish(command, *holder, verdict).await?))
            }
        }
    }

    /// Writes the tombstone of a command, within a time limit: how it ends.
    async fn bury(
        &self,
        command: &Command,
        fence: u64,
        error: CommandError,
        dead_letter: bool,
    ) -> Result<Verdict, sqlx::Error> {
        let db = &self.stores.db;
        db.step(async || effects::bury(&db.service(), command.id(), fence, error.clone(), dead_letter).await).await
    }
}

/// Writes the event of a command that has ended, and then that it is written.
pub(crate) async fn write_owed_event(stores: &Stores, ended: &Command) -> Result<(), WorkError> {
    events::record(&stores.db, event_of_end(ended).as_slice()).await?;
    stores.commands.event_written(ended).await?;
    Ok(())
}

/// The event of a command's end, if it has ended.
pub(crate) fn event_of_end(command: &Command) -> Option<Event> {
    match (command.status, &command.error) {
        (Status::Pending | Status::Running, _) => None,
        (Status::Success, _) => {
            let result = command.result.as_ref();
            Some(Event::succeeded(command, command.fence, result.unwrap_or(&Map::new())))
        }
        (Status::Error, Some(error)) => Some(Event::failed(command, command.fence, &error.code, &error.message)),
        // Another build ended it.
        (Status::Error, None) => Some(Event::failed(command, command.fence, "unknown", "why is not known")),
    }
}
