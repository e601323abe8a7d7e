//! What the reconciler and REPROCESS_QUEUE ask: which commands wait too long, and which died.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{CommandStore, INDEX_BY_STATUS, Item, StoreError, alive, from_items};
use crate::{
    command::{Command, Status},
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

impl CommandStore {
    /// Unfinished commands that are due to be published again at `at`, oldest first, a page a call.
    pub async fn find_overdue(
        &self,
        status: Status,
        at: Timestamp,
        from: ReadOn,
    ) -> Result<(Vec<Command>, ReadOn), StoreError> {
        let filter = "(attribute_not_exists(next_publish_at) OR next_publish_at <= :at) \
                      AND (attribute_not_exists(lease_expires_at) OR lease_expires_at <= :at)";
        self.read_status(status, filter, &[(":at", AttributeValue::S(to_text(at)))], from).await
    }

    /// Commands of that queue whose messages were dead-lettered before `before`, oldest first, a page a call.
    pub async fn find_dead(
        &self,
        queue: WorkQueue,
        before: Timestamp,
        from: ReadOn,
    ) -> Result<(Vec<Command>, ReadOn), StoreError> {
        let filter = "dead_letter = :yes AND completed_at < :before";
        let values = [(":yes", AttributeValue::Bool(true)), (":before", AttributeValue::S(to_text(before)))];
        let (mut commands, on) = self.read_status(Status::Error, filter, &values, from).await?;
        commands.retain(|command| command.command_type.queue() == queue);
        Ok((commands, on))
    }

    async fn read_status(
        &self,
        status: Status,
        filter: &str,
        values: &[(&str, AttributeValue)],
        from: ReadOn,
    ) -> Result<(Vec<Command>, ReadOn), StoreError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX_BY_STATUS)
            .key_condition_expression("#status = :status")
            .filter_expression(filter)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(status.as_str().to_owned()))
            .set_exclusive_start_key(from.0);
        for (name, value) in values {
            query = query.expression_attribute_values(*name, value.clone());
        }
        let answer = query.send().await.map_err(StoreError::from_sdk)?;
        let commands = from_items(answer.items).into_iter().filter(alive).collect();
        Ok((commands, ReadOn(answer.last_evaluated_key)))
    }
}
