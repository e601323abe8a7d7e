//! RabbitMQ by its client alone: durable messages on a quorum queue, confirmed when they are published and acknowledged when
//! they have been handled.

use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use uuid::Uuid;

use crate::stack::Stack;

/// As many as the product's workers have in hand.
const PREFETCH: u16 = 48;

/// The client, and a queue of its own.
pub(super) struct Bare {
    publishing: Channel,
    consuming: Channel,
    queue: String,
}

impl Bare {
    pub(super) async fn begin(stack: &Stack) -> Self {
        let url = stack.vars.text("PAINEL_RABBITMQ_URL").unwrap();
        let queue = format!("{}.floor", stack.vars.text("PAINEL_QUEUE_PREFIX").unwrap());
        let (publishing, consuming) = (channel(url).await, channel(url).await);
        publishing.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        consuming.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        publishing.queue_declare(queue.as_str().into(), durable, quorum).await.unwrap();
        Self { publishing, consuming, queue }
    }

    /// Sends one; it has been taken when this returns.
    pub(super) async fn publish(&self, body: &str) {
        let durable = BasicProperties::default().with_delivery_mode(2);
        let (queue, options) = (self.queue.as_str().into(), BasicPublishOptions::default());
        let sent = self.publishing.basic_publish("".into(), queue, options, body.as_bytes(), durable);
        sent.await.unwrap().await.unwrap();
    }

    /// Has so many handled, at most so many at once.
    pub(super) async fn drain(&self, count: usize, at_once: usize, handle: impl AsyncFn(&str)) {
        let tag = Uuid::new_v4().to_string();
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let consumer = self.consuming.basic_consume(queue, tag.as_str().into(), options, FieldTable::default());
        consumer
            .await
            .unwrap()
            .take(count)
            .for_each_concurrent(at_once, async |delivery| {
                let delivery = delivery.unwrap();
                handle(std::str::from_utf8(&delivery.data).unwrap()).await;
                delivery.ack(BasicAckOptions::default()).await.unwrap();
            })
            .await;
        self.consuming.basic_cancel(tag.as_str().into(), BasicCancelOptions::default()).await.unwrap();
    }

    /// Takes its queue away.
    pub(super) async fn end(&self) {
        let options = QueueDeleteOptions::default();
        self.publishing.queue_delete(self.queue.as_str().into(), options).await.unwrap();
    }
}

async fn channel(url: &str) -> Channel {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}
