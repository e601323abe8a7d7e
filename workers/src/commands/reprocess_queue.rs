//! REPROCESS_QUEUE: moves dead letters back to their queue, each dead command at most once.
//!
//! What it takes is written down before it is touched, so that a second attempt goes on where the first
//! stopped: it neither exceeds the count nor forgets a command between its new state and its new job.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::join_all, stream};
use painel_shared::{
    command::{Command, CommandKey, Status},
    command_store::{ReadOn, StoreError},
    commands,
    config::{ConfigError, Vars},
    dispatch,
    events::{self, Event},
    ids::{CommandId, JobId, RunId},
    job::{Job, Work},
    queue::{Delivery, Side},
    rollup::{self, RollupRun, RunState},
    stores::Stores,
    time::Timestamp,
};
use serde_json::json;

use crate::{
    command_work::write_owed_event,
    effects::{self, Begun, Success},
    handler::{Attempt, Handler, HandlerError},
};

/// How many dead letters are received at once.
const BATCH: usize = 10;
/// How long the dead-letter queue is waited on before it counts as empty.
const WAIT: Duration = Duration::from_secs(1);
/// How many dead letters are given back at once.
const AT_ONCE: usize = 16;

/// The handler.
#[derive(Debug)]
pub struct ReprocessQueue {
    stores: Stores,
}

/// What became of one dead command.
enum Taken {
    /// It has a new job; its dead letter is done with.
    Moved,
    /// There is nothing to move; its dead letter is done with.
    Skipped,
    /// It is left as it is.
    Left,
    /// It is left as it is, since nobody can read what it is about.
    Unreadable,
    /// As many have been moved as were asked for.
    Full,
}

impl Handler for ReprocessQueue {
    type Parameters = commands::ReprocessQueue;

    fn build(_: &Vars, stores: &Stores) -> Result<Self, ConfigError> {
        Ok(Self { stores: stores.clone() })
    }

    async fn handle(
        &self,
        attempt: &Attempt,
        parameters: commands::ReprocessQueue,
    ) -> Result<Success, HandlerError> {
        if let Some(success) = effects::find_standing(&self.stores.db, attempt).await? {
            return Ok(success);
        }
        let run = Run { stores: &self.stores, attempt, parameters: &parameters };
        run.finish_taken().await?;
        let Scanned { unreadable, left, full } = run.move_dead_letters().await?;
        if !full {
            run.move_those_without_letters().await?;
        }
        let (moved, skipped) = run.counts().await?;
        // What has just been given back may not be counted yet.
        let remaining = self.stores.queue.depth(parameters.queue_name).await?.dead.max(left);
        match effects::begin(&self.stores.db, attempt).await? {
            Begun::Done(success) => Ok(success),
            Begun::Fresh(effect) => {
                let result = json!({"moved": moved, "skipped": skipped + unreadable, "remaining": remaining});
                effect.commit(attempt, result.as_object().cloned().unwrap_or_default()).await
            }
        }
    }
}

/// What a dead letter is about.
enum Target {
    Readable(Box<Command>),
    /// It was ended as unreadable, and its job kept for an operator.
    Unreadable,
    Missing,
}

/// Whether a command may be taken.
enum Reserved {
    Yes,
    /// As many have been taken as were asked for.
    Full,
    /// This attempt has been given up by others.
    GivenUp,
}

/// What came of a look through a dead-letter queue.
struct Scanned {
    unreadable: u64,
    /// How many were given back.
    left: u64,
    /// Whether as many were moved as were asked for.
    full: bool,
}

/// A look through a dead-letter queue.
#[derive(Default)]
struct Scan {
    /// What is in hand: first what stays dead, then what has still to be looked at.
    left: Vec<Delivery>,
    /// How many of them stay dead.
    looked_at: usize,
    named: Vec<JobId>,
    unreadable: u64,
    seen_again: usize,
    full: bool,
}

impl Scan {
    /// Takes deliveries in hand. A message that was in hand before, and came back because its hold ran out, takes its old
    /// place; one that nothing tells from the others cannot come back while it is in hand.
    fn add(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match self.left.iter_mut().find(|known| known.id.is_some() && known.id == delivery.id) {
                Some(known) => {
                    delivery.replace(known);
                    self.seen_again += 1;
                }
                None => self.left.push(delivery),
            }
        }
    }
}

/// One attempt under way.
struct Run<'a> {
    stores: &'a Stores,
    attempt: &'a Attempt,
    parameters: &'a commands::ReprocessQueue,
}

