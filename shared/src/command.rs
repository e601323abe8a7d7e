//! A command, its states and their lawful transitions: pure, no I/O.
//!
//! ```text
//! PENDING --claim--> RUNNING --finish--> SUCCESS | ERROR
//!    ^  ^               |                            |
//!    |  +---- retry ----+  (attempt < max_attempts)  |
//!    +---------------- reprocess --------------------+
//! ```
//!
//! Each transition takes the stored image and returns the next one, or says why it may not be. The
//! store writes the next image on the condition that the stored one is still what was looked at, so
//! this file alone decides what is lawful.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use crate::attempt::{Attempt, AttemptOutcome, CommandError};
use crate::{
    attempt::ATTEMPTS_KEPT,
    commands::CommandType,
    ids::{CommandId, LeaseOwner, TenantId},
    time::{Timestamp, millis},
    trace::TraceContext,
};

/// How long a PENDING command may wait for a worker before it is published again.
pub const PUBLISH_PATIENCE: Duration = Duration::from_secs(15);
/// The same for a RUNNING one whose lease has passed: it waits for nothing else, and there are few of them.
pub const TAKE_OVER_PATIENCE: Duration = Duration::from_secs(1);
/// The longest wait between two publishings of the same command.
pub const PUBLISH_PATIENCE_CAP: Duration = Duration::from_secs(300);
/// The wait after a publishing that failed.
pub const PUBLISH_AGAIN: Duration = Duration::from_secs(2);
/// How long whoever ended a command may take to write the event of that, before somebody else does.
pub const EVENT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a command is kept after its creation.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Where a command stands. There are exactly these four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Accepted, and waiting for a worker.
    Pending,
    /// Claimed by a worker whose lease has not been given back.
    Running,
    /// Took effect, once.
    Success,
    /// Ended without effect.
    Error,
}

impl Status {
    /// All of them; unfinished ones first.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Success, Self::Error];

    /// The status as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Error => "ERROR",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Error)
    }
}

/// The table's key: both halves are needed to name one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandKey {
    /// The command.
    pub command_id: CommandId,
    /// When it was created.
    #[serde(with = "millis")]
    pub created_at: Timestamp,
}

impl fmt::Display for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command_id.fmt(f)
    }
}

/// What has to be done about a command by itself, should nothing else happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DueKind {
    /// Its holder may have died: it is published again when its lease has passed.
    Held,
    /// It waits for another attempt: it is published again when that should long have begun.
    Retry,
    /// It waits for its first attempt.
    New,
    /// It has ended, and the event of that may not have been written.
    Event,
}

impl DueKind {
    /// The kind as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Retry => "retry",
            Self::New => "new",
            Self::Event => "event",
        }
    }
}

/// What is due, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What has to be done.
    pub kind: DueKind,
    /// From when on.
    pub at: Timestamp,
}

/// By what a worker proves that a command is still its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The fencing token of its claim.
    pub fence: u64,
    /// The owner of its claim.
    pub owner: LeaseOwner,
}

/// What a command is made of when it is accepted; already validated.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// Its type.
    pub command_type: CommandType,
    /// The tenant it belongs to; none for platform-wide commands.
    pub tenant_id: Option<TenantId>,
    /// Its parameters, normalised.
    pub parameters: Map<String, Value>,
    /// Why it was sent, in the operator's words.
    pub reason: Option<String>,
    /// The `sub` of who sent it.
    pub created_by: String,
    /// Their address, where their token tells.
    pub created_by_email: Option<String>,
    /// The trace of the request.
    pub traceparent: TraceContext,
}

/// A stored command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its key in the table.
    #[serde(flatten)]
    pub key: CommandKey,
    /// The tenant it belongs to; none for platform-wide commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Its type.
    pub command_type: CommandType,
    /// Where it stands.
    pub status: Status,
    /// Its parameters, normalised.
    pub parameters: Map<String, Value>,
    /// Why it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The `sub` of who sent it.
    pub created_by: String,
    /// Their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by_email: Option<String>,
    /// How many attempts have begun since it was created or reprocessed.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// The fencing token: grows with every change of hands, and never shrinks.
    pub fence: u64,
    /// No claim before this time.
    #[serde(with = "millis")]
    pub not_before: Timestamp,
    /// When the reconciler publishes it again, if nothing has happened by then.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub next_publish_at: Option<Timestamp>,
    /// How often the reconciler has published it since something last happened to it.
    #[serde(default)]
    pub republished: u32,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<LeaseOwner>,
    /// Until when it is held.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<Timestamp>,
    /// When the latest attempt began.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it reached SUCCESS or ERROR.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// How long the latest attempt took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What the handler returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Map<String, Value>>,
    /// Why it ended in ERROR, or why its last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CommandError>,
    /// Its latest attempts, the oldest first; one that has no end and is not the one that runs has lost its lease.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Whether its message belongs in the dead-letter queue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dead_letter: bool,
    /// Whether the event of its end may still have to be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owes_event: bool,
    /// The trace of the request that made it.
    pub traceparent: TraceContext,
    /// When the table may forget it.
    #[serde(rename = "ttl", with = "chrono::serde::ts_seconds")]
    pub expires_at: Timestamp,
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// It waits for a retry.
    #[error("it is not due yet")]
    NotDue,
    /// Another worker holds it.
    #[error("another worker holds it")]
    Leased,
    /// Its last attempt lost its lease: it can only be expired.
    #[error("its last attempt lost its lease")]
    Exhausted,
    /// It has ended.
    #[error("it has ended")]
    Finished,
}

