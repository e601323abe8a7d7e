//! Each transition of `command.rs` as one conditional write.
//!
//! What is lawful is decided on an image of the item; the write carries the condition that the item
//! is still that image where it matters. A write whose answer was lost is recognised when it is sent
//! again: the item then bears the id of that write. What was written would not tell: two reconcilers may
//! write the same in the same millisecond.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};

use super::{
    CommandStore, Item, StoreError,
    item::{DUE_AT, DUE_SHARD, WRITE_ID, key_item, to_command, to_item, write_id},
};
use crate::{
    command::{Command, CommandError, CommandKey, Holder, Status, Verdict},
    planted::{Bug, planted},
    time::{now, to_text},
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
    "attempts",
    "dead_letter",
    "owes_event",
    DUE_SHARD,
    DUE_AT,
];
/// What an older build may have left out, as if it were at its beginning.
const ABSENT_AT_FIRST: &[&str] = &["fence", "attempt", "not_before"];

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

impl CommandStore {
    /// **renew**.
    pub async fn renew(&self, held: &Command, holder: Holder) -> Result<Write, StoreError> {
        self.write(held, held.renew(holder, self.lease, now()), held_guard()).await
    }

    /// **finish**.
    pub async fn finish(&self, held: &Command, holder: Holder, verdict: Verdict) -> Result<Write, StoreError> {
        self.write(held, held.finish(holder, verdict, now()), held_guard()).await
    }

    /// **retry** after `delay`.
    pub async fn retry(
        &self,
        held: &Command,
        holder: Holder,
        error: CommandError,
        delay: Duration,
    ) -> Result<Write, StoreError> {
        self.write(held, held.retry(holder, error, delay, now()), held_guard()).await
    }

    /// **release**.
    pub async fn release(&self, held: &Command, holder: Holder) -> Result<Write, StoreError> {
        self.write(held, held.release(holder, now()), held_guard()).await
    }

    /// **expire**: ends as `verdict` says.
    pub async fn expire(&self, found: &Command, verdict: Verdict) -> Result<Write, StoreError> {
        self.write(found, found.expire(verdict, now()), UNHELD).await
    }

    /// **reprocess**.
    pub async fn reprocess(&self, found: &Command) -> Result<Write, StoreError> {
        self.write(found, found.reprocess(now()), UNHELD).await
    }

    /// **republish**: of several replicas, one is told that it was done.
    pub async fn republish(&self, found: &Command) -> Result<Write, StoreError> {
        self.write(found, found.republish(now()), UNHELD).await
    }

    /// **publish failed**.
    pub async fn publish_failed(&self, found: &Command) -> Result<Write, StoreError> {
        self.write(found, found.publish_failed(now()), UNHELD).await
    }

    /// **event written**.
    pub async fn event_written(&self, ended: &Command) -> Result<Write, StoreError> {
        self.write(ended, ended.event_written(), UNHELD).await
    }

    /// **event refused**.
    pub async fn event_refused(&self, ended: &Command) -> Result<Write, StoreError> {
        self.write(ended, ended.event_refused(now()), UNHELD).await
    }

    /// Has the index of what is due say again how the command stands.
    pub(super) async fn correct_due(&self, found: Command) -> Result<(), StoreError> {
        self.replace(&found, found.clone(), UNHELD).await.map(|_| ())
    }

    /// Ends what stands under that key and cannot be read: in ERROR, if it has not ended. No attempt would help, and
    /// nothing but its status is known of it. Where it has ended, nothing more can be done about it either.
    pub async fn condemn(&self, key: CommandKey) -> Result<(), StoreError> {
        let why = CommandError::new("unreadable", "this version cannot read what is stored of the command", false);
        let open = |status: Status| AttributeValue::S(status.as_str().to_owned());
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key_item(&key)))
            .condition_expression("#status IN (:pending, :running)")
            .update_expression(
                "SET #status = :error, #error = :why, completed_at = :now \
                 REMOVE next_publish_at, lease_owner, lease_expires_at, due_shard, due_at",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":pending", open(Status::Pending))
            .expression_attribute_values(":running", open(Status::Running))
            .expression_attribute_values(":error", open(Status::Error))
            .expression_attribute_values(":why", serde_dynamo::to_attribute_value(why)?)
            .expression_attribute_values(":now", AttributeValue::S(to_text(now())))
            .send()
            .await;
        if answer.is_ok() {
            tracing::error!(command.id = %key.command_id, "a command cannot be read; it was ended");
            return Ok(());
        }
        done_or_refused(answer)?;
        tracing::error!(command.id = %key.command_id, "an ended command cannot be read; what it owes is given up");
        done_or_refused(self.out_of_index(&key).condition_expression("attribute_exists(command_id)").send().await)
    }

    /// Writes the next image where the transition is lawful; else tells what stands.
    async fn write<E>(
        &self,
        seen: &Command,
        next: Result<Command, E>,
        guard: &[&str],
    ) -> Result<Write, StoreError> {
        match next {
            Ok(next) => self.replace(seen, next, guard).await,
            Err(_) => Ok(Write::Refused(self.get_key(seen.key).await?)),
        }
    }

    /// Writes `next` if what `guard` names is still as in `seen`.
    async fn replace(&self, seen: &Command, next: Command, guard: &[&str]) -> Result<Write, StoreError> {
        let (seen, after) = (to_item(seen)?, to_item(&next)?);
        let mut expression = Expression::default();
        let condition = expression.condition(&seen, guard);
        let id = write_id();
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
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => match &failed.item {
                Some(stored) if stored.get(WRITE_ID) == Some(&id) => Ok(Write::Done(next)),
                stored => Ok(Write::Refused(stored.clone().map(to_command).transpose()?)),
            },
            _ => Err(StoreError::from_sdk(error)),
        }
    }
}

/// An update that is not made where its condition does not hold, which is as well.
pub(super) fn done_or_refused<T>(
    answer: Result<T, aws_sdk_dynamodb::error::SdkError<UpdateItemError>>,
) -> Result<(), StoreError> {
    match answer {
        Err(error)
            if !error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
        {
            Err(StoreError::from_sdk(error))
        }
        _ => Ok(()),
    }
}

/// What a holder's write looks at.
fn held_guard() -> &'static [&'static str] {
    if planted(Bug::NoFencingCheck) { UNGUARDED } else { HELD }
}

/// Names and values gathered while an expression is written.
#[derive(Default)]
pub(super) struct Expression {
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl Expression {
    /// Each attribute of `guard` is as in `seen`.
    fn condition(&mut self, seen: &Item, guard: &[&str]) -> String {
        let mut parts = Vec::new();
        for attribute in guard {
            let name = self.name(attribute);
            match seen.get(*attribute) {
                Some(value) if ABSENT_AT_FIRST.contains(attribute) => {
                    let value = self.value("seen", attribute, value);
                    parts.push(format!("({name} = {value} OR attribute_not_exists({name}))"));
                }
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

    /// How the expression speaks of an attribute.
    pub(super) fn name(&mut self, attribute: &str) -> String {
        let name = format!("#{attribute}");
        self.names.insert(name.clone(), attribute.to_owned());
        name
    }

    /// How it speaks of a value.
    pub(super) fn value(&mut self, prefix: &str, attribute: &str, value: &AttributeValue) -> String {
        let name = format!(":{prefix}_{attribute}");
        self.values.insert(name.clone(), value.clone());
        name
    }
}
