//! What the reconciler and REPROCESS_QUEUE ask: what is due, and which commands died.

use aws_sdk_dynamodb::{
    operation::{query::builders::QueryFluentBuilder, update_item::builders::UpdateItemFluentBuilder},
    types::AttributeValue,
};
use futures::future::try_join_all;

use super::{
    CommandStore, Found, Item, StoreError,
    item::{DUE_AT, DUE_SHARD, SHARDS, alive, due_shard, key_item, key_of, to_commands},
    table::{INDEX_BY_DUE, INDEX_BY_STATUS},
    transitions::done_or_refused,
};
use crate::{
    command::{Command, CommandKey, DueKind, Status},
    queue::WorkQueue,
    time::{Timestamp, to_text},
};

/// A place in a long reading: pass it back to read on.
#[derive(Clone, Debug, Default)]
pub struct ReadOn(Option<Item>);

impl ReadOn {
    /// Whether the reading has come to its end.
    pub fn is_done(&self) -> bool {
        self.0.is_none()
    }
}

/// Whether both are published again, or both are events.
fn is_like(one: DueKind, other: DueKind) -> bool {
    (one == DueKind::Event) == (other == DueKind::Event)
}

impl CommandStore {
    /// At most about `limit` commands of which that is due at `at`, the longest due first; none where nothing is due. An
    /// index names them and may lag, so each is looked up. What it should not name any more is taken out of it.
    pub async fn find_due(&self, kind: DueKind, at: Timestamp, limit: u32) -> Result<Vec<Command>, StoreError> {
        let each = i32::try_from(limit.div_ceil(u32::from(SHARDS)).max(1)).unwrap_or(i32::MAX);
        let shards = try_join_all((0..SHARDS).map(|shard| self.due_of_shard(kind, shard, at, each))).await?;
        let keys: Vec<CommandKey> = shards.into_iter().flatten().collect();
        let mut due = Vec::with_capacity(keys.len());
        for found in self.get_many(&keys).await? {
            match found {
                Found::Command(command) => match command.due() {
                    // A build that does not know the index may have moved the command on: it goes by what it is now.
                    Some(stands) if stands.at <= at && is_like(stands.kind, kind) => due.push(*command),
                    Some(_) => self.correct_due(*command).await?,
                    None => self.forget_due(&command).await?,
                },
                Found::Unreadable(key, error) => {
                    tracing::warn!(%error, "an item was not read");
                    self.condemn(key).await?;
                }
            }
        }
        due.sort_by_key(|command| command.due().map(|due| due.at));
        Ok(due)
    }

    async fn due_of_shard(
        &self,
        kind: DueKind,
        shard: u8,
        at: Timestamp,
        limit: i32,
    ) -> Result<Vec<CommandKey>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX_BY_DUE)
            .key_condition_expression("#shard = :shard AND #at <= :at")
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#at", DUE_AT)
            .expression_attribute_values(":shard", AttributeValue::S(due_shard(kind, shard)))
            .expression_attribute_values(":at", AttributeValue::S(to_text(at)))
            .limit(limit)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(answer.items.unwrap_or_default().iter().filter_map(key_of).collect())
    }

    /// Takes a command out of the index that has ended and owes nothing: a build that does not know the index ended it.
    async fn forget_due(&self, command: &Command) -> Result<(), StoreError> {
        let answer = self
            .out_of_index(&command.key)
            .condition_expression("#status = :status AND attribute_not_exists(owes_event)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(command.status.as_str().to_owned()))
            .send()
            .await;
        done_or_refused(answer)
    }

    /// The update that takes an item out of the index; the condition is the caller's.
    pub(super) fn out_of_index(&self, key: &CommandKey) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key_item(key)))
            .update_expression("REMOVE due_shard, due_at")
    }

    /// Commands of that queue whose messages were dead-lettered before `before`, oldest first, a page a call.
    pub async fn find_dead(
        &self,
        queue: WorkQueue,
        before: Timestamp,
        from: ReadOn,
    ) -> Result<(Vec<Command>, ReadOn), StoreError> {
        let died = |query: QueryFluentBuilder| {
            query
                // What was created later cannot have died before.
                .key_condition_expression("#status = :status AND created_at < :before")
                .filter_expression("dead_letter = :yes AND completed_at < :before")
                .expression_attribute_values(":yes", AttributeValue::Bool(true))
                .expression_attribute_values(":before", AttributeValue::S(to_text(before)))
        };
        let (items, on) = self.read_status(Status::Error.as_str(), from, died).await?;
        let commands = to_commands(items).into_iter().filter(alive);
        Ok((commands.filter(|command| command.command_type.queue() == queue).collect(), on))
    }

    /// A page of a partition of the index by status, oldest first, as `narrow` narrows it.
    pub(super) async fn read_status(
        &self,
        partition: &str,
        from: ReadOn,
        narrow: impl FnOnce(QueryFluentBuilder) -> QueryFluentBuilder,
    ) -> Result<(Vec<Item>, ReadOn), StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX_BY_STATUS)
            .key_condition_expression("#status = :status")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(partition.to_owned()))
            .set_exclusive_start_key(from.0);
        let answer = narrow(query).send().await.map_err(StoreError::from_sdk)?;
        Ok((answer.items.unwrap_or_default(), ReadOn(answer.last_evaluated_key)))
    }
}