/// Commands of which status may be claimed, and on which conditions.
#[derive(Clone, Copy, Debug)]
pub struct Claimable {
    /// The status.
    pub status: Status,
    /// All of them have to hold; the first that does not is why a claim is refused.
    pub conditions: &'static [ClaimCondition],
}

/// What may be claimed: PENDING and due, or RUNNING with an expired lease and an attempt left. The store's condition is
/// made of this table, too.
pub const CLAIMABLE: [Claimable; 2] = [
    Claimable { status: Status::Pending, conditions: &[ClaimCondition::Due] },
    Claimable { status: Status::Running, conditions: &[ClaimCondition::LeaseExpired, ClaimCondition::AttemptLeft] },
];

/// What has to hold of a command that is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimCondition {
    /// It waits for nothing.
    Due,
    /// Nobody holds it any more.
    LeaseExpired,
    /// It may be tried again.
    AttemptLeft,
}

impl ClaimCondition {
    fn check(self, command: &Command, now: Timestamp) -> Result<(), ClaimRefused> {
        let (holds, refused) = match self {
            Self::Due => (command.not_before <= now, ClaimRefused::NotDue),
            Self::LeaseExpired => (command.lease_expired(now), ClaimRefused::Leased),
            Self::AttemptLeft => (command.attempt < command.max_attempts, ClaimRefused::Exhausted),
        };
        if holds { Ok(()) } else { Err(refused) }
    }
}

/// A holder's write came after its lease had passed to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease has been lost")]
pub struct LeaseLost;

/// Why a holder may not give a command back to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryRefused {
    /// Its lease has passed to another.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// This was the last attempt.
    #[error("no attempts are left")]
    NoAttemptsLeft,
}

/// A transition's precondition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command's state does not allow it")]
pub struct NotAllowed;

/// How an attempt ended for good.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It took effect, with this result; the event of that was written with its record.
    Success(Map<String, Value>),
    /// It has this result, but PostgreSQL did not answer: the event is owed.
    Unaudited(Map<String, Value>),
    /// It took no effect; the event of that is written after. `dead_letter` where more attempts might have helped.
    Error {
        /// Why.
        error: CommandError,
        /// Whether its message is kept to be reprocessed.
        dead_letter: bool,
    },
}

impl Command {
    /// A command as it is accepted at `now`: PENDING, and due at once.
    pub fn accept(new: NewCommand, now: Timestamp) -> Self {
        Self {
            key: CommandKey { command_id: CommandId::from(Uuid::now_v7()), created_at: now },
            tenant_id: new.tenant_id,
            command_type: new.command_type,
            status: Status::Pending,
            parameters: new.parameters,
            reason: new.reason,
            created_by: new.created_by,
            created_by_email: new.created_by_email,
            attempt: 0,
            max_attempts: new.command_type.retry().max_attempts,
            fence: 0,
            not_before: now,
            next_publish_at: Some(now + PUBLISH_PATIENCE),
            republished: 0,
            lease_owner: None,
            lease_expires_at: None,
            started_at: None,
            completed_at: None,
            duration_ms: None,
            result: None,
            error: None,
            attempts: Vec::new(),
            dead_letter: false,
            owes_event: false,
            traceparent: new.traceparent,
            expires_at: now + RETENTION,
        }
    }

    /// Its id.
    pub fn id(&self) -> CommandId {
        self.key.command_id
    }

    /// The same command under the key that was reserved for it.
    pub fn under(self, key: CommandKey) -> Self {
        Self { key, ..self }
    }

