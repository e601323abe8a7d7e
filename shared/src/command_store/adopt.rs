//! What a build from before the index of what is due has left: taken into the index, so that nothing is forgotten.
//!
//! Such a build may still be running while a new one is rolled out, so this is done at each migration and whenever a
//! scheduler starts. It reads the open commands, and those alone.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    CommandStore, Item, ReadOn, StoreError,
    item::{DUE_AT, DUE_SHARD, key_item, raw_key, to_command, to_item},
    table::INDEX_BY_STATUS,
    transitions::done_or_refused,
};
use crate::{
    command::{Command, CommandKey, Status},
    time::to_text,
};

/// The partition of the status index where events that are owed used to be noted.
const OWED_EVENTS: &str = "AUDIT_PENDING";
/// What the ids of those notes begin with.
const NOTE_PREFIX: &str = "audit#";

impl CommandStore {
    /// Takes into the index what is open and not in it.
    pub async fn adopt(&self) -> Result<(), StoreError> {
        for status in [Status::Pending, Status::Running] {
            let mut from = ReadOn::default();
            loop {
                let (items, on) = self.outside_of_index(status.as_str(), from).await?;
                for item in items {
                    // One that cannot be read is ended where it is met.
                    if let Ok(command) = to_command(item) {
                        self.enter_due(&command, "attribute_not_exists(due_at) AND #status = :status").await?;
                    }
                }
                if on.is_done() {
                    break;
                }
                from = on;
            }
        }
        self.adopt_owed_events().await
    }

    /// Turns the notes of owed events into what their commands owe.
    async fn adopt_owed_events(&self) -> Result<(), StoreError> {
        let mut from = ReadOn::default();
        loop {
            let (notes, on) = self.outside_of_index(OWED_EVENTS, from).await?;
            for key in notes.iter().filter_map(target) {
                if let Ok(Some(command)) = self.get_key(key).await
                    && command.status.is_final()
                {
                    let owing = Command { owes_event: true, ..command };
                    self.enter_due(&owing, "attribute_exists(command_id) AND #status = :status").await?;
                }
                let note = raw_key(&format!("{NOTE_PREFIX}{}", key.command_id), &to_text(key.created_at));
                let forget = self.client.delete_item().table_name(&self.table).set_key(Some(note));
                forget.send().await.map_err(StoreError::from_sdk)?;
            }
            if on.is_done() {
                return Ok(());
            }
            from = on;
        }
    }

    async fn outside_of_index(&self, partition: &str, from: ReadOn) -> Result<(Vec<Item>, ReadOn), StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX_BY_STATUS)
            .key_condition_expression("#status = :status")
            .filter_expression("attribute_not_exists(due_at)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(partition.to_owned()))
            .set_exclusive_start_key(from.into_key())
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok((answer.items.unwrap_or_default(), ReadOn::from_key(answer.last_evaluated_key)))
    }

    /// Writes what the index goes by, if the item still is as the condition says.
    async fn enter_due(&self, command: &Command, condition: &str) -> Result<(), StoreError> {
        let mut item = to_item(command)?;
        let (Some(shard), Some(at)) = (item.remove(DUE_SHARD), item.remove(DUE_AT)) else { return Ok(()) };
        let mut update = "SET due_shard = :shard, due_at = :at".to_owned();
        let mut request = self.client.update_item();
        if command.owes_event {
            update.push_str(", owes_event = :yes");
            request = request.expression_attribute_values(":yes", AttributeValue::Bool(true));
        }
        let answer = request
            .table_name(&self.table)
            .set_key(Some(key_item(&command.key)))
            .condition_expression(condition)
            .update_expression(update)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(command.status.as_str().to_owned()))
            .expression_attribute_values(":shard", shard)
            .expression_attribute_values(":at", at)
            .send()
            .await;
        done_or_refused(answer)
    }
}

fn target(note: &Item) -> Option<CommandKey> {
    let text = |name: &str| note.get(name).and_then(|value| value.as_s().ok());
    Some(CommandKey {
        command_id: text("command_id")?.strip_prefix(NOTE_PREFIX)?.parse().ok()?,
        created_at: text("created_at")?.parse().ok()?,
    })
}
