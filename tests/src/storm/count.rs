//! The count after a storm: what was accepted, beside records that are not the product's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use painel_shared::{
    command::{Command, Status},
    ids::CommandId,
};
use serde_json::{Value, json};

use super::{LEASE, history::History};
use crate::{stack::Stack, wait::eventually};

/// How many commands are looked at at once.
const ASKED_AT_ONCE: usize = 64;

/// The count after a storm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Commands that were answered 202.
    pub accepted: usize,
    /// Of them, in SUCCESS.
    pub succeeded: usize,
    /// Of them, in ERROR.
    pub failed: usize,
    /// Of them, not in the store, or in SUCCESS without their effect.
    pub lost: usize,
    /// Of them, neither in SUCCESS nor in ERROR.
    pub stuck: usize,
    /// How often the agent runtime was asked for a restart.
    pub calls: u64,
    /// Restarts and rotations there have been.
    pub effects: usize,
    /// Restarts and rotations beyond one a command.
    pub double_effects: usize,
    /// Audit events that should be there and are not.
    pub audit_missing: usize,
    /// Changes of a command that its state machine does not allow, and fencing tokens with two holders.
    pub unlawful: usize,
    /// Jobs that the queue had taken, and that no worker ever claimed.
    pub jobs_lost: usize,
    /// Rows of daily usage that differ from a recount.
    pub rollups_wrong: usize,
    /// From a lost holder's last sign of life to the next holder's claim: the 99th percentile in seconds.
    /// A killed worker may have lived for up to a third of its lease after that sign.
    pub recovery_p99_s: f64,
}

impl Count {
    /// Whether the promise held.
    pub fn is_clean(&self) -> bool {
        [self.lost, self.stuck, self.double_effects, self.audit_missing, self.unlawful, self.rollups_wrong]
            == [0; 6]
    }

    /// The count as one line of JSON.
    pub fn to_json(&self, seed: u64) -> Value {
        json!({
            "accepted": self.accepted, "succeeded": self.succeeded, "failed": self.failed, "lost": self.lost,
            "stuck": self.stuck, "calls": self.calls, "effects": self.effects,
            "double_effects": self.double_effects, "audit_missing": self.audit_missing,
            "unlawful": self.unlawful, "jobs_lost": self.jobs_lost,
            "rollups_wrong": self.rollups_wrong,
            "recovery_p99_s": self.recovery_p99_s, "seed": seed,
        })
    }

    /// Counts what there is.
    pub(super) async fn take(
        stack: &Stack,
        accepted: &[CommandId],
        commands: &BTreeMap<CommandId, Command>,
        unpublished: &BTreeSet<String>,
    ) -> Self {
        let mut count = Self { accepted: accepted.len(), calls: stack.restart_calls().await, ..Self::default() };
        let mut restarts: BTreeMap<String, usize> = BTreeMap::new();
        for restart in stack.restarts() {
            *restarts.entry(restart["key"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let events = events(stack).await;
        let (mut resets, mut without) = (0, 0);
        for id in accepted {
            let id_text = id.to_string();
            let made = restarts.remove(&id_text).unwrap_or(0);
            count.effects += made;
            count.double_effects += made.saturating_sub(1);
            let Some(command) = commands.get(id) else {
                count.lost += 1;
                continue;
            };
            let kind = command.command_type.name();
            let missing = |event: &str| usize::from(!events.contains(&(id_text.clone(), event.to_owned())));
            count.audit_missing += missing("command.requested");
            match command.status {
                Status::Success => {
                    count.succeeded += 1;
                    count.audit_missing += missing("command.succeeded");
                    without += usize::from(kind == "RESTART_AGENT" && made == 0);
                    resets += usize::from(kind == "RESET_TOKEN");
                }
                Status::Error => {
                    count.failed += 1;
                    count.audit_missing += missing("command.failed");
                }
                Status::Pending | Status::Running => count.stuck += 1,
            }
            let never_claimed = command.status == Status::Pending && command.fence == 0;
            count.jobs_lost += usize::from(never_claimed && !unpublished.contains(&id_text));
        }
        // Restarts under keys that are no command's: they stand for commands that have none, or are too many.
        let strangers: usize = restarts.values().sum();
        let rotations = usize::try_from(stack.rotations().await).unwrap();
        count.effects += strangers + rotations;
        count.double_effects += strangers.saturating_sub(without) + rotations.saturating_sub(resets);
        count.lost += without.saturating_sub(strangers) + resets.saturating_sub(rotations);
        count.read_history(stack).await;
        count
    }

    async fn read_history(&mut self, stack: &Stack) {
        let history = History::read(stack).await;
        for one in history.unlawful.iter().take(5) {
            eprintln!("unlawful: {one}");
        }
        self.unlawful = history.unlawful.len();
        let times = history.takeovers;
        let p99 = times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1)));
        self.recovery_p99_s = p99.map_or(0.0, |lost| Duration::from_millis(lost.unsigned_abs()).as_secs_f64())
            + if p99.is_some() { LEASE.as_secs_f64() } else { 0.0 };
    }
}

/// Waits until every command has ended, or the time for it has passed.
pub(super) async fn calm(stack: &Stack, accepted: &[CommandId], limit: Duration) -> BTreeMap<CommandId, Command> {
    let ended: Mutex<BTreeMap<CommandId, Command>> = Mutex::default();
    let deadline = Instant::now() + limit;
    eventually("the calm", limit * 2, || async {
        let open: Vec<CommandId> = {
            let ended = ended.lock().unwrap();
            // The event of an end may still be owed.
            let is_open = |id: &CommandId| ended.get(id).is_none_or(|one| one.due().is_some());
            accepted.iter().copied().filter(is_open).collect()
        };
        let asked =
            stream::iter(open.clone()).map(|id| stack.stores.commands.get(id)).buffer_unordered(ASKED_AT_ONCE);
        let found: Vec<Command> = asked.filter_map(|one| async { one.ok().flatten() }).collect().await;
        ended.lock().unwrap().extend(found.into_iter().map(|one| (one.id(), one)));
        (open.is_empty() || Instant::now() > deadline).then_some(())
    })
    .await;
    ended.into_inner().unwrap()
}

async fn events(stack: &Stack) -> BTreeSet<(String, String)> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT resource_id, event_type FROM operational_events")
        .fetch_all(&stack.stores.db.service())
        .await
        .unwrap();
    rows.into_iter().collect()
}