    /// What has to be done about it by itself, and when; nothing once it has ended and its event is written.
    pub fn due(&self) -> Option<Due> {
        let next = self.next_publish_at.unwrap_or(self.not_before);
        let (kind, at) = match self.status {
            // `None` is before every time.
            Status::Running => (DueKind::Held, self.lease_expires_at.max(self.next_publish_at).unwrap_or(next)),
            Status::Pending if self.attempt > 0 => (DueKind::Retry, next),
            Status::Pending => (DueKind::New, next),
            Status::Success | Status::Error if self.owes_event => {
                let first = self.completed_at.unwrap_or(self.key.created_at) + EVENT_PATIENCE;
                (DueKind::Event, self.next_publish_at.map_or(first, |next| next.max(first)))
            }
            Status::Success | Status::Error => return None,
        };
        Some(Due { kind, at })
    }

    /// Who holds it, if anyone does.
    pub fn holder(&self) -> Option<Holder> {
        let owner = self.lease_owner.filter(|_| self.status == Status::Running)?;
        Some(Holder { fence: self.fence, owner })
    }

    /// Whether it is held and its lease has passed.
    pub fn lease_expired(&self, now: Timestamp) -> bool {
        self.status == Status::Running && self.lease_expires_at.is_none_or(|at| at <= now)
    }

    /// **claim**: as [`CLAIMABLE`] says.
    pub fn claim(&self, owner: LeaseOwner, lease: Duration, now: Timestamp) -> Result<Self, ClaimRefused> {
        let claimable = CLAIMABLE.iter().find(|one| one.status == self.status).ok_or(ClaimRefused::Finished)?;
        for condition in claimable.conditions {
            condition.check(self, now)?;
        }
        Ok(Self {
            status: Status::Running,
            attempt: self.attempt + 1,
            fence: self.fence + 1,
            lease_owner: Some(owner),
            lease_expires_at: Some(now + lease),
            started_at: Some(now),
            next_publish_at: None,
            republished: 0,
            attempts: self.attempts.iter().cloned().chain([Attempt::begun(now)]).collect(),
            ..self.clone()
        })
    }

    /// **renew**: the holder keeps its lease for longer.
    pub fn renew(&self, holder: Holder, lease: Duration, now: Timestamp) -> Result<Self, LeaseLost> {
        self.held_by(holder)?;
        Ok(Self { lease_expires_at: Some(now + lease), ..self.clone() })
    }

    /// **finish**: the holder ends it.
    pub fn finish(&self, holder: Holder, verdict: Verdict, now: Timestamp) -> Result<Self, LeaseLost> {
        self.held_by(holder)?;
        Ok(self.ended(verdict, now))
    }

    /// **retry**: the holder gives it back to be tried again after `delay`.
    pub fn retry(
        &self,
        holder: Holder,
        error: CommandError,
        delay: Duration,
        now: Timestamp,
    ) -> Result<Self, RetryRefused> {
        self.held_by(holder)?;
        if self.attempt >= self.max_attempts {
            return Err(RetryRefused::NoAttemptsLeft);
        }
        let attempts = self.attempts_after(now, AttemptOutcome::Retry, Some(&error));
        Ok(Self { error: Some(error), attempts, ..self.pending(now + delay) })
    }

    /// **release**: a holder that drains gives it back; the attempt does not count.
    pub fn release(&self, holder: Holder, now: Timestamp) -> Result<Self, LeaseLost> {
        self.held_by(holder)?;
        let attempts = self.attempts_after(now, AttemptOutcome::Released, None);
        Ok(Self { attempt: self.attempt.saturating_sub(1), attempts, ..self.pending(now) })
    }

    /// **expire**: the lease of the last attempt has passed; it ends as `verdict` says.
    pub fn expire(&self, verdict: Verdict, now: Timestamp) -> Result<Self, NotAllowed> {
        if !self.lease_expired(now) || self.attempt < self.max_attempts {
            return Err(NotAllowed);
        }
        Ok(Self { fence: self.fence + 1, ..self.ended(verdict, now) })
    }

    /// **reprocess**: its message was dead-lettered; its attempts start anew.
    pub fn reprocess(&self, now: Timestamp) -> Result<Self, NotAllowed> {
        if self.status != Status::Error || !self.dead_letter {
            return Err(NotAllowed);
        }
        Ok(Self { attempt: 0, fence: self.fence + 1, error: None, started_at: None, ..self.pending(now) })
    }

