//! Each transition of `command.rs` as one conditional write.
//!
//! What is lawful is decided on an image of the item; the write carries the condition that the item
//! is still that image where it matters. A write whose answer was lost is recognised when it is sent
//! again: the item then bears the id of that write. What was written would not tell: two reconcilers may
//! write the same in the same millisecond.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use uuid::Uuid;

use super::{CommandStore, Item, StoreError, from_item, key_item, to_item};
use crate::{
    command::{ClaimRefused, Command, CommandError, CommandKey, Holder, LeaseLost, NotAllowed, Verdict},
    ids::LeaseOwner,
    planted::{Bug, planted},
    time::now,
};

/// What must not have changed under a holder's write: that it is still the holder.
const HELD: &[&str] = &["status", "fence", "lease_owner"];
/// What must not have changed under anybody else's: all that made the transition lawful.
const UNHELD: &[&str] = &[
    "status",
    "fence",
    "lease_owner",
    "lease_expires_at",
    "attempt",
    "not_before",
    "next_publish_at",
    "dead_letter",
];
/// Nothing but that it is the same item: a write that no safeguard holds.
const UNGUARDED: &[&str] = &["command_id"];
/// All that a transition can change. What the next image lacks is removed.
const MUTABLE: &[&str] = &[
    "status",
    "attempt",
    "fence",
    "not_before",
    "next_publish_at",
    "republished",
    "lease_owner",
    "lease_expires_at",
    "started_at",
    "completed_at",
    "duration_ms",
    "result",
    "error",
    "dead_letter",
];
/// A fresh id for each write, stored with it: by it, one that is sent again knows itself.
const WRITE_ID: &str = "write_id";
/// How often a claim looks again when another worker's write came first.
const CLAIM_TRIES: usize = 5;

/// What came of a transition.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// It was written; this is the item now.
    Done(Command),
    /// It was not; this is what stands instead, if anything does.
    Refused(Option<Command>),
}

impl Write {
    /// What stands in the store after the attempt to write.
    pub fn stored(self) -> Option<Command> {
        match self {
            Self::Done(command) => Some(command),
            Self::Refused(found) => found,
        }
    }
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The command is the caller's, who is its holder.
    Held(Command, Holder),
    /// It is not to be had; this is what stands, and why.
    Refused(Command, ClaimRefused),
    /// There is no such command, or it has expired.
    Missing,
}

impl CommandStore {
    /// **claim** under a fresh owner.
    pub async fn claim(&self, key: CommandKey) -> Result<Claim, StoreError> {
        let owner = LeaseOwner::fresh();
        let guard = if planted(Bug::NoClaimCondition) { UNGUARDED } else { UNHELD };
        let mut image = self.get_key(key).await?;
        for _ in 0..CLAIM_TRIES {
            let Some(found) = image else { return Ok(Claim::Missing) };
            let next = match found.claim(owner, self.lease, now()) {
                Ok(next) => next,
                Err(refused) => return Ok(Claim::Refused(found, refused)),
            };
            let holder = Holder { fence: next.fence, owner };
            match self.replace(&found, next, guard).await? {
                Write::Done(command) => return Ok(Claim::Held(command, holder)),
                Write::Refused(now_stored) => image = now_stored,
            }
        }
        Ok(image.map_or(Claim::Missing, |found| Claim::Refused(found, ClaimRefused::Leased)))
    }

    /// **renew**.
    pub async fn renew(&self, held: &Command, holder: Holder) -> Result<Write, StoreError> {
        self.write_held(held, held.renew(holder, self.lease, now())).await
    }

    /// **finish**.
    pub async fn finish(&self, held: &Command, holder: Holder, verdict: Verdict) -> Result<Write, StoreError> {
        self.write_held(held, held.finish(holder, verdict, now())).await
    }

    /// **retry** after `delay`.
    pub async fn retry(
        &self,
        held: &Command,
        holder: Holder,
        error: CommandError,
        delay: Duration,
    ) -> Result<Write, StoreError> {
        self.write_held(held, held.retry(holder, error, delay, now())).await
    }

    /// **release**.
    pub async fn release(&self, held: &Command, holder: Holder) -> Result<Write, StoreError> {
        self.write_held(held, held.release(holder, now())).await
    }

