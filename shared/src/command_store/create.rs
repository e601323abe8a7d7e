//! Creating a command: once, also when the request is repeated or its answer was lost.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, builders::PutBuilder},
};
use chrono::serde::ts_seconds;
use serde::{Deserialize, Serialize};

use super::{
    CommandStore, Item, StoreError,
    item::{WRITE_ID, from_item, key_item, raw_key, to_command, to_item, write_id},
};
use crate::{
    command::{Command, CommandKey},
    ids::CommandId,
    retry::reconnect_delays,
    secrets::sha256_hex,
    time::{Timestamp, millis, now},
};

/// How long an idempotency key is remembered.
const MARKER_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The sort key of every marker, so that there can be one only a key.
const MARKER_SORT_KEY: &str = "idempotency";
/// How long an index may lag behind the table, generously.
const INDEX_LAG: Duration = Duration::from_secs(10);
/// One BatchGetItem asks for so many.
const RECENT_AT_MOST: usize = 100;
/// How often a transaction is tried that others get in the way of.
const TRANSACTION_TRIES: usize = 4;
/// Nothing stands under the key of what is put.
const ABSENT: &str = "attribute_not_exists(command_id)";

/// An `Idempotency-Key` as its caller sent it, with what the request asked for.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    id: String,
    fingerprint: String,
}

impl IdempotencyKey {
    /// The key of that caller for a request with that canonical body.
    pub fn new(caller: &str, key: &str, canonical_body: &[u8]) -> Self {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        let scope = format!("{}:{caller}:{key}", caller.len());
        Self {
            id: format!("idempotency#{}", sha256_hex(scope.as_bytes())),
            fingerprint: sha256_hex(canonical_body),
        }
    }

    /// The key, without its text, and without its caller's.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the request asked for, by which another one is recognised.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// The item that remembers an idempotency key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Marker {
    command_id: String,
    created_at: String,
    target_command_id: CommandId,
    #[serde(with = "millis")]
    target_created_at: Timestamp,
    fingerprint: String,
    #[serde(with = "ts_seconds")]
    ttl: Timestamp,
}

impl Marker {
    fn new(key: &IdempotencyKey, target: CommandKey) -> Self {
        Self {
            command_id: key.id.clone(),
            created_at: MARKER_SORT_KEY.to_owned(),
            target_command_id: target.command_id,
            target_created_at: target.created_at,
            fingerprint: key.fingerprint.clone(),
            ttl: now() + MARKER_LIFETIME,
        }
    }

    /// The command that the key stands for, made or about to be.
    pub fn target(&self) -> CommandKey {
        CommandKey { command_id: self.target_command_id, created_at: self.target_created_at }
    }

    /// Whether the key was used for the same request.
    pub fn is_of(&self, key: &IdempotencyKey) -> bool {
        self.fingerprint == key.fingerprint
    }
}

/// What came of a creation.
#[derive(Debug)]
pub enum Created {
    /// The command is stored.
    New,
    /// Another request with the same key was faster; this is the command as it stands.
    Twin(Box<Command>),
}

impl CommandStore {
    /// The living marker of that key, read consistently.
    pub async fn find_marker(&self, key: &IdempotencyKey) -> Result<Option<Marker>, StoreError> {
        let item = self.get_item(raw_key(&key.id, MARKER_SORT_KEY)).await?;
        let marker: Option<Marker> = item.map(from_item).transpose()?;
        Ok(marker.filter(|marker| marker.ttl > now()))
    }

    /// Reserves the key for `target`, unless it stands for another command already: the marker that stands then.
    pub async fn reserve(&self, key: &IdempotencyKey, target: CommandKey) -> Result<Marker, StoreError> {
        let marker = Marker::new(key, target);
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(serde_dynamo::to_item(&marker)?))
            // TTL deletes late: a marker past its time counts as absent.
            .condition_expression("attribute_not_exists(command_id) OR #ttl <= :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", AttributeValue::N(now().timestamp().to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(marker),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => match &failed.item {
                    Some(stands) => from_item(stands.clone()),
                    None => self.find_marker(key).await?.ok_or_else(in_the_way),
                },
                _ => Err(StoreError::from_sdk(error)),
            },
        }
    }

    /// Stores a new command, and in the same transaction the marker of the key that is reserved for it.
    pub async fn create(&self, command: &Command, key: Option<&IdempotencyKey>) -> Result<Created, StoreError> {
        let created = self.create_once(command, key).await?;
        if matches!(created, Created::New) {
            self.recent.add(command);
        }
        Ok(created)
    }

    async fn create_once(&self, command: &Command, key: Option<&IdempotencyKey>) -> Result<Created, StoreError> {
        let id = write_id();
        for delay in reconnect_delays().take(TRANSACTION_TRIES) {
            let mut item = to_item(command)?;
            item.insert(WRITE_ID.to_owned(), id.clone());
            let done = match key {
                Some(key) => self.put_with_marker(command.key, item, key).await?,
                None => self.put(item).await?,
            };
            if done {
                return Ok(Created::New);
            }
            match self.get_item(key_item(&command.key)).await? {
                // It was this very write, whose answer was lost.
                Some(stands) if stands.get(WRITE_ID) == Some(&id) => return Ok(Created::New),
                Some(stands) => return Ok(Created::Twin(Box::new(to_command(stands)?))),
                // Another transaction was under way at the same marker: by then it has ended.
                None => tokio::time::sleep(delay).await,
            }
        }
        Err(in_the_way())
    }

    /// Stores a command alone; false where one stands under its key.
    async fn put(&self, item: Item) -> Result<bool, StoreError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        match put.condition_expression(ABSENT).send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(StoreError::from_sdk(error)),
            },
        }
    }

    /// Stores a command and its key's marker in one transaction; false where it was cancelled.
    async fn put_with_marker(
        &self,
        target: CommandKey,
        item: Item,
        key: &IdempotencyKey,
    ) -> Result<bool, StoreError> {
        let put_command = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression(ABSENT);
        // The key may have passed to another command, where this request was held up for a day.
        let put_marker = Put::builder()
            .table_name(&self.table)
            .set_item(Some(serde_dynamo::to_item(Marker::new(key, target))?))
            .condition_expression("attribute_not_exists(command_id) OR target_command_id = :own")
            .expression_attribute_values(":own", AttributeValue::S(target.command_id.to_string()));
        let request = self
            .client
            .transact_write_items()
            .transact_items(transact_put(put_marker)?)
            .transact_items(transact_put(put_command)?);
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(_)) => Ok(false),
                _ => Err(StoreError::from_sdk(error)),
            },
        }
    }
}

fn in_the_way() -> StoreError {
    StoreError::Unavailable("others were in the way over and over".to_owned())
}

fn transact_put(put: PutBuilder) -> Result<TransactWriteItem, StoreError> {
    let put = put.build().map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// What this process created lately: the indexes may not show it yet, and who made it wants to see it.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentCreations(Arc<Mutex<VecDeque<Command>>>);

impl RecentCreations {
    fn add(&self, command: &Command) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_front(command.clone());
        all.truncate(RECENT_AT_MOST);
    }

    /// Those that an index may still lack, newest first.
    pub(super) fn unindexed(&self) -> Vec<Command> {
        let since = now() - INDEX_LAG;
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|command| command.key.created_at > since).cloned().collect()
    }
}
