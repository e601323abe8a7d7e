//! **claim** as one conditional update, whose answer brings the item.
//!
//! Its condition is made of [`CLAIMABLE`], the same table by which `command.rs` decides: what both say of each standing
//! is held together by a test. What an older build may have left out counts as it does where an item is read.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{
    CommandStore, StoreError,
    item::{DUE_AT, DUE_SHARD, WRITE_ID, alive, due_shard_of, key_item, to_command, write_id},
    transitions::Expression,
};
use crate::{
    command::{Attempt, CLAIMABLE, ClaimCondition, ClaimRefused, Command, CommandKey, DueKind, Holder, Status},
    commands::CommandType,
    ids::LeaseOwner,
    planted::{Bug, planted},
    retry::RetryPolicy,
    time::{Timestamp, now, to_text},
};

/// What came of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The command is the caller's, who is its holder.
    Held(Command, Holder),
    /// It is not to be had; this is what stands, and why.
    Refused(Command, ClaimRefused),
    /// It is of another type, and was left alone.
    OtherType(CommandType),
    /// There is no such command, or it has expired.
    Missing,
}

impl CommandStore {
    /// **claim** under a fresh owner, if it is of that type.
    pub async fn claim(&self, key: CommandKey, expected: CommandType) -> Result<Claim, StoreError> {
        self.claim_at(key, expected, now()).await
    }

    /// The same at that time.
    pub async fn claim_at(
        &self,
        key: CommandKey,
        expected: CommandType,
        now: Timestamp,
    ) -> Result<Claim, StoreError> {
        let (owner, id) = (LeaseOwner::fresh(), write_id());
        let mut expression = Expression::default();
        let condition = expression.claimable(expected, now);
        let lease = Lease { owner, from: now, until: now + self.lease };
        let update = expression.claimed(key, &lease, &id)?;
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key_item(&key)))
            .condition_expression(condition)
            .update_expression(update)
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values(Some(expression.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let stands = match answer {
            Ok(answer) => answer.attributes,
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => failed.item.clone(),
                _ => {
                    let error = StoreError::from_sdk(error);
                    if error.is_permanent() {
                        // What cannot be counted up cannot be read either: then that is what is wrong.
                        self.get_key(key).await?;
                    }
                    return Err(error);
                }
            },
        };
        let Some(stands) = stands else { return Ok(Claim::Missing) };
        // It also knows itself where its answer was lost, and it was sent again.
        let is_own = stands.get(WRITE_ID) == Some(&id);
        let command = to_command(stands)?;
        Ok(match command {
            command if is_own => {
                let holder = Holder { fence: command.fence, owner };
                Claim::Held(command, holder)
            }
            command if !alive(&command) => Claim::Missing,
            command if command.command_type != expected => Claim::OtherType(command.command_type),
            command => {
                let refused = command.claim(owner, self.lease, now).err().unwrap_or(ClaimRefused::Leased);
                Claim::Refused(command, refused)
            }
        })
    }
}

/// A lease that begins.
struct Lease {
    owner: LeaseOwner,
    from: Timestamp,
    until: Timestamp,
}

impl Expression {
    /// It is a living command of that type, and may be claimed.
    fn claimable(&mut self, expected: CommandType, now: Timestamp) -> String {
        let command_type = self.equals("command_type", text(expected.name()));
        if planted(Bug::NoClaimCondition) {
            return command_type;
        }
        let ttl = self.name("ttl");
        let alive =
            format!("{ttl} > {}", self.value("now", "ttl", &AttributeValue::N(now.timestamp().to_string())));
        let alive = format!("({alive} OR attribute_not_exists({ttl}))");
        let lawful = CLAIMABLE.map(|claimable| {
            let status = self.equals("status", text(claimable.status.as_str()));
            let conditions = claimable.conditions.iter().map(|condition| self.holds(*condition, now));
            let all: Vec<String> = std::iter::once(status).chain(conditions).collect();
            format!("({})", all.join(" AND "))
        });
        format!("{command_type} AND {alive} AND ({})", lawful.join(" OR "))
    }

    fn holds(&mut self, condition: ClaimCondition, now: Timestamp) -> String {
        match condition {
            ClaimCondition::Due => {
                let (due, created, now) = (self.name("not_before"), self.name("created_at"), self.time("now", now));
                format!("({due} <= {now} OR (attribute_not_exists({due}) AND {created} <= {now}))")
            }
            ClaimCondition::LeaseExpired => {
                let (lease, now) = (self.name("lease_expires_at"), self.time("now", now));
                format!("({lease} <= {now} OR attribute_not_exists({lease}))")
            }
            ClaimCondition::AttemptLeft => {
                let (attempt, most) = (self.name("attempt"), self.name("max_attempts"));
                let default = AttributeValue::N(RetryPolicy::DEFAULT.max_attempts.to_string());
                let default = self.value("default", "max_attempts", &default);
                format!(
                    "({attempt} < {most} OR attribute_not_exists({attempt}) OR \
                     (attribute_not_exists({most}) AND {attempt} < {default}))"
                )
            }
        }
    }

    /// What [`Command::claim`] makes of it.
    fn claimed(&mut self, key: CommandKey, lease: &Lease, id: &AttributeValue) -> Result<String, StoreError> {
        let (from, until) = (self.time("now", lease.from), self.time("until", lease.until));
        let (zero, one) = (AttributeValue::N("0".to_owned()), AttributeValue::N("1".to_owned()));
        let (zero, one) = (self.value("count", "zero", &zero), self.value("count", "one", &one));
        let mut set = vec![
            self.equals(WRITE_ID, id.clone()),
            format!("{} = {}", self.name("status"), self.value("is", "running", &text(Status::Running.as_str()))),
            self.equals("lease_owner", text(&lease.owner.to_string())),
            self.equals(DUE_SHARD, text(&due_shard_of(key.command_id, DueKind::Held))),
            format!("{} = {until}", self.name(DUE_AT)),
            format!("{} = {until}", self.name("lease_expires_at")),
            format!("{} = {from}", self.name("started_at")),
            format!("{} = {zero}", self.name("republished")),
        ];
        let begun = serde_dynamo::to_attribute_value([Attempt::begun(lease.from)])?;
        let (begun, none) = (self.value("next", "begun", &begun), AttributeValue::L(Vec::new()));
        let (attempts, none) = (self.name("attempts"), self.value("next", "none", &none));
        set.push(format!("{attempts} = list_append(if_not_exists({attempts}, {none}), {begun})"));
        for counted in ["attempt", "fence"] {
            let name = self.name(counted);
            set.push(format!("{name} = if_not_exists({name}, {zero}) + {one}"));
        }
        Ok(format!("SET {} REMOVE {}", set.join(", "), self.name("next_publish_at")))
    }

    /// The attribute has that value, or is given it.
    fn equals(&mut self, attribute: &str, value: AttributeValue) -> String {
        // A condition speaks of several values of one attribute.
        let number = self.values.len().to_string();
        format!("{} = {}", self.name(attribute), self.value(&number, attribute, &value))
    }

    fn time(&mut self, name: &str, at: Timestamp) -> String {
        self.value("at", name, &text(&to_text(at)))
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
