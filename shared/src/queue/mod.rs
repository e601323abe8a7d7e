//! The one interface to the queues: publish, receive, settle, redrive.
//!
//! The set of transports is closed, and each does the same things.

pub mod group;
pub mod rabbitmq;
mod sqs;

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use self::{
    rabbitmq::{RabbitMq, RabbitReceipt, RabbitReceiver},
    sqs::{Sqs, SqsReceipt, SqsReceiver},
};
pub use crate::work_queue::WorkQueue;
use crate::{
    config::{AwsConfig, QueueConfig, Transport},
    job::Job,
    planted::{Bug, planted},
    retry::RetryPolicy,
};

/// The largest message that either transport takes.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// However many messages are worked on at once, no more calls wait for them.
const MOST_RECEIVERS: usize = 8;

/// How long making the queues may go on though calls are not answered in time.
const MIGRATION: Duration = Duration::from_secs(15);

/// The queue did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// It did not answer, or refused; worth trying again.
    #[error("the queue did not answer: {0}")]
    Unavailable(String),
    /// It did not answer within the limit.
    #[error("the queue did not answer within {0:?}")]
    TimedOut(Duration),
    /// The message is larger than a transport takes.
    #[error("a message of {0} bytes is over the limit of {MAX_MESSAGE_BYTES}")]
    TooLarge(usize),
    /// The queue is not there.
    #[error("the queue {0} does not exist: run `painel migrate`")]
    NoQueue(String),
    /// The queue is there with other settings, and was left alone.
    #[error("the queue {queue} differs: {difference}")]
    Differs {
        /// Which queue.
        queue: String,
        /// What differs, and how.
        difference: String,
    },
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Jobs that wait. On SQS delayed ones are among them; on RabbitMQ those wait elsewhere.
    pub ready: u64,
    /// Jobs delivered and not yet settled; none where the transport does not know.
    pub in_flight: Option<u64>,
    /// Jobs in its dead-letter queue.
    pub dead: u64,
    /// How many consumers it has; none where the transport does not know.
    pub consumers: Option<u64>,
}

/// Which side of a work queue is received from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The jobs to do.
    Work,
    /// The jobs that died.
    DeadLetters,
}

/// A transport. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Queue {
    /// Amazon SQS, or what speaks like it.
    Sqs(Sqs),
    /// RabbitMQ.
    RabbitMq(RabbitMq),
}

impl Queue {
    /// The configured transport; connects on its first call.
    pub async fn new(aws: &AwsConfig, config: &QueueConfig) -> Self {
        match &config.transport {
            Transport::Sqs { endpoint_url } => Self::Sqs(Sqs::new(aws, endpoint_url.as_deref(), config).await),
            Transport::RabbitMq { url, prefetch } => {
                Self::RabbitMq(RabbitMq::new(url, &config.prefix, *prefetch, config.call_limit))
            }
        }
    }

    /// Makes the queues where they are missing; one that differs is an error, and left alone. Each is kept on a disk, which
    /// may take longer than a call is given: what was not answered in time is made again, which changes nothing.
    pub async fn migrate(&self) -> Result<(), QueueError> {
        let deadline = Instant::now() + MIGRATION;
        loop {
            let made = match self {
                Self::Sqs(sqs) => sqs.migrate().await,
                Self::RabbitMq(rabbit) => rabbit.migrate().await,
            };
            match made {
                Err(QueueError::TimedOut(_)) if Instant::now() < deadline => {}
                made => return made,
            }
        }
    }

    /// Publishes a job to the queue of its kind; it has been taken when this returns.
    pub async fn publish(&self, job: &Job) -> Result<(), QueueError> {
        let body = encode(job)?;
        match self {
            Self::Sqs(sqs) => sqs.publish(job.queue(), &body).await,
            Self::RabbitMq(rabbit) => rabbit.publish(job.queue(), &body).await,
        }
    }

    /// Publishes bytes as they are, as something that is not this product might.
    pub async fn publish_raw(&self, queue: WorkQueue, body: &str) -> Result<(), QueueError> {
        check_size(body)?;
        match self {
            Self::Sqs(sqs) => sqs.publish(queue, body).await,
            Self::RabbitMq(rabbit) => rabbit.publish(queue, body).await,
        }
    }

    /// Starts receiving from one side of a queue, for someone who works on `at_once` messages at once. Ends when it is
    /// dropped.
    pub async fn receiver(&self, queue: WorkQueue, side: Side, at_once: usize) -> Result<Receiver, QueueError> {
        Ok(Receiver(match self {
            Self::Sqs(sqs) => Inner::Sqs(sqs.receiver(queue, side).await?),
            Self::RabbitMq(rabbit) => Inner::RabbitMq(Box::new(rabbit.receiver(queue, side, at_once).await?)),
        }))
    }

    /// How many receivers it takes until someone who works on `at_once` messages at once can have them all.
    pub fn receivers(&self, at_once: usize) -> usize {
        match self {
            // What one call brings is small, and it is asked for by a call.
            Self::Sqs(_) => at_once.div_ceil(sqs::BATCH).clamp(1, MOST_RECEIVERS),
            Self::RabbitMq(_) => 1,
        }
    }

    /// How long a message may be hidden that was in the hands of a process which was stopped.
    pub fn hidden_at_most(&self) -> Duration {
        match self {
            Self::Sqs(sqs) => sqs.visibility(),
            Self::RabbitMq(_) => rabbitmq::GONE,
        }
    }

