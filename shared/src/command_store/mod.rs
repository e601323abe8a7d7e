//! The truth about every command: the DynamoDB table `operational_commands`.
//!
//! The only place that speaks of aws-sdk-dynamodb.

mod audit_backlog;
mod create;
mod list;
mod recovery;
mod table;
mod transitions;

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{DisplayErrorContext, SdkError},
    types::AttributeValue,
};
use serde::de::DeserializeOwned;

use self::{create::RecentCreations, table::INDEX_BY_STATUS};
pub use self::{
    create::{Created, IdempotencyKey, Marker},
    list::{Count, Cursor, CursorError, Filter, MAX_OFFSET, Page},
    recovery::ReadOn,
    table::{Difference, TableState},
    transitions::{Claim, Write},
};
use crate::{
    command::{Command, CommandKey},
    config::{AwsConfig, CommandStoreConfig},
    ids::CommandId,
    time::{now, to_text},
};

/// An item as the SDK speaks of it.
type Item = HashMap<String, AttributeValue>;

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, or refused; worth trying again.
    #[error("the command store did not answer: {0}")]
    Unavailable(String),
    /// An item is not what this build writes.
    #[error("an item of the command store cannot be read: {0}")]
    Corrupt(#[from] serde_dynamo::Error),
    /// The table is not there.
    #[error("the table {0} does not exist: run `painel migrate`")]
    NoTable(String),
}

impl StoreError {
    fn from_sdk<E, R>(error: SdkError<E, R>) -> Self
    where
        SdkError<E, R>: std::error::Error,
    {
        Self::Unavailable(DisplayErrorContext(&error).to_string())
    }
}

/// A client of the table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CommandStore {
    client: Client,
    table: String,
    lease: Duration,
    recent: RecentCreations,
}

impl CommandStore {
    /// A store over the configured table; connects on its first call.
    pub async fn new(aws: &AwsConfig, config: &CommandStoreConfig) -> Self {
        let sdk = aws.load(config.endpoint_url.as_deref(), config.attempt_limit).await;
        Self {
            client: Client::new(&sdk),
            table: config.table.clone(),
            lease: config.lease,
            recent: RecentCreations::default(),
        }
    }

    /// How long a claim lasts without being renewed.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The command with that id, read consistently; none where it does not exist or has expired.
    pub async fn get(&self, id: CommandId) -> Result<Option<Command>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("command_id = :id")
            .expression_attribute_values(":id", AttributeValue::S(id.to_string()))
            .limit(1)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        let item = answer.items.unwrap_or_default().into_iter().next();
        Ok(item.map(from_item).transpose()?.filter(alive))
    }

    /// The command under that key, read consistently; none where it does not exist or has expired.
    pub async fn get_key(&self, key: CommandKey) -> Result<Option<Command>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .set_key(Some(key_item(&key)))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(answer.item.map(from_item).transpose()?.filter(alive))
    }

    /// Asks the table how it is: the cheapest call that shows that it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.client.describe_table().table_name(&self.table).send().await.map(|_| ()).map_err(StoreError::from_sdk)
    }
}

/// TTL deletes late, by days: what has expired is treated as gone.
fn alive(command: &Command) -> bool {
    command.expires_at > now()
}

fn key_item(key: &CommandKey) -> Item {
    raw_key(&key.command_id.to_string(), &to_text(key.created_at))
}

fn raw_key(command_id: &str, created_at: &str) -> Item {
    HashMap::from([
        ("command_id".to_owned(), AttributeValue::S(command_id.to_owned())),
        ("created_at".to_owned(), AttributeValue::S(created_at.to_owned())),
    ])
}

fn to_item(command: &Command) -> Result<Item, StoreError> {
    Ok(serde_dynamo::to_item(command)?)
}

/// Reads what can be read. An item of a newer build is logged and left out: it must not stop the others.
fn from_items(items: Option<Vec<Item>>) -> Vec<Command> {
    let read = |item: Item| {
        let id = item.get("command_id").and_then(|id| id.as_s().ok()).cloned().unwrap_or_default();
        from_item::<Command>(item)
            .inspect_err(|error| tracing::warn!(%error, command.id = id, "an item was left out"))
            .ok()
    };
    items.unwrap_or_default().into_iter().filter_map(read).collect()
}

fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, StoreError> {
    Ok(serde_dynamo::from_item(item)?)
}
