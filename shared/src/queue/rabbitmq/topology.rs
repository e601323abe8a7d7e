//! The queues at the broker: work, dead letters, and the waiting rooms of delayed retries.
//!
//! A delayed retry waits in a queue without consumers until its time to live has passed; then the broker
//! dead-letters it back, by its own routing key, to its work queue. A broker looks only at the head of a
//! queue, so messages of like delays wait together: within a level none waits longer than twice its delay.

use std::time::Duration;

use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{QueueError, RabbitMq, Side, WorkQueue, unavailable};

/// Settlement must come first: the broker's own limit on deliveries is only a last resort.
const DELIVERY_LIMIT: i32 = 20;
/// Dead letters are kept however often they are looked at and given back. Left out it would be 20 from RabbitMQ 4.0 on;
/// -1 means none there, but before 4.0 it means that a message vanishes when it is first given back.
const NO_LIMIT: i32 = i32::MAX;
/// Level `n` holds delays from 2^(n-1) to 2^n seconds; the last one, all that are longer.
const LEVELS: u32 = 9;

impl RabbitMq {
    pub(in super::super) async fn migrate(&self) -> Result<(), QueueError> {
        for queue in WorkQueue::all() {
            let (work, dead) = (self.name(queue, Side::Work), self.name(queue, Side::DeadLetters));
            let mut arguments = quorum();
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(NO_LIMIT));
            self.declare(&dead, arguments).await?;
            let mut arguments = quorum();
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
            dead_letter_to(&mut arguments, Some(&dead));
            self.declare(&work, arguments).await?;
        }
        for level in 0..LEVELS {
            let name = self.waiting_room(level);
            let mut arguments = quorum();
            dead_letter_to(&mut arguments, None);
            self.declare(&name, arguments).await?;
            self.bind_waiting_room(&name).await?;
        }
        Ok(())
    }

    /// The exchange before the waiting room of that delay.
    pub(super) fn waiting_room_for(&self, delay: Duration) -> String {
        self.waiting_room(level(delay))
    }

    fn waiting_room(&self, level: u32) -> String {
        format!("{}.wait.{level}", self.0.prefix)
    }

    /// Makes the queue where it is missing; one with other arguments is an error that says what differs.
    async fn declare(&self, name: &str, arguments: FieldTable) -> Result<(), QueueError> {
        let channel = self.consumer_channel().await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.limited(async {
            let declared = channel.queue_declare(name.into(), options, arguments).await;
            declared.map(|_| ()).map_err(|error| differs_or_unavailable(error, name))
        })
        .await
    }

    /// The room's own exchange leads to it whatever the routing key, which says where the message goes after.
    async fn bind_waiting_room(&self, name: &str) -> Result<(), QueueError> {
        let channel = self.consumer_channel().await?;
        self.limited(async {
            let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel
                .exchange_declare(name.into(), ExchangeKind::Fanout, options, FieldTable::default())
                .await
                .map_err(|error| differs_or_unavailable(error, name))?;
            channel
                .queue_bind(name.into(), name.into(), "".into(), QueueBindOptions::default(), FieldTable::default())
                .await
                .map_err(unavailable)
        })
        .await
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

/// Dead-letters at least once, through the default exchange: to `target`, or by the message's own routing key.
fn dead_letter_to(arguments: &mut FieldTable, target: Option<&str>) {
    let mut set = |name: &str, value: &str| {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    set("x-dead-letter-exchange", "");
    set("x-dead-letter-strategy", "at-least-once");
    // What at-least-once needs: a full queue refuses, it does not drop.
    set("x-overflow", "reject-publish");
    if let Some(target) = target {
        set("x-dead-letter-routing-key", target);
    }
}

fn level(delay: Duration) -> u32 {
    let seconds = u64::try_from(delay.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
    seconds.next_power_of_two().trailing_zeros().min(LEVELS - 1)
}

fn differs_or_unavailable(error: lapin::Error, queue: &str) -> QueueError {
    match error.to_string() {
        text if text.contains("PRECONDITION_FAILED") || text.contains("inequivalent") => {
            QueueError::Differs { queue: queue.to_owned(), difference: text }
        }
        text => QueueError::Unavailable(text),
    }
}