    /// Waits until what was dropped unsettled so far has been given back.
    pub async fn all_given_back(&self) {
        let tasks = match self {
            Self::Sqs(sqs) => sqs.giving_back(),
            Self::RabbitMq(rabbit) => rabbit.giving_back(),
        };
        // What is closed can be waited for, and takes tasks all the same.
        tasks.close();
        tasks.wait().await;
    }

    /// How full a queue is.
    pub async fn depth(&self, queue: WorkQueue) -> Result<Depth, QueueError> {
        match self {
            Self::Sqs(sqs) => sqs.depth(queue).await,
            Self::RabbitMq(rabbit) => rabbit.depth(queue).await,
        }
    }
}

/// Deliveries of one side of one queue.
#[derive(Debug)]
pub struct Receiver(Inner);

#[derive(Debug)]
enum Inner {
    Sqs(SqsReceiver),
    RabbitMq(Box<RabbitReceiver>),
}

impl Receiver {
    /// At most `max` deliveries (from 1). Waits for the first up to `wait`; empty where none came.
    pub async fn receive(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        match &mut self.0 {
            Inner::Sqs(receiver) => receiver.receive(max, wait).await,
            Inner::RabbitMq(receiver) => receiver.receive(max, wait).await,
        }
    }
}

/// A message in the hands of one receiver. Dropped unsettled, or where its settlement failed, it is delivered again after
/// a pause that grows each time.
#[derive(Debug)]
pub struct Delivery {
    /// The message's text; a job, if nothing is wrong.
    pub body: String,
    /// What tells this message from every other, if its sender gave it one; a copy has another.
    pub id: Option<String>,
    receipt: Receipt,
}

#[derive(Debug)]
enum Receipt {
    Sqs(SqsReceipt),
    RabbitMq(RabbitReceipt),
}

impl Delivery {
    /// The message is done with.
    pub async fn acknowledge(mut self) -> Result<(), QueueError> {
        match &mut self.receipt {
            Receipt::Sqs(receipt) => receipt.acknowledge().await,
            Receipt::RabbitMq(receipt) => receipt.acknowledge().await,
        }
    }

    /// The message comes back after `delay`.
    pub async fn retry_later(mut self, delay: Duration) -> Result<(), QueueError> {
        match &mut self.receipt {
            Receipt::Sqs(receipt) => receipt.retry_later(&self.body, delay).await,
            Receipt::RabbitMq(receipt) => receipt.retry_later(&self.body, delay).await,
        }
    }

    /// The message goes to the dead-letter queue, with the reason beside it, [cut](legible).
    pub async fn dead_letter(mut self, reason: &str) -> Result<(), QueueError> {
        let reason = legible(reason);
        match &mut self.receipt {
            Receipt::Sqs(receipt) => receipt.dead_letter(&self.body, &reason).await,
            Receipt::RabbitMq(receipt) => receipt.dead_letter(&self.body, &reason).await,
        }
    }

    /// The message is given back at once, as if it had not been received.
    pub async fn release(mut self) -> Result<(), QueueError> {
        match &mut self.receipt {
            Receipt::Sqs(receipt) => receipt.release(&self.body).await,
            Receipt::RabbitMq(receipt) => receipt.release(&self.body).await,
        }
    }

    /// Takes the place of an earlier delivery of the same message, which needs no settlement any more.
    pub fn replace(self, earlier: &mut Self) {
        if let Receipt::Sqs(receipt) = &mut earlier.receipt {
            receipt.forget();
        }
        *earlier = self;
    }

    /// The message stays in these hands for another while.
    pub async fn extend(&self) -> Result<(), QueueError> {
        match &self.receipt {
            Receipt::Sqs(receipt) => receipt.extend().await,
            // The broker waits as long as the channel lives.
            Receipt::RabbitMq(_) => Ok(()),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if planted(Bug::DropsUnsettled) {
            return;
        }
        // Without a runtime the process is at its end: the broker sees that itself.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        match &mut self.receipt {
            Receipt::Sqs(receipt) => receipt.come_again(&runtime),
            Receipt::RabbitMq(receipt) => receipt.come_again(std::mem::take(&mut self.body), &runtime),
        }
    }
}

/// How a message that could not be settled waits before it comes again.
const RETURN: RetryPolicy =
    RetryPolicy { max_attempts: u32::MAX, base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// How long a message waits that has come back `returns` times before.
pub fn return_pause(returns: u32) -> Duration {
    RETURN.pause(returns.saturating_add(1))
}

/// The most characters of a reason that leave the process: brokers limit what stands beside a message.
const REASON_CHARS: usize = 500;

/// A reason as it leaves the process, in a message or in a log: not too long, without control characters, never empty.
pub fn legible(reason: &str) -> String {
    let clean: String = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect();
    if clean.is_empty() { "unknown".to_owned() } else { clean }
}

fn encode(job: &Job) -> Result<String, QueueError> {
    let body = job.encode().map_err(|error| QueueError::Unavailable(error.to_string()))?;
    check_size(&body)?;
    Ok(body)
}

fn check_size(body: &str) -> Result<(), QueueError> {
    match body.len() {
        size if size > MAX_MESSAGE_BYTES => Err(QueueError::TooLarge(size)),
        _ => Ok(()),
    }
}