    /// **expire**: ends as `verdict` says.
    pub async fn expire(&self, found: &Command, verdict: Verdict) -> Result<Write, StoreError> {
        self.write_unheld(found, found.expire(verdict, now())).await
    }

    /// **reprocess**.
    pub async fn reprocess(&self, found: &Command) -> Result<Write, StoreError> {
        self.write_unheld(found, found.reprocess(now())).await
    }

    /// **republish**: of several replicas, one is told that it was done.
    pub async fn republish(&self, found: &Command) -> Result<Write, StoreError> {
        self.write_unheld(found, found.republish(now())).await
    }

    /// **publish failed**.
    pub async fn publish_failed(&self, found: &Command) -> Result<Write, StoreError> {
        self.write_unheld(found, found.publish_failed(now())).await
    }

    async fn write_held(&self, held: &Command, next: Result<Command, LeaseLost>) -> Result<Write, StoreError> {
        let guard = if planted(Bug::NoFencingCheck) { UNGUARDED } else { HELD };
        match next {
            Ok(next) => self.replace(held, next, guard).await,
            Err(LeaseLost) => Ok(Write::Refused(self.get_key(held.key).await?)),
        }
    }

    async fn write_unheld(&self, found: &Command, next: Result<Command, NotAllowed>) -> Result<Write, StoreError> {
        match next {
            Ok(next) => self.replace(found, next, UNHELD).await,
            Err(NotAllowed) => Ok(Write::Refused(self.get_key(found.key).await?)),
        }
    }

    /// Writes `next` if what `guard` names is still as in `seen`.
    async fn replace(&self, seen: &Command, next: Command, guard: &[&str]) -> Result<Write, StoreError> {
        let (seen, after) = (to_item(seen)?, to_item(&next)?);
        let mut expression = Expression::default();
        let condition = expression.condition(&seen, guard);
        let id = AttributeValue::S(Uuid::new_v4().to_string());
        let update = expression.update(&after, &id);
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key_item(&next.key)))
            .condition_expression(condition)
            .update_expression(update)
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values(Some(expression.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match answer {
            Ok(_) => return Ok(Write::Done(next)),
            Err(error) => error,
        };
        match error.into_service_error() {
            aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(failed) => {
                match failed.item {
                    Some(stored) if stored.get(WRITE_ID) == Some(&id) => Ok(Write::Done(next)),
                    stored => Ok(Write::Refused(stored.map(from_item).transpose()?)),
                }
            }
            other => Err(StoreError::Unavailable(aws_sdk_dynamodb::error::DisplayErrorContext(&other).to_string())),
        }
    }
}

/// Names and values gathered while an expression is written.
#[derive(Default)]
struct Expression {
    names: std::collections::HashMap<String, String>,
    values: Item,
}

impl Expression {
    /// Each attribute of `guard` is as in `seen`.
    fn condition(&mut self, seen: &Item, guard: &[&str]) -> String {
        let mut parts = Vec::new();
        for attribute in guard {
            let name = self.name(attribute);
            match seen.get(*attribute) {
                Some(value) => parts.push(format!("{name} = {}", self.value("seen", attribute, value))),
                None => parts.push(format!("attribute_not_exists({name})")),
            }
        }
        parts.join(" AND ")
    }

    /// Sets what `after` holds of the mutable attributes and removes the rest of them; notes the id of the write.
    fn update(&mut self, after: &Item, id: &AttributeValue) -> String {
        let note = format!("{} = {}", self.name(WRITE_ID), self.value("next", WRITE_ID, id));
        let (mut set, mut remove) = (vec![note], Vec::new());
        for attribute in MUTABLE {
            let name = self.name(attribute);
            match after.get(*attribute) {
                Some(value) => set.push(format!("{name} = {}", self.value("next", attribute, value))),
                None => remove.push(name),
            }
        }
        let mut update = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            update.push_str(&format!(" REMOVE {}", remove.join(", ")));
        }
        update
    }

    fn name(&mut self, attribute: &str) -> String {
        let name = format!("#{attribute}");
        self.names.insert(name.clone(), attribute.to_owned());
        name
    }

    fn value(&mut self, prefix: &str, attribute: &str, value: &AttributeValue) -> String {
        let name = format!(":{prefix}_{attribute}");
        self.values.insert(name.clone(), value.clone());
        name
    }
}
