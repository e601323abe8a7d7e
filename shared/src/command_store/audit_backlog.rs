//! Commands that ended while PostgreSQL was down, and so lack the event of their end.
//!
//! A marker item a command, in a partition of the status index that no command is ever in. It is
//! written before the command is finished, so that a crash in between forgets nothing.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{CommandStore, INDEX_BY_STATUS, Item, StoreError, raw_key};
use crate::{
    command::{Command, CommandKey},
    time::to_text,
};

const PARTITION: &str = "AUDIT_PENDING";
const PREFIX: &str = "audit#";

impl CommandStore {
    /// Notes that the event of this command's end is still to be written.
    pub async fn owe_audit(&self, command: &Command) -> Result<(), StoreError> {
        let mut item = marker_key(&command.key);
        item.insert("status".to_owned(), AttributeValue::S(PARTITION.to_owned()));
        item.insert("ttl".to_owned(), AttributeValue::N(command.expires_at.timestamp().to_string()));
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .send()
            .await
            .map(|_| ())
            .map_err(StoreError::from_sdk)
    }

    /// Some of the commands whose last event is owed; those that have vanished are forgotten.
    pub async fn find_unaudited(&self) -> Result<Vec<Command>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX_BY_STATUS)
            .key_condition_expression("#status = :pending")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":pending", AttributeValue::S(PARTITION.to_owned()))
            .limit(100)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        let mut commands = Vec::new();
        for key in answer.items.unwrap_or_default().iter().filter_map(target) {
            match self.get_key(key).await {
                Ok(Some(command)) => commands.push(command),
                Ok(None) => self.settle_audit(&key).await?,
                Err(StoreError::Corrupt(error)) => {
                    tracing::warn!(%error, command.id = %key.command_id, "an item was left out")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(commands)
    }

    /// The event has been written.
    pub async fn settle_audit(&self, key: &CommandKey) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(marker_key(key)))
            .send()
            .await
            .map(|_| ())
            .map_err(StoreError::from_sdk)
    }
}

fn marker_key(key: &CommandKey) -> Item {
    raw_key(&format!("{PREFIX}{}", key.command_id), &to_text(key.created_at))
}

fn target(marker: &Item) -> Option<CommandKey> {
    let text = |name: &str| marker.get(name).and_then(|value| value.as_s().ok());
    Some(CommandKey {
        command_id: text("command_id")?.strip_prefix(PREFIX)?.parse().ok()?,
        created_at: text("created_at")?.parse().ok()?,
    })
}