impl Run<'_> {
    fn id(&self) -> CommandId {
        self.attempt.stored.id()
    }

    /// Only what died before this command was sent: what dies again meanwhile waits for the next one.
    fn began(&self) -> Timestamp {
        self.attempt.stored.key.created_at
    }

    /// Ends what an earlier attempt took and did not end.
    async fn finish_taken(&self) -> Result<(), HandlerError> {
        let db = &self.stores.db;
        let open = async || {
            sqlx::query!(
                "SELECT target_command_id, target_created_at FROM reprocessed_commands
                 WHERE command_id = $1 AND outcome = 'taken'",
                self.id().uuid(),
            )
            .fetch_all(&db.service())
            .await
        };
        for row in db.step(open).await? {
            let key = CommandKey { command_id: row.target_command_id.into(), created_at: row.target_created_at };
            if self.parameters.queue_name == rollup::QUEUE {
                self.move_run(key, row.target_command_id.into()).await?;
                continue;
            }
            match self.find_target(key).await? {
                Target::Readable(target) => {
                    self.revive(&target).await?;
                    self.note(key, "moved").await?;
                }
                Target::Missing => self.note(key, "moved").await?,
                Target::Unreadable => self.note(key, "skipped").await?,
            }
        }
        Ok(())
    }

    /// Goes through the dead-letter queue once.
    async fn move_dead_letters(&self) -> Result<Scanned, HandlerError> {
        let mut scan = Scan::default();
        let scanned = self.scan(&mut scan).await;
        let left = scan.left.len() as u64;
        // What is left is given back whatever came of the scan; a hold that has run out needs no giving back.
        stream::iter(scan.left)
            .for_each_concurrent(AT_ONCE, |delivery| async {
                if let Err(error) = delivery.release().await {
                    tracing::debug!(%error, "a dead letter was not given back; it comes back by itself");
                }
            })
            .await;
        scanned.map(|()| Scanned { unreadable: scan.unreadable, left, full: scan.full })
    }

    async fn scan(&self, scan: &mut Scan) -> Result<(), HandlerError> {
        let queue = self.parameters.queue_name;
        // What an earlier attempt had in hand when it was stopped is hidden for so long.
        let hidden = self.stores.queue.hidden_at_most() + WAIT;
        let mut receiver = self.stores.queue.receiver(queue, Side::DeadLetters, 1).await?;
        let mut last_new = Instant::now();
        while !scan.full {
            let deliveries = receiver.receive(BATCH, WAIT).await?;
            if deliveries.is_empty() {
                let seen = self.all_named_seen(scan) || last_new.elapsed() > hidden;
                if seen || self.stores.queue.depth(queue).await?.dead <= scan.left.len() as u64 {
                    return Ok(());
                }
            }
            // All are in hand before the first is looked at, so that an error gives all of them back.
            scan.add(deliveries);
            if scan.seen_again > scan.left.len() {
                return Ok(());
            }
            if scan.looked_at < scan.left.len() {
                last_new = Instant::now();
            }
            let mut done = Vec::new();
            let looked = self.look_through(scan, &mut done).await;
            // What is done with is so also where the next one was not looked at.
            let settled = join_all(done.into_iter().map(Delivery::acknowledge)).await;
            looked?;
            settled.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Looks at what is in hand and has not been looked at; what is done with is taken out.
    async fn look_through(&self, scan: &mut Scan, done: &mut Vec<Delivery>) -> Result<(), HandlerError> {
        while let Some(delivery) = scan.left.get(scan.looked_at) {
            let taken = match Job::decode(&delivery.body) {
                Ok(job) => {
                    scan.named.push(job.job_id);
                    self.take_job(&job).await?
                }
                Err(_) => Taken::Unreadable,
            };
            match taken {
                Taken::Moved | Taken::Skipped => done.push(scan.left.swap_remove(scan.looked_at)),
                Taken::Left => scan.looked_at += 1,
                Taken::Unreadable => {
                    scan.unreadable += 1;
                    scan.looked_at += 1;
                }
                Taken::Full => {
                    scan.full = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether ids were given and a message of each has been seen.
    fn all_named_seen(&self, scan: &Scan) -> bool {
        match &self.parameters.message_ids {
            Some(ids) => ids.iter().all(|id| scan.named.contains(id)),
            // What is hidden from this scan is found in the store.
            None => true,
        }
    }

    async fn take_job(&self, job: &Job) -> Result<Taken, HandlerError> {
        let asked_for = self.parameters.message_ids.as_ref().is_none_or(|ids| ids.contains(&job.job_id));
        match job.work {
            _ if !asked_for => Ok(Taken::Left),
            Work::Command(key) if key.command_id == self.id() => Ok(Taken::Left),
            Work::Command(key) => match self.find_target(key).await? {
                Target::Readable(target) => self.take(&target).await,
                Target::Unreadable => Ok(Taken::Unreadable),
                // It has expired: nobody can run it any more.
                Target::Missing => {
                    self.reserve(key, "skipped").await?;
                    Ok(Taken::Skipped)
                }
            },
            Work::Rollup { run_id, .. } => self.take_run(run_id).await,
        }
    }

    async fn find_target(&self, key: CommandKey) -> Result<Target, HandlerError> {
        match self.stores.commands.get_key(key).await {
            Ok(Some(command)) => Ok(Target::Readable(Box::new(command))),
            Ok(None) => Ok(Target::Missing),
            Err(StoreError::Corrupt(_)) => Ok(Target::Unreadable),
            Err(error) => Err(error.into()),
        }
    }

    /// A rollup run counts like a command, under its own id.
    async fn take_run(&self, run_id: RunId) -> Result<Taken, HandlerError> {
        let Some(run) = self.find_run(run_id).await? else { return Ok(Taken::Left) };
        let key = CommandKey { command_id: run.id.uuid().into(), created_at: run.created_at };
        if run.state != RunState::Failed {
            self.reserve(key, "skipped").await?;
            return Ok(Taken::Skipped);
        }
        if !self.run_died_before(&run) {
            return Ok(Taken::Left);
        }
        if !self.reserve(key, "taken").await? {
            return Ok(Taken::Full);
        }
        self.move_run(key, run_id).await
    }

    /// Moves a run that was taken; one whose day has another open run is skipped, for that one does the same.
    async fn move_run(&self, key: CommandKey, run_id: RunId) -> Result<Taken, HandlerError> {
        let moved = self.revive_run(run_id).await?;
        self.note(key, if moved { "moved" } else { "skipped" }).await?;
        Ok(if moved { Taken::Moved } else { Taken::Skipped })
    }

    /// Gives a dead run new attempts and a new job; whether it has them, or had and used them up.
    async fn revive_run(&self, run_id: RunId) -> Result<bool, HandlerError> {
        let Some(mut run) = self.find_run(run_id).await? else { return Ok(false) };
        if self.run_died_before(&run) {
            let db = &self.stores.db;
            db.step(async || rollup::requeue(&db.service(), run_id).await).await?;
            let Some(again) = self.find_run(run_id).await? else { return Ok(false) };
            run = again;
        }
        if run.state == RunState::Queued {
            // What the queue does not take now, the reconciler publishes.
            dispatch::publish_run(self.stores, &run).await;
        }
        Ok(!self.run_died_before(&run))
    }

    async fn find_run(&self, run_id: RunId) -> Result<Option<RollupRun>, HandlerError> {
        let db = &self.stores.db;
        Ok(db.step(async || rollup::find(&db.service(), run_id).await).await?)
    }

    /// Whether a run is dead, and was before this command was sent.
    fn run_died_before(&self, run: &RollupRun) -> bool {
        run.state == RunState::Failed && run.finished_at.is_some_and(|at| at < self.began())
    }

    /// Goes through what died and whose message is gone.
    async fn move_those_without_letters(&self) -> Result<(), HandlerError> {
        if self.parameters.message_ids.is_some() {
            return Ok(());
        }
        match self.parameters.queue_name == rollup::QUEUE {
            true => self.move_dead_runs().await,
            false => self.move_dead_commands().await,
        }
    }

    async fn move_dead_runs(&self) -> Result<(), HandlerError> {
        let limit = i64::from(self.parameters.message_count);
        let db = &self.stores.db;
        for run in db.step(async || rollup::find_dead(&db.service(), self.began(), limit).await).await? {
            if matches!(self.take_run(run).await?, Taken::Full) {
                break;
            }
        }
        Ok(())
    }

    async fn move_dead_commands(&self) -> Result<(), HandlerError> {
        let mut from = ReadOn::default();
        loop {
            let (dead, on) = self.stores.commands.find_dead(self.parameters.queue_name, self.began(), from).await?;
            for target in dead.iter().filter(|target| target.id() != self.id()) {
                // An index may lag: what it says is looked up.
                let Target::Readable(target) = self.find_target(target.key).await? else { continue };
                if self.is_dead(&target) && matches!(self.take(&target).await?, Taken::Full) {
                    return Ok(());
                }
            }
            if on.is_done() {
                return Ok(());
            }
            from = on;
        }
    }

    fn is_dead(&self, target: &Command) -> bool {
        target.status == Status::Error && target.dead_letter
    }

    /// Whether it is dead, and was before this command was sent.
    fn died_before(&self, target: &Command) -> bool {
        self.is_dead(target) && target.completed_at.is_some_and(|at| at < self.began())
    }

    async fn take(&self, target: &Command) -> Result<Taken, HandlerError> {
        if !self.is_dead(target) {
            self.reserve(target.key, "skipped").await?;
            return Ok(Taken::Skipped);
        }
        if !self.died_before(target) {
            return Ok(Taken::Left);
        }
        if !self.reserve(target.key, "taken").await? {
            return Ok(Taken::Full);
        }
        self.revive(target).await?;
        self.note(target.key, "moved").await?;
        Ok(Taken::Moved)
    }

    /// Gives a dead command new attempts and a new job; one that has them already gets another job at most.
    async fn revive(&self, target: &Command) -> Result<(), HandlerError> {
        let stored = if self.died_before(target) {
            // With its new life it no longer owes the event of its end.
            if target.owes_event {
                write_owed_event(self.stores, target).await?;
            }
            // The event comes first, as that of a request does: a crash leaves no change without one.
            let next_fence = Command { fence: target.fence + 1, ..target.clone() };
            let event = Event::reprocessed(&next_fence, self.id());
            let db = &self.stores.db;
            db.step(async || events::record(&mut *db.service().acquire().await?, &event).await).await?;
            self.stores.commands.reprocess(target).await?.stored()
        } else {
            Some(target.clone())
        };
        if let Some(pending) = stored.filter(|command| command.status == Status::Pending) {
            // What the queue does not take now, the reconciler publishes.
            dispatch::publish(self.stores, &pending).await;
        }
        Ok(())
    }

    /// Writes down that a command is taken or skipped; false where as many are taken as were asked for.
    /// One that was written down before stays as it is.
    async fn reserve(&self, target: CommandKey, outcome: &str) -> Result<bool, HandlerError> {
        match self.stores.db.step(async || self.try_reserve(target, outcome).await).await? {
            Reserved::Yes => Ok(true),
            Reserved::Full => Ok(false),
            Reserved::GivenUp => Err(effects::fenced_off()),
        }
    }

    async fn try_reserve(&self, target: CommandKey, outcome: &str) -> Result<Reserved, sqlx::Error> {
        let mut transaction = self.stores.db.begin().await?;
        // Another holder of this command, alive after all, must not count at the same time.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(self.id().to_string())
            .execute(&mut *transaction)
            .await?;
        let state = sqlx::query!(
            r#"SELECT
                 (SELECT count(*) FROM reprocessed_commands
                  WHERE command_id = $1 AND outcome <> 'skipped') AS "taken!",
                 EXISTS (SELECT FROM reprocessed_commands
                  WHERE command_id = $1 AND target_command_id = $2) AS "known!",
                 EXISTS (SELECT FROM command_effects WHERE command_id = $1 AND fence >= $3) AS "given_up!""#,
            self.id().uuid(),
            target.command_id.uuid(),
            effects::fence(self.attempt.holder.fence),
        )
        .fetch_one(&mut *transaction)
        .await?;
        if state.given_up {
            return Ok(Reserved::GivenUp);
        }
        if !state.known && outcome == "taken" && state.taken >= i64::from(self.parameters.message_count) {
            return Ok(Reserved::Full);
        }
        sqlx::query!(
            "INSERT INTO reprocessed_commands (command_id, target_command_id, target_created_at, outcome)
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            self.id().uuid(),
            target.command_id.uuid(),
            target.created_at,
            outcome,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Reserved::Yes)
    }

    async fn note(&self, target: CommandKey, outcome: &str) -> Result<(), HandlerError> {
        let db = &self.stores.db;
        let note = async || {
            sqlx::query!(
                "UPDATE reprocessed_commands SET outcome = $3 WHERE command_id = $1 AND target_command_id = $2",
                self.id().uuid(),
                target.command_id.uuid(),
                outcome,
            )
            .execute(&db.service())
            .await
        };
        db.step(note).await?;
        Ok(())
    }

    /// How many commands were moved, and how many skipped.
    async fn counts(&self) -> Result<(u64, u64), HandlerError> {
        let db = &self.stores.db;
        let count = async || {
            sqlx::query!(
                r#"SELECT count(*) FILTER (WHERE outcome <> 'skipped') AS "moved!",
                          count(*) FILTER (WHERE outcome = 'skipped') AS "skipped!"
                   FROM reprocessed_commands WHERE command_id = $1"#,
                self.id().uuid(),
            )
            .fetch_one(&db.service())
            .await
        };
        let row = db.step(count).await?;
        Ok((row.moved.unsigned_abs(), row.skipped.unsigned_abs()))
    }
}