    /// **republish**: it has waited too long; the next wait is twice as long, up to five minutes.
    pub fn republish(&self, now: Timestamp) -> Result<Self, NotAllowed> {
        let waited = self.next_publish_at.is_none_or(|at| at <= now);
        let due = match self.status {
            Status::Pending => waited && self.not_before <= now,
            Status::Running => waited && self.lease_expired(now),
            Status::Success | Status::Error => false,
        };
        if !due {
            return Err(NotAllowed);
        }
        let doublings = (self.republished + 1).min(16);
        let first = if self.status == Status::Running { TAKE_OVER_PATIENCE } else { PUBLISH_PATIENCE };
        let patience = first.saturating_mul(1 << doublings).min(PUBLISH_PATIENCE_CAP);
        Ok(Self { next_publish_at: Some(now + patience), republished: self.republished + 1, ..self.clone() })
    }

    /// **publish failed**: the queue did not take what was published again; it is tried again soon.
    pub fn publish_failed(&self, now: Timestamp) -> Result<Self, NotAllowed> {
        if self.status.is_final() || self.republished == 0 {
            return Err(NotAllowed);
        }
        Ok(Self { next_publish_at: Some(now + PUBLISH_AGAIN), republished: self.republished - 1, ..self.clone() })
    }

    fn held_by(&self, holder: Holder) -> Result<(), LeaseLost> {
        if self.holder() == Some(holder) { Ok(()) } else { Err(LeaseLost) }
    }

    /// **event written**: that of its end.
    pub fn event_written(&self) -> Result<Self, NotAllowed> {
        if !self.status.is_final() || !self.owes_event {
            return Err(NotAllowed);
        }
        Ok(Self { owes_event: false, ..self.clone() })
    }

    /// **event refused**: that of its end; it is looked at again later.
    pub fn event_refused(&self, now: Timestamp) -> Result<Self, NotAllowed> {
        if !self.status.is_final() || !self.owes_event {
            return Err(NotAllowed);
        }
        Ok(Self { next_publish_at: Some(now + PUBLISH_PATIENCE_CAP), ..self.clone() })
    }

    /// Its latest attempts, as they are told: each that has ended says how.
    pub fn told_attempts(&self) -> Vec<Attempt> {
        let runs =
            |attempt: &Attempt| self.status == Status::Running && Some(attempt.started_at) == self.started_at;
        let told = self.attempts.iter().map(|attempt| match attempt.outcome {
            None if !runs(attempt) => Attempt { outcome: Some(AttemptOutcome::LeaseLost), ..attempt.clone() },
            _ => attempt.clone(),
        });
        told.skip(self.attempts.len().saturating_sub(ATTEMPTS_KEPT)).collect()
    }

    /// Its latest attempts once the one that runs has ended so. A worker of an older build has not noted its beginning.
    fn attempts_after(
        &self,
        now: Timestamp,
        outcome: AttemptOutcome,
        error: Option<&CommandError>,
    ) -> Vec<Attempt> {
        let started_at = self.started_at.unwrap_or(now);
        let mut attempts = self.attempts.clone();
        attempts.pop_if(|last| last.outcome.is_none() && last.started_at == started_at);
        attempts.push(Attempt::begun(started_at).ended(now, outcome, error));
        attempts.drain(..attempts.len().saturating_sub(ATTEMPTS_KEPT));
        attempts
    }

    /// The same command, waiting for a worker from `not_before` on.
    fn pending(&self, not_before: Timestamp) -> Self {
        Self {
            status: Status::Pending,
            not_before,
            next_publish_at: Some(not_before + PUBLISH_PATIENCE),
            republished: 0,
            lease_owner: None,
            lease_expires_at: None,
            completed_at: None,
            duration_ms: None,
            result: None,
            dead_letter: false,
            owes_event: false,
            ..self.clone()
        }
    }

    /// The same command, ended.
    fn ended(&self, verdict: Verdict, now: Timestamp) -> Self {
        let took = self.started_at.map(|at| (now - at).num_milliseconds().max(0).unsigned_abs());
        let owes_event = !matches!(verdict, Verdict::Success(_));
        let (status, result, error, dead_letter) = match verdict {
            Verdict::Success(result) | Verdict::Unaudited(result) => (Status::Success, Some(result), None, false),
            Verdict::Error { error, dead_letter } => (Status::Error, None, Some(error), dead_letter),
        };
        let outcome = if status == Status::Success { AttemptOutcome::Success } else { AttemptOutcome::Error };
        Self {
            attempts: self.attempts_after(now, outcome, error.as_ref()),
            status,
            result,
            error,
            dead_letter,
            owes_event,
            next_publish_at: None,
            republished: 0,
            lease_owner: None,
            lease_expires_at: None,
            completed_at: Some(now),
            duration_ms: took,
            ..self.clone()
        }
    }
}
