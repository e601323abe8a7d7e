//! Receiving from one queue, and settling what was received.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
        BasicQosOptions,
    },
    types::FieldTable,
};

use super::{
    super::group::Group, QueueError, RabbitMq, Side, WorkQueue, missing_or_unavailable, unavailable, window::Window,
};
use crate::{
    planted::{Bug, planted},
    queue::{Delivery, Receipt},
};

/// The most acknowledgements that are gathered into one go.
const GATHERED: usize = 256;
/// How often an empty dead-letter queue is looked at again.
const LOOK: Duration = Duration::from_millis(50);

impl RabbitMq {
    pub(in super::super) async fn receiver(
        &self,
        queue: WorkQueue,
        side: Side,
    ) -> Result<RabbitReceiver, QueueError> {
        self.limited(async {
            let channel = self.consumer_channel().await?;
            let name = self.name(queue, side);
            let source = match side {
                Side::Work => Source::Consumer(self.consume(&channel, &name).await?),
                // Looked through by command, not consumed: each message is fetched.
                Side::DeadLetters => Source::Queue(name),
            };
            let settling = Settling::new(channel);
            Ok(RabbitReceiver { rabbit: self.clone(), queue, source, settling })
        })
        .await
    }

    async fn consume(&self, channel: &Channel, name: &str) -> Result<Consumer, QueueError> {
        channel.basic_qos(self.0.prefetch, BasicQosOptions::default()).await.map_err(unavailable)?;
        let options =
            BasicConsumeOptions { no_ack: planted(Bug::AcknowledgeFirst), ..BasicConsumeOptions::default() };
        channel
            .basic_consume(name.into(), "".into(), options, FieldTable::default())
            .await
            .map_err(|error| missing_or_unavailable(error, name.to_owned()))
    }
}

/// Receives from one queue. Dropped, it gives back what it holds and nobody has been handed.
#[derive(Debug)]
pub(in super::super) struct RabbitReceiver {
    rabbit: RabbitMq,
    queue: WorkQueue,
    source: Source,
    settling: Settling,
}

#[derive(Debug)]
enum Source {
    Consumer(Consumer),
    Queue(String),
}

impl RabbitReceiver {
    pub(in super::super) async fn receive(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let received = match &mut self.source {
            Source::Consumer(consumer) => next_of(consumer, max, wait).await?,
            Source::Queue(name) => fetch(&self.settling.channel, name, max, wait).await?,
        };
        if received.is_empty() && !self.settling.channel.status().connected() {
            return Err(QueueError::Unavailable("the channel was closed".to_owned()));
        }
        Ok(received.into_iter().map(|(tag, data)| self.delivery(tag, &data)).collect())
    }

    fn delivery(&self, tag: u64, data: &[u8]) -> Delivery {
        Delivery {
            body: String::from_utf8_lossy(data).into_owned(),
            receipt: Receipt::RabbitMq(RabbitReceipt {
                rabbit: self.rabbit.clone(),
                queue: self.queue,
                tag,
                settling: self.settling.clone(),
            }),
        }
    }
}

impl Drop for RabbitReceiver {
    fn drop(&mut self) {
        let Source::Consumer(consumer) = &self.source else { return };
        let (mut consumer, settling) = (consumer.clone(), self.settling.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // Where this fails, the channel has died, and the broker gives everything back itself.
            let _ = settling.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
            while let Some(Some(Ok(unseen))) = consumer.next().now_or_never() {
                let _ = settling.give_back(unseen.delivery_tag).await;
            }
        });
    }
}

/// The first delivery within `wait`, and those that have already arrived behind it.
async fn next_of(consumer: &mut Consumer, max: usize, wait: Duration) -> Result<Vec<(u64, Vec<u8>)>, QueueError> {
    let mut received = Vec::new();
    let mut next = tokio::time::timeout(wait, consumer.next()).await.ok();
    while let Some(arrived) = next {
        match arrived {
            Some(Ok(delivery)) => received.push((delivery.delivery_tag, delivery.data)),
            // What was received before goes first; the error comes again at the next call.
            Some(Err(_)) | None if !received.is_empty() => break,
            Some(Err(error)) => return Err(unavailable(error)),
            None => return Err(QueueError::Unavailable("the broker ended the consumer".to_owned())),
        }
        next = if received.len() < max { consumer.next().now_or_never() } else { None };
    }
    Ok(received)
}

