//! What a build from before the index of what is due has left: taken into the index, so that nothing is forgotten.
//!
//! Such a build may still be running while a new one is rolled out, so this is done at each migration and whenever a
//! scheduler starts. It reads the open commands, and those alone.

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::AttributeValue};

use super::{
    CommandStore, Item, ReadOn, StoreError,
    item::{DUE_AT, DUE_SHARD, key_item, key_of, raw_key, to_commands, to_item},
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
                let (items, on) = self.read_status(status.as_str(), from, outside_of_index).await?;
                // One that cannot be read is ended where it is met.
                for command in to_commands(items) {
                    self.enter_due(&command, "attribute_not_exists(due_at) AND #status = :status").await?;
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
            let (notes, on) = self.read_status(OWED_EVENTS, from, outside_of_index).await?;
            for key in notes.iter().filter_map(noted) {
                if self.adopt_note(key).await? {
                    let note = raw_key(&format!("{NOTE_PREFIX}{}", key.command_id), &to_text(key.created_at));
                    let forget = self.client.delete_item().table_name(&self.table).set_key(Some(note));
                    forget.send().await.map_err(StoreError::from_sdk)?;
                }
            }
            if on.is_done() {
                return Ok(());
            }
            from = on;
        }
    }

    /// Has the command owe the event that a note is about; whether the note is done with. Such a build wrote it before
    /// the command's end: where that has not come yet, the note has to stay.
    async fn adopt_note(&self, key: CommandKey) -> Result<bool, StoreError> {
        let command = match self.get_key(key).await {
            Ok(Some(command)) => command,
            // It has expired, or nobody will ever be able to read it.
            Ok(None) | Err(StoreError::Corrupt(_)) => return Ok(true),
            Err(error) => return Err(error),
        };
        if !command.status.is_final() {
            return Ok(false);
        }
        let owing = Command { owes_event: true, ..command };
        self.enter_due(&owing, "attribute_exists(command_id) AND #status = :status").await?;
        Ok(true)
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

fn outside_of_index(query: QueryFluentBuilder) -> QueryFluentBuilder {
    query.filter_expression("attribute_not_exists(due_at)")
}

/// The command that a note is about: it has the command's id with a prefix, and its time.
fn noted(note: &Item) -> Option<CommandKey> {
    let id = note.get("command_id")?.as_s().ok()?.strip_prefix(NOTE_PREFIX)?;
    key_of(&raw_key(id, note.get("created_at")?.as_s().ok()?))
}
