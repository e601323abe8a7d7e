//! REPROCESS_QUEUE: moves dead letters back to their queue, each dead command at most once.
//!
//! What it takes is written down before it is touched, so that a second attempt goes on where the first
//! stopped: it neither exceeds the count nor forgets a command between its new state and its new job.

mod ledger;
mod runs;
mod scan;

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use painel_shared::{
    command::{Command, CommandKey, Status},
    command_store::{Found, ReadOn},
    commands,
    config::{ConfigError, Vars},
    dispatch,
    events::{self, Event},
    ids::CommandId,
    job::{Job, Work},
    rollup,
    stores::Stores,
    time::Timestamp,
};
use serde_json::json;

use self::{ledger::Ledger, scan::Scanned};
use crate::{
    command_work::event_of_end,
    effects::{self, Success},
    handler::{Attempt, Handler, HandlerError},
};

/// How many dead letters are received, and how many commands worked on, at once.
const BATCH: usize = 10;

/// The handler.
#[derive(Debug)]
pub struct ReprocessQueue {
    stores: Stores,
}

/// What became of a dead letter.
#[derive(Clone, Copy)]
enum Taken {
    /// It is done with: what it is about has a new job, or there is nothing to move.
    Done,
    /// It is left as it is.
    Left,
    /// It is left as it is, since nobody can read what it is about.
    Unreadable,
    /// It is left as it is, since as many have been moved as were asked for.
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
        let ledger = Ledger { db: &self.stores.db, attempt, most: parameters.message_count };
        let run = Run { stores: &self.stores, attempt, parameters: &parameters, ledger };
        run.finish_taken().await?;
        let Scanned { unreadable, left, full } = run.move_dead_letters().await?;
        if !full {
            run.move_those_without_letters().await?;
        }
        let (moved, skipped) = run.ledger.counts().await?;
        // What has just been given back may not be counted yet.
        let remaining = self.stores.queue.depth(parameters.queue_name).await?.dead.max(left);
        let result = json!({"moved": moved, "skipped": skipped + unreadable, "remaining": remaining});
        effects::record(&self.stores.db, attempt, result.as_object().cloned().unwrap_or_default()).await
    }
}

/// One attempt under way.
struct Run<'a> {
    stores: &'a Stores,
    attempt: &'a Attempt,
    parameters: &'a commands::ReprocessQueue,
    ledger: Ledger<'a>,
}

