//! The truth about every command: the DynamoDB table `operational_commands`.
//!
//! The only place that speaks of aws-sdk-dynamodb.

mod adopt;
mod claim;
mod count;
mod create;
mod item;
mod list;
mod recovery;
mod table;
mod transitions;

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::{AttributeValue, KeysAndAttributes},
};

pub use self::{
    claim::Claim,
    count::Count,
    create::{Created, IdempotencyKey, Marker},
    list::{Cursor, CursorError, Filter, MAX_OFFSET, Page},
    recovery::ReadOn,
    table::{Difference, TableState},
    transitions::Write,
};
use self::{
    create::RecentCreations,
    item::{alive, key_item, key_of, to_command},
};
use crate::{
    command::{Command, CommandKey},
    config::{AwsConfig, CommandStoreConfig},
    ids::CommandId,
    retry::reconnect_delays,
};

/// An item as the SDK speaks of it.
type Item = HashMap<String, AttributeValue>;

/// How many items one call brings.
const GET_AT_MOST: usize = 100;
/// How often what a call left out is asked for again.
const GET_TRIES: usize = 5;

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, or refused; worth trying again.
    #[error("the command store did not answer: {0}")]
    Unavailable(String),
    /// It refused, and will refuse again: the request itself, or the right to make it, is wrong.
    #[error("the command store refused ({code}): {message}")]
    Refused {
        /// DynamoDB's code, such as `AccessDeniedException`.
        code: String,
        /// What it said.
        message: String,
    },
    /// An item is not what this build can read.
    #[error("an item of the command store cannot be read: {0}")]
    Corrupt(#[from] serde_dynamo::Error),
    /// The table is not there.
    #[error("the table {0} does not exist: run `painel migrate`")]
    NoTable(String),
}

/// What DynamoDB says of a request that it will refuse each time. Expired credentials are not among them: the SDK
/// fetches new ones.
const REFUSALS: &[&str] = &[
    "ValidationException",
    "SerializationException",
    "AccessDeniedException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "ItemCollectionSizeLimitExceededException",
];

impl StoreError {
    /// Whether another try would end the same.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Corrupt(_))
    }

    fn from_sdk<E, R>(error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata,
        SdkError<E, R>: std::error::Error,
    {
        let service = error.as_service_error();
        match service.and_then(ProvideErrorMetadata::code).filter(|code| REFUSALS.contains(code)) {
            Some(code) => Self::Refused {
                code: code.to_owned(),
                message: service.and_then(ProvideErrorMetadata::message).unwrap_or_default().to_owned(),
            },
            None => Self::Unavailable(DisplayErrorContext(&error).to_string()),
        }
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
        Ok(item.map(to_command).transpose()?.filter(alive))
    }

    /// The command under that key, read consistently; none where it does not exist or has expired.
    pub async fn get_key(&self, key: CommandKey) -> Result<Option<Command>, StoreError> {
        Ok(self.get_item(key_item(&key)).await?.map(to_command).transpose()?.filter(alive))
    }

    /// The item under that key as it is, read consistently.
    async fn get_item(&self, key: Item) -> Result<Option<Item>, StoreError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true).set_key(Some(key));
        Ok(request.send().await.map_err(StoreError::from_sdk)?.item)
    }

    /// The commands under these keys, read consistently, in no order; of each that cannot be read, its key and why.
    pub async fn get_many(&self, keys: &[CommandKey]) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(GET_AT_MOST) {
            let mut asked: Vec<Item> = chunk.iter().map(key_item).collect();
            let mut delays = reconnect_delays().take(GET_TRIES);
            while !asked.is_empty() {
                let wanted = KeysAndAttributes::builder().set_keys(Some(asked)).consistent_read(true);
                let wanted = wanted.build().map_err(|error| StoreError::Unavailable(error.to_string()))?;
                let request = self.client.batch_get_item().request_items(&self.table, wanted);
                let answer = request.send().await.map_err(StoreError::from_sdk)?;
                let items = answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
                found.extend(items.into_iter().filter_map(read_one));
                let rest = answer.unprocessed_keys.unwrap_or_default().remove(&self.table);
                asked = rest.map(|rest| rest.keys).unwrap_or_default();
                if !asked.is_empty() {
                    let busy = || StoreError::Unavailable("it is too busy to answer all of a batch".to_owned());
                    tokio::time::sleep(delays.next().ok_or_else(busy)?).await;
                }
            }
        }
        Ok(found)
    }

    /// Asks the table how it is: the cheapest call that shows that it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.client.describe_table().table_name(&self.table).send().await.map(|_| ()).map_err(StoreError::from_sdk)
    }
}

/// What stands under a key.
#[derive(Debug)]
pub enum Found {
    /// A command.
    Command(Box<Command>),
    /// An item that cannot be read.
    Unreadable(CommandKey, StoreError),
}

fn read_one(item: Item) -> Option<Found> {
    let key = key_of(&item)?;
    match to_command(item) {
        Ok(command) => alive(&command).then(|| Found::Command(Box::new(command))),
        Err(error) => Some(Found::Unreadable(key, error)),
    }
}