async fn fetch(
    channel: &Channel,
    queue: &str,
    max: usize,
    wait: Duration,
) -> Result<Vec<(u64, Vec<u8>)>, QueueError> {
    let deadline = tokio::time::Instant::now() + wait;
    let mut received = Vec::new();
    while received.len() < max {
        let found = channel.basic_get(queue.into(), BasicGetOptions::default()).await.map_err(unavailable)?;
        match found {
            Some(message) => received.push((message.delivery.delivery_tag, message.delivery.data)),
            None if received.is_empty() && tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            None => break,
        }
    }
    Ok(received)
}

/// Settles the deliveries of one channel; contiguous ones are acknowledged as one.
#[derive(Clone, Debug)]
struct Settling {
    channel: Channel,
    window: Arc<Mutex<Window>>,
    acknowledgements: Group<u64>,
}

impl Settling {
    fn new(channel: Channel) -> Self {
        let window = Arc::new(Mutex::new(Window::default()));
        let (own_channel, own_window) = (channel.clone(), Arc::clone(&window));
        let acknowledgements = Group::new(GATHERED, move |tags| {
            let (channel, window) = (own_channel.clone(), Arc::clone(&own_window));
            async move { acknowledge(&channel, &window, tags).await }
        });
        Self { channel, window, acknowledgements }
    }

    async fn give_back(&self, tag: u64) -> Result<(), QueueError> {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        self.channel.basic_nack(tag, options).await.map_err(unavailable)?;
        self.window.lock().unwrap_or_else(PoisonError::into_inner).give_back(tag);
        Ok(())
    }
}

async fn acknowledge(channel: &Channel, window: &Mutex<Window>, tags: Vec<u64>) -> Vec<Result<(), QueueError>> {
    let plan = window.lock().unwrap_or_else(PoisonError::into_inner).acknowledge(&tags);
    let calls = plan.up_to.into_iter().map(|tag| (tag, true)).chain(plan.single.iter().map(|tag| (*tag, false)));
    let mut failed = None;
    for (tag, multiple) in calls {
        if let Err(error) = channel.basic_ack(tag, BasicAckOptions { multiple }).await {
            failed = Some(error.to_string());
        }
    }
    tags.iter().map(|_| failed.clone().map_or(Ok(()), |error| Err(QueueError::Unavailable(error)))).collect()
}

/// By what one received message is settled.
#[derive(Debug)]
pub(in super::super) struct RabbitReceipt {
    rabbit: RabbitMq,
    queue: WorkQueue,
    tag: u64,
    settling: Settling,
}

impl RabbitReceipt {
    pub(in super::super) async fn acknowledge(self) -> Result<(), QueueError> {
        if planted(Bug::AcknowledgeFirst) {
            return Ok(());
        }
        let Self { rabbit, tag, settling, .. } = self;
        rabbit.limited(settling.acknowledgements.call(tag)).await
    }

    /// The copy is taken before the original is acknowledged: a crash in between leaves two.
    pub(in super::super) async fn retry_later(self, body: &str, delay: Duration) -> Result<(), QueueError> {
        match delay.is_zero() {
            true => self.rabbit.publish(self.queue, body).await?,
            false => self.rabbit.send_later(self.queue, body, delay).await?,
        }
        self.acknowledge().await
    }

    pub(in super::super) async fn dead_letter(self, body: &str, reason: &str) -> Result<(), QueueError> {
        self.rabbit.send_dead(self.queue, body, reason).await?;
        self.acknowledge().await
    }

    pub(in super::super) async fn release(self) -> Result<(), QueueError> {
        let Self { rabbit, tag, settling, .. } = self;
        rabbit.limited(settling.give_back(tag)).await
    }
}
