//! RabbitMQ: durable quorum queues, confirmed publishing, manual acknowledgement.
//!
//! Publishing and consuming have a connection each: a memory alarm blocks whoever publishes, and
//! consuming must go on meanwhile. Connections and channels are opened when they are needed and opened
//! again when they have died; nothing here waits for a broker longer than the time limit of a call.

mod receiver;
mod topology;
mod window;

use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, LongString},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

pub(super) use self::receiver::{RabbitReceipt, RabbitReceiver};
pub use self::window::{Acknowledgement, Window};
use super::{Depth, QueueError, Side, WorkQueue};
use crate::{
    planted::{Bug, planted},
    time::{now, to_text},
};

/// Messages survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// The transport. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RabbitMq(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: SecretString,
    prefix: String,
    call_limit: Duration,
    prefetch: u16,
    publishing: Link,
    consuming: Link,
    publisher: Mutex<Option<Channel>>,
}

/// A connection that is opened when it is needed.
#[derive(Debug, Default)]
struct Link(Mutex<Option<Arc<Connection>>>);

impl Link {
    /// The open connection, or a new one.
    async fn open(&self, url: &SecretString, name: &str) -> Result<Arc<Connection>, QueueError> {
        let mut slot = self.0.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| connection.status().connected()) {
            return Ok(Arc::clone(connection));
        }
        let properties = ConnectionProperties::default().with_connection_name(LongString::from(name));
        let connection = Connection::connect(url.expose_secret(), properties).await.map_err(unavailable)?;
        let connection = Arc::new(connection);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

impl RabbitMq {
    pub(super) fn new(url: SecretString, prefix: &str, prefetch: u16, call_limit: Duration) -> Self {
        Self(Arc::new(Shared {
            url,
            prefix: prefix.to_owned(),
            call_limit,
            prefetch,
            publishing: Link::default(),
            consuming: Link::default(),
            publisher: Mutex::new(None),
        }))
    }

    /// The queue's name at the broker.
    fn name(&self, queue: WorkQueue, side: Side) -> String {
        let own = queue.name().strip_prefix("painel").unwrap_or(queue.name());
        let suffix = match side {
            Side::Work => "",
            Side::DeadLetters => ".dead-letter",
        };
        format!("{}{own}{suffix}", self.0.prefix)
    }

    async fn limited<T>(&self, call: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
        let limit = self.0.call_limit;
        tokio::time::timeout(limit, call).await.map_err(|_| QueueError::TimedOut(limit))?
    }

    /// The channel that all publishings share, each waiting for its own confirm.
    async fn publisher(&self) -> Result<Channel, QueueError> {
        let connection = self.0.publishing.open(&self.0.url, "painel publishing").await?;
        // A call on a blocked connection would hang.
        if connection.status().blocked() {
            return Err(QueueError::Unavailable(
                "the broker blocks publishing: it is short of memory or disk".to_owned(),
            ));
        }
        let mut slot = self.0.publisher.lock().await;
        if let Some(channel) = slot.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = connection.create_channel().await.map_err(unavailable)?;
        if !planted(Bug::NoConfirm) {
            channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(unavailable)?;
        }
        *slot = Some(channel.clone());
        Ok(channel)
    }

    /// A fresh channel on the connection that consumes.
    async fn consumer_channel(&self) -> Result<Channel, QueueError> {
        let connection = self.0.consuming.open(&self.0.url, "painel consuming").await?;
        connection.create_channel().await.map_err(unavailable)
    }

    pub(super) async fn publish(&self, queue: WorkQueue, body: &str) -> Result<(), QueueError> {
        self.send("", &self.name(queue, Side::Work), body, BasicProperties::default()).await
    }

    /// Publishes, and looks at what became of it: taken, returned as unroutable, or refused.
    async fn send(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &str,
        properties: BasicProperties,
    ) -> Result<(), QueueError> {
        let properties = properties.with_delivery_mode(PERSISTENT).with_content_type("application/json".into());
        self.limited(async {
            let channel = self.publisher().await?;
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let confirm = channel
                .basic_publish(exchange.into(), routing_key.into(), options, body.as_bytes(), properties)
                .await
                .map_err(unavailable)?;
            match confirm.await.map_err(unavailable)? {
                Confirmation::Ack(None) => Ok(()),
                // The broker acknowledges also what it could not route, having returned it.
                Confirmation::Ack(Some(_)) => Err(QueueError::NoQueue(routing_key.to_owned())),
                Confirmation::Nack(_) => Err(QueueError::Unavailable("the queue refused the message".to_owned())),
                Confirmation::NotRequested if planted(Bug::NoConfirm) => Ok(()),
                Confirmation::NotRequested => {
                    Err(QueueError::Unavailable("the broker does not confirm".to_owned()))
                }
            }
        })
        .await
    }

    async fn send_dead(&self, queue: WorkQueue, body: &str, reason: &str) -> Result<(), QueueError> {
        let mut headers = FieldTable::default();
        headers.insert("reason".into(), AMQPValue::LongString(reason.into()));
        headers.insert("died_at".into(), AMQPValue::LongString(to_text(now()).into()));
        let properties = BasicProperties::default().with_headers(headers);
        self.send("", &self.name(queue, Side::DeadLetters), body, properties).await
    }

    pub(super) async fn depth(&self, queue: WorkQueue) -> Result<Depth, QueueError> {
        self.limited(async {
            let channel = self.consumer_channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let ask = |side| {
                let (channel, name) = (&channel, self.name(queue, side));
                async move {
                    let found = channel.queue_declare(name.clone().into(), passive, FieldTable::default()).await;
                    found.map_err(|error| missing_or_unavailable(error, name))
                }
            };
            let (work, dead) = (ask(Side::Work).await?, ask(Side::DeadLetters).await?);
            Ok(Depth {
                ready: work.message_count().into(),
                in_flight: None,
                dead: dead.message_count().into(),
                consumers: Some(work.consumer_count().into()),
            })
        })
        .await
    }
}

fn unavailable(error: lapin::Error) -> QueueError {
    QueueError::Unavailable(error.to_string())
}

fn missing_or_unavailable(error: lapin::Error, queue: String) -> QueueError {
    match error.to_string() {
        text if text.contains("NOT_FOUND") => QueueError::NoQueue(queue),
        text => QueueError::Unavailable(text),
    }
}