impl Run<'_> {
    fn id(&self) -> CommandId {
        self.attempt.stored.id()
    }

    /// Only what died before this command was sent: what dies again meanwhile waits for the next one.
    fn began(&self) -> Timestamp {
        self.attempt.stored.key.created_at
    }

    /// Whether that command may be taken: no others are named.
    fn is_asked_for(&self, command: CommandId) -> bool {
        self.parameters.command_ids.as_ref().is_none_or(|ids| ids.contains(&command))
    }

    fn is_of_rollups(&self) -> bool {
        self.parameters.queue_name == rollup::QUEUE
    }

    /// Ends what an earlier attempt took and did not end.
    async fn finish_taken(&self) -> Result<(), HandlerError> {
        let open = self.ledger.open().await?;
        if self.is_of_rollups() {
            return self.finish_taken_runs(open).await;
        }
        let Targets { commands, unreadable } = self.find_targets(&open).await?;
        self.revive(commands.values()).await.1?;
        self.ledger.note(&unreadable, "skipped").await?;
        // They have expired.
        let readable = |key: &CommandKey| commands.contains_key(key) || unreadable.contains(key);
        let gone: Vec<CommandKey> = open.into_iter().filter(|key| !readable(key)).collect();
        self.ledger.note(&gone, "moved").await
    }

    /// Takes what these dead letters are about, and notes what became of each: also where something goes wrong.
    async fn take_jobs(&self, jobs: &[Option<Job>], verdicts: &mut [Taken]) -> Result<(), HandlerError> {
        let ids = &self.parameters.message_ids;
        let asked_for = |job: &Job| {
            let is_of_command = match job.work {
                Work::Command(key) => self.is_asked_for(key.command_id),
                Work::Rollup { .. } => self.parameters.command_ids.is_none(),
            };
            is_of_command && ids.as_ref().is_none_or(|ids| ids.contains(&job.job_id))
        };
        let mut of_commands = Vec::new();
        for (job, verdict) in jobs.iter().zip(verdicts) {
            let Some(job) = job else {
                *verdict = Taken::Unreadable;
                continue;
            };
            match job.work {
                _ if !asked_for(job) => {}
                Work::Command(key) if key.command_id != self.id() => of_commands.push((key, verdict)),
                Work::Command(_) => {}
                Work::Rollup { run_id, .. } => *verdict = self.take_run(run_id).await?,
            }
        }
        let keys: Vec<CommandKey> = of_commands.iter().map(|(key, _)| *key).collect();
        let mut of_each = HashMap::new();
        let taken = self.take_keys(&keys, &mut of_each).await;
        for (key, verdict) in of_commands {
            *verdict = of_each.get(&key).copied().unwrap_or(Taken::Left);
        }
        taken
    }

    /// Takes the commands under these keys, and notes what became of each.
    async fn take_keys(&self, keys: &[CommandKey], of_each: &mut OfEach) -> Result<(), HandlerError> {
        let Targets { commands, unreadable } = self.find_targets(keys).await?;
        let readable: Vec<CommandKey> = keys.iter().filter(|key| !unreadable.contains(key)).copied().collect();
        of_each.extend(unreadable.into_iter().map(|key| (key, Taken::Unreadable)));
        self.take(&readable, &commands, of_each).await
    }

    /// The commands under these keys, by key.
    async fn find_targets(&self, keys: &[CommandKey]) -> Result<Targets, HandlerError> {
        let mut targets = Targets::default();
        let mut once = keys.to_vec();
        once.sort_unstable();
        once.dedup();
        for found in self.stores.commands.get_many(&once).await? {
            match found {
                Found::Command(command) => drop(targets.commands.insert(command.key, *command)),
                Found::Unreadable(key, _) => targets.unreadable.push(key),
            }
        }
        Ok(targets)
    }

    /// Goes through what died and whose message is gone.
    async fn move_those_without_letters(&self) -> Result<(), HandlerError> {
        if self.parameters.message_ids.is_some() {
            return Ok(());
        }
        match self.is_of_rollups() {
            true if self.parameters.command_ids.is_some() => Ok(()),
            true => self.move_dead_runs().await,
            false => self.move_dead_commands().await,
        }
    }

    async fn move_dead_commands(&self) -> Result<(), HandlerError> {
        let mut from = ReadOn::default();
        loop {
            let (dead, on) = self.stores.commands.find_dead(self.parameters.queue_name, self.began(), from).await?;
            let keys = dead.iter().map(|target| target.key);
            let keys: Vec<CommandKey> = keys.filter(|key| self.is_asked_for(key.command_id)).collect();
            for keys in keys.chunks(BATCH) {
                // An index may lag: what it says is looked up.
                let mut targets = self.find_targets(keys).await?.commands;
                targets.retain(|key, target| key.command_id != self.id() && is_dead(target));
                let keys: Vec<CommandKey> = keys.iter().filter(|key| targets.contains_key(key)).copied().collect();
                let mut of_each = HashMap::new();
                self.take(&keys, &targets, &mut of_each).await?;
                if of_each.values().any(|taken| matches!(taken, Taken::Full)) {
                    return Ok(());
                }
            }
            if on.is_done() {
                return Ok(());
            }
            from = on;
        }
    }

    /// Whether it is dead, and was before this command was sent.
    fn died_before(&self, target: &Command) -> bool {
        is_dead(target) && target.completed_at.is_some_and(|at| at < self.began())
    }

    /// Takes those that are dead, in the order of the keys; what lives, or is not there any more, is skipped. One that is
    /// named by several letters is taken or skipped once. Notes what became of each, also where something goes wrong.
    async fn take(
        &self,
        keys: &[CommandKey],
        targets: &HashMap<CommandKey, Command>,
        of_each: &mut OfEach,
    ) -> Result<(), HandlerError> {
        let (mut dead, mut skipped, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for key in keys.iter().filter(|key| seen.insert(**key)) {
            match targets.get(key) {
                Some(target) if self.died_before(target) => dead.push(*key),
                Some(target) if is_dead(target) => {}
                _ => skipped.push(*key),
            }
        }
        self.ledger.skip(&skipped).await?;
        of_each.extend(skipped.into_iter().map(|key| (key, Taken::Done)));
        let granted = self.ledger.take(&dead).await?;
        let (granted, refused): (Vec<_>, Vec<_>) =
            dead.into_iter().partition(|key| granted.contains(&key.command_id));
        of_each.extend(refused.into_iter().map(|key| (key, Taken::Full)));
        let (moved, revived) = self.revive(granted.iter().filter_map(|key| targets.get(key))).await;
        of_each.extend(moved.into_iter().map(|key| (key, Taken::Done)));
        revived
    }

    /// Gives dead commands new attempts and new jobs; one that has them already gets another job at most. Which have them
    /// now, and what went wrong.
    async fn revive(
        &self,
        targets: impl Iterator<Item = &Command> + Clone,
    ) -> (Vec<CommandKey>, Result<(), HandlerError>) {
        if let Err(error) = self.record_new_lives(targets.clone()).await {
            return (Vec::new(), Err(error));
        }
        let revived = join_all(targets.map(|target| self.revive_one(target))).await;
        let (mut moved, mut failed) = (Vec::new(), Ok(()));
        for one in revived {
            match one {
                Ok(key) => moved.push(key),
                Err(error) => failed = Err(error),
            }
        }
        match self.ledger.note(&moved, "moved").await {
            Ok(()) => (moved, failed),
            // Their letters come again, and find them noted then.
            Err(error) => (Vec::new(), Err(error)),
        }
    }

    /// The events come first, as that of a request does: a crash leaves no change without one. With its new life a command
    /// no longer owes the event of its end.
    async fn record_new_lives(&self, targets: impl Iterator<Item = &Command>) -> Result<(), HandlerError> {
        let of_one = |target: &Command| {
            let owed = event_of_end(target).filter(|_| target.owes_event);
            let next_fence = Command { fence: target.fence + 1, ..target.clone() };
            owed.into_iter().chain([Event::reprocessed(&next_fence, self.id())])
        };
        let events: Vec<Event> = targets.filter(|target| self.died_before(target)).flat_map(of_one).collect();
        Ok(events::record(&self.stores.db, &events).await?)
    }

    async fn revive_one(&self, target: &Command) -> Result<CommandKey, HandlerError> {
        let stored = match self.died_before(target) {
            true => self.stores.commands.reprocess(target).await?.stored(),
            false => Some(target.clone()),
        };
        if let Some(pending) = stored.filter(|command| command.status == Status::Pending) {
            // What the queue does not take now, the reconciler publishes.
            dispatch::publish(self.stores, &pending).await;
        }
        Ok(target.key)
    }
}

/// What became of the dead letters of these commands.
type OfEach = HashMap<CommandKey, Taken>;

/// What stands under some keys.
#[derive(Default)]
struct Targets {
    commands: HashMap<CommandKey, Command>,
    /// They were ended as unreadable, and their jobs kept for an operator.
    unreadable: Vec<CommandKey>,
}

fn is_dead(target: &Command) -> bool {
    target.status == Status::Error && target.dead_letter
}
