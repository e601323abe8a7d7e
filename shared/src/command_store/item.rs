//! A command as an item of the table, and back.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Item, StoreError};
use crate::{
    command::{Command, CommandKey, DueKind},
    ids::CommandId,
    retry::RetryPolicy,
    time::{now, to_text},
    trace::TraceContext,
};

/// The partition key of the index of what is due: its kind and its shard.
pub(super) const DUE_SHARD: &str = "due_shard";
/// The sort key of that index: from when on.
pub(super) const DUE_AT: &str = "due_at";
/// Each kind is spread over so many partitions, so that none of them is hot.
pub(super) const SHARDS: u8 = 4;
/// A fresh id for each write, stored with it: by it, one that is sent again knows itself.
pub(super) const WRITE_ID: &str = "write_id";

/// The partition of what is due of that kind in that shard.
pub(super) fn due_shard(kind: DueKind, shard: u8) -> String {
    format!("{}#{shard}", kind.as_str())
}

/// The partition in which that command is due in that way.
pub(super) fn due_shard_of(command: CommandId, kind: DueKind) -> String {
    let [.., last] = command.uuid().into_bytes();
    due_shard(kind, last % SHARDS)
}

pub(super) fn to_item(command: &Command) -> Result<Item, StoreError> {
    let mut item: Item = serde_dynamo::to_item(command)?;
    if let Some(due) = command.due() {
        item.insert(DUE_SHARD.to_owned(), AttributeValue::S(due_shard_of(command.id(), due.kind)));
        item.insert(DUE_AT.to_owned(), AttributeValue::S(to_text(due.at)));
    }
    Ok(item)
}

/// A write's fresh id, as it is stored.
pub(super) fn write_id() -> AttributeValue {
    AttributeValue::S(Uuid::new_v4().to_string())
}

/// Reads a command, also one that an older build has written.
pub(super) fn to_command(mut item: Item) -> Result<Command, StoreError> {
    complete(&mut item);
    from_item(item)
}

pub(super) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, StoreError> {
    Ok(serde_dynamo::from_item(item)?)
}

/// Reads what can be read. What cannot is logged and left out: it must not stop the others.
pub(super) fn to_commands(items: Vec<Item>) -> Vec<Command> {
    let read = |item: Item| {
        let id = item.get("command_id").and_then(|id| id.as_s().ok()).cloned().unwrap_or_default();
        to_command(item).inspect_err(|error| tracing::warn!(%error, command.id = id, "an item was left out")).ok()
    };
    items.into_iter().filter_map(read).collect()
}

/// The key of an item, if it has one of a command.
pub(super) fn key_of(item: &Item) -> Option<CommandKey> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    Some(CommandKey {
        command_id: text("command_id")?.parse().ok()?,
        created_at: text("created_at")?.parse().ok()?,
    })
}

/// TTL deletes late, by days: what has expired is treated as gone.
pub(super) fn alive(command: &Command) -> bool {
    command.expires_at > now()
}

pub(super) fn key_item(key: &CommandKey) -> Item {
    raw_key(&key.command_id.to_string(), &to_text(key.created_at))
}

pub(super) fn raw_key(command_id: &str, created_at: &str) -> Item {
    HashMap::from([
        ("command_id".to_owned(), AttributeValue::S(command_id.to_owned())),
        ("created_at".to_owned(), AttributeValue::S(created_at.to_owned())),
    ])
}

/// Gives an older item what it lacks: maps that were stored as JSON text, and attributes that came later.
fn complete(item: &mut Item) {
    for name in ["parameters", "result"] {
        if let Some(AttributeValue::S(text)) = item.get(name)
            && let Ok(map) = serde_json::from_str::<Map<String, Value>>(text)
            && let Ok(map) = serde_dynamo::to_attribute_value(map)
        {
            item.insert(name.to_owned(), map);
        }
    }
    let mut default = |name: &str, value: &dyn Fn() -> AttributeValue| {
        if !item.contains_key(name) {
            item.insert(name.to_owned(), value());
        }
    };
    let number = |n: u32| AttributeValue::N(n.to_string());
    default("parameters", &|| AttributeValue::M(HashMap::new()));
    default("created_by", &|| AttributeValue::S("unknown".to_owned()));
    default("attempt", &|| number(0));
    default("max_attempts", &|| number(RetryPolicy::DEFAULT.max_attempts));
    default("fence", &|| number(0));
    default("traceparent", &|| AttributeValue::S(TraceContext::root().to_string()));
    // Without one, DynamoDB keeps it for ever.
    default("ttl", &|| number(u32::MAX));
    if !item.contains_key("not_before")
        && let Some(created_at) = item.get("created_at").cloned()
    {
        item.insert("not_before".to_owned(), created_at);
    }
}
