//! RabbitMQ: durable quorum queues, confirmed publishing, manual acknowledgement.
//!
//! Publishing and consuming have a connection each: a memory alarm blocks whoever publishes, and
//! consuming must go on meanwhile. Connections and channels are opened when they are needed and opened
//! again when they have died. A call waits no longer than its time limit; connecting has a limit of its own.

mod link;
mod receiver;
mod topology;
mod window;

use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(super) use self::link::GONE;
use self::link::{Link, Purpose};
pub(super) use self::receiver::{RabbitReceipt, RabbitReceiver};
pub use self::{
    receiver::returns,
    window::{Acknowledgement, Window},
};
use super::{Depth, QueueError, Side, WorkQueue};
use crate::{
    planted::{Bug, planted},
    time::{now, to_text},
};

/// Messages survive a restart of the broker.
const PERSISTENT: u8 = 2;
/// The header that counts how often a message could not be settled.
const RETURNS: &str = "painel-returns";

/// The transport. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RabbitMq(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    prefix: String,
    call_limit: Duration,
    prefetch: u16,
    publishing: Link,
    consuming: Link,
    giving_back: TaskTracker,
}

impl RabbitMq {
    pub(super) fn new(url: &SecretString, prefix: &str, prefetch: u16, call_limit: Duration) -> Self {
        let link = |purpose| Link::new(url.expose_secret(), purpose);
        Self(Arc::new(Shared {
            prefix: prefix.to_owned(),
            call_limit,
            prefetch,
            publishing: link(Purpose::Publishing),
            consuming: link(Purpose::Consuming),
            giving_back: TaskTracker::new(),
        }))
    }

    /// Where what was dropped unsettled is given back.
    pub(super) fn giving_back(&self) -> &TaskTracker {
        &self.0.giving_back
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
        let opened = self.0.publishing.open().await?;
        // A call on a blocked connection would hang.
        if opened.connection.status().blocked() {
            return Err(QueueError::Unavailable(
                "the broker blocks publishing: it is short of memory or disk".to_owned(),
            ));
        }
        opened.publisher.ok_or_else(|| QueueError::Unavailable("the connection is not for publishing".to_owned()))
    }

    /// A fresh channel on the connection that consumes.
    async fn consumer_channel(&self) -> Result<Channel, QueueError> {
        let opened = self.0.consuming.open_in_time().await?;
        self.limited(async { opened.connection.create_channel().await.map_err(unavailable) }).await
    }

    pub(super) async fn publish(&self, queue: WorkQueue, body: &str) -> Result<(), QueueError> {
        self.limited(self.send("", &self.name(queue, Side::Work), body, BasicProperties::default())).await
    }

    /// Publishes a message again that has come back so often, to be delivered after `delay`.
    async fn send_again(
        &self,
        queue: WorkQueue,
        body: &str,
        returns: u32,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let mut headers = FieldTable::default();
        if returns > 0 {
            headers.insert(RETURNS.into(), AMQPValue::LongUInt(returns));
        }
        let properties = BasicProperties::default().with_headers(headers);
        let name = self.name(queue, Side::Work);
        if delay.is_zero() {
            return self.send("", &name, body, properties).await;
        }
        let millis = delay.as_millis().clamp(1, u128::from(u32::MAX));
        let properties = properties.with_expiration(millis.to_string().into());
        self.send(&self.waiting_room_for(delay), &name, body, properties).await
    }

    /// Publishes, and looks at what became of it: taken, returned as unroutable, or refused. Until that is known there is
    /// no telling; it is at the latest when the connection ends.
    async fn send(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &str,
        properties: BasicProperties,
    ) -> Result<(), QueueError> {
        let properties = properties
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(Uuid::now_v7().to_string().into());
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
            Confirmation::NotRequested => Err(QueueError::Unavailable("the broker does not confirm".to_owned())),
        }
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
