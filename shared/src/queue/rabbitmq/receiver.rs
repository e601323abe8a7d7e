//! Receiving from one queue, and settling what was received.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use lapin::{
    BasicProperties, Channel, Consumer,
    message::Delivery as Message,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
        BasicQosOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
};

use super::{
    super::{
        group::{Abandoned, Group, Rules},
        return_pause,
    },
    QueueError, RETURNS, RabbitMq, Side, WorkQueue, missing_or_unavailable, unavailable,
    window::Window,
};
use crate::{
    planted::{Bug, planted},
    queue::{Delivery, Receipt},
};

/// The most acknowledgements that are gathered into one go.
const GATHERED: usize = 256;
/// How often an empty dead-letter queue is looked at again.
const LOOK: Duration = Duration::from_millis(50);
/// How long a copy that was not confirmed in time is waited for, before the message is sent on another way.
const LATE_CONFIRM: Duration = Duration::from_secs(15);
/// So many copies of one message may be on their way, each by a way of its own.
const LATE_COPIES: usize = 3;
/// By this header a quorum queue tells how often it has delivered a message before.
const DELIVERY_COUNT: &str = "x-delivery-count";

impl RabbitMq {
    /// The broker hands out half as many ahead as are worked on at once, and no more than is configured: what is held
    /// and not worked on is kept from other workers, and taken for dead after a while.
    pub(in super::super) async fn receiver(
        &self,
        queue: WorkQueue,
        side: Side,
        at_once: usize,
    ) -> Result<RabbitReceiver, QueueError> {
        let ahead = u16::try_from(at_once.saturating_add(at_once / 2)).unwrap_or(u16::MAX);
        let channel = self.consumer_channel().await?;
        let name = self.name(queue, side);
        let source = match side {
            Side::Work => {
                let consume = consume(&channel, &name, self.0.prefetch.min(ahead.max(1)));
                Source::Consumer(self.limited(consume).await?)
            }
            // Looked through by command, not consumed: each message is fetched.
            Side::DeadLetters => Source::Queue { name, failed: None },
        };
        let hands = Hands { rabbit: self.clone(), queue, side, settling: Settling::new(channel) };
        Ok(RabbitReceiver { source, hands })
    }
}

async fn consume(channel: &Channel, name: &str, prefetch: u16) -> Result<Consumer, QueueError> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(unavailable)?;
    let options = BasicConsumeOptions { no_ack: planted(Bug::AcknowledgeFirst), ..BasicConsumeOptions::default() };
    channel
        .basic_consume(name.into(), "".into(), options, FieldTable::default())
        .await
        .map_err(|error| missing_or_unavailable(error, name.to_owned()))
}

/// Receives from one queue. Dropped, it gives back what it holds and nobody has been handed.
#[derive(Debug)]
pub(in super::super) struct RabbitReceiver {
    source: Source,
    hands: Hands,
}

/// What turns the messages of a channel into deliveries.
#[derive(Clone, Debug)]
struct Hands {
    rabbit: RabbitMq,
    queue: WorkQueue,
    side: Side,
    settling: Settling,
}

#[derive(Debug)]
enum Source {
    Consumer(Consumer),
    /// What a call that was given up asked for may still come on this channel, and nobody would see it: after one failure
    /// nothing is asked for any more. With the receiver the channel goes, and the broker has all of it back.
    Queue {
        name: String,
        failed: Option<QueueError>,
    },
}

impl RabbitReceiver {
    pub(in super::super) async fn receive(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let settling = &self.hands.settling;
        let received = match &mut self.source {
            Source::Consumer(consumer) => next_of(consumer, settling, max, wait).await?,
            Source::Queue { failed: Some(error), .. } => return Err(error.clone()),
            Source::Queue { name, failed } => {
                let (received, error) = fetch(&self.hands, name, max, wait).await;
                *failed = error;
                match failed {
                    // What was received before goes first.
                    Some(error) if received.is_empty() => return Err(error.clone()),
                    _ => received,
                }
            }
        };
        if received.is_empty() && !settling.channel.status().connected() {
            return Err(QueueError::Unavailable("the channel was closed".to_owned()));
        }
        Ok(received.into_iter().map(|message| self.hands.delivery(message)).collect())
    }
}

impl Hands {
    fn delivery(&self, message: Message) -> Delivery {
        Delivery {
            body: String::from_utf8_lossy(&message.data).into_owned(),
            id: message.properties.message_id().as_ref().map(ToString::to_string),
            receipt: Receipt::RabbitMq(RabbitReceipt {
                rabbit: self.rabbit.clone(),
                queue: self.queue,
                side: self.side,
                tag: message.delivery_tag,
                returns: returns(&message.properties),
                state: if planted(Bug::AcknowledgeFirst) { State::Settled } else { State::Open },
                copy: None,
                settling: self.settling.clone(),
            }),
        }
    }
}

/// How often a message could not be settled: as a copy that says so, and as the broker has counted since.
pub fn returns(properties: &BasicProperties) -> u32 {
    let Some(headers) = properties.headers() else { return 0 };
    let count = |name: &str| match headers.inner().get(name) {
        Some(AMQPValue::LongUInt(count)) => *count,
        Some(AMQPValue::LongLongInt(count)) => u32::try_from(*count).unwrap_or(0),
        Some(AMQPValue::LongInt(count)) => u32::try_from(*count).unwrap_or(0),
        Some(AMQPValue::ShortShortUInt(count)) => u32::from(*count),
        _ => 0,
    };
    count(RETURNS).saturating_add(count(DELIVERY_COUNT))
}

impl Drop for RabbitReceiver {
    fn drop(&mut self) {
        let Source::Consumer(consumer) = &self.source else { return };
        let (mut consumer, hands) = (consumer.clone(), self.hands.clone());
        let Ok(runtime) = Handle::try_current() else { return };
        let give_back = async move {
            // Where this fails, the channel has died, and the broker gives everything back itself.
            let _ = hands.settling.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
            while let Some(Some(Ok(unseen))) = consumer.next().now_or_never() {
                hands.settling.window().deliver(unseen.delivery_tag);
                let _ = hands.delivery(unseen).release().await;
            }
        };
        self.hands.rabbit.giving_back().spawn_on(give_back, &runtime);
    }
}

/// The first delivery within `wait`, and those that have already arrived behind it.
async fn next_of(
    consumer: &mut Consumer,
    settling: &Settling,
    max: usize,
    wait: Duration,
) -> Result<Vec<Message>, QueueError> {
    let mut received = Vec::new();
    let mut next = tokio::time::timeout(wait, consumer.next()).await.ok();
    while let Some(arrived) = next {
        match arrived {
            Some(Ok(message)) => {
                settling.window().deliver(message.delivery_tag);
                received.push(message);
            }
            // What was received before goes first; the error comes again at the next call.
            Some(Err(_)) | None if !received.is_empty() => break,
            Some(Err(error)) => return Err(unavailable(error)),
            None => return Err(QueueError::Unavailable("the broker ended the consumer".to_owned())),
        }
        next = if received.len() < max { consumer.next().now_or_never() } else { None };
    }
    Ok(received)
}

/// What there is, and the error that ended the looking.
async fn fetch(hands: &Hands, queue: &str, max: usize, wait: Duration) -> (Vec<Message>, Option<QueueError>) {
    let settling = &hands.settling;
    let deadline = tokio::time::Instant::now() + wait;
    let mut received = Vec::new();
    while received.len() < max {
        let get = async {
            settling.channel.basic_get(queue.into(), BasicGetOptions::default()).await.map_err(unavailable)
        };
        match hands.rabbit.limited(get).await {
            Ok(Some(message)) => {
                settling.window().deliver(message.delivery.delivery_tag);
                received.push(message.delivery);
            }
            Ok(None) if received.is_empty() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
            }
            Ok(None) => break,
            Err(error) => return (received, Some(error)),
        }
    }
    (received, None)
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
        // One at a time: what is acknowledged up to a tag must not come after a later tag.
        let one_by_one = Rules { size: GATHERED, at_once: 1, abandoned: Abandoned::Sent };
        let acknowledgements = Group::new(&Handle::current(), one_by_one, move |tags| {
            let (channel, window) = (own_channel.clone(), Arc::clone(&own_window));
            async move { acknowledge(&channel, &window, tags).await }
        });
        Self { channel, window, acknowledgements }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn give_back(&self, tag: u64) -> Result<(), QueueError> {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        self.channel.basic_nack(tag, options).await.map_err(unavailable)?;
        self.window().give_back(tag);
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

/// How far the settlement of a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The broker waits for it.
    Open,
    /// The broker is being told, and may know.
    Told,
    /// The broker knows.
    Settled,
}

/// A copy on its way to the broker: what becomes of it is known when this ends.
type Copy = JoinHandle<Result<(), QueueError>>;

/// By what one received message is settled.
#[derive(Debug)]
pub(in super::super) struct RabbitReceipt {
    rabbit: RabbitMq,
    queue: WorkQueue,
    side: Side,
    tag: u64,
    returns: u32,
    state: State,
    /// One that has not been confirmed in time, and may still be.
    copy: Option<Copy>,
    settling: Settling,
}

impl RabbitReceipt {
    pub(in super::super) async fn acknowledge(&mut self) -> Result<(), QueueError> {
        if self.state == State::Settled {
            return Ok(());
        }
        self.state = State::Told;
        self.rabbit.limited(self.settling.acknowledgements.call(self.tag)).await?;
        self.state = State::Settled;
        Ok(())
    }

    /// The copy is taken before the original is acknowledged: a crash in between leaves two.
    pub(in super::super) async fn retry_later(&mut self, body: &str, delay: Duration) -> Result<(), QueueError> {
        self.copied(self.again(body, 0, delay)).await?;
        self.acknowledge().await
    }

    pub(in super::super) async fn dead_letter(&mut self, body: &str, reason: &str) -> Result<(), QueueError> {
        let (rabbit, queue) = (self.rabbit.clone(), self.queue);
        let (body, reason) = (body.to_owned(), reason.to_owned());
        self.copied(self.on_its_way(async move { rabbit.send_dead(queue, &body, &reason).await })).await?;
        self.acknowledge().await
    }

    /// A copy that stands on the queue of work again after `delay`.
    fn again(&self, body: &str, returns: u32, delay: Duration) -> Copy {
        let (rabbit, queue, body) = (self.rabbit.clone(), self.queue, body.to_owned());
        self.on_its_way(async move { rabbit.send_again(queue, &body, returns, delay).await })
    }

    fn on_its_way(&self, sending: impl Future<Output = Result<(), QueueError>> + Send + 'static) -> Copy {
        self.rabbit.giving_back().spawn(sending)
    }

    /// Waits until the broker has taken a copy, within the limit of a call. One that it may take later is remembered: a
    /// second one beside it would be a second message.
    async fn copied(&mut self, copy: Copy) -> Result<(), QueueError> {
        let limit = self.rabbit.0.call_limit;
        let copy = self.copy.insert(copy);
        let taken = tokio::time::timeout(limit, copy).await.map_err(|_| QueueError::TimedOut(limit))?;
        self.copy = None;
        outcome(taken)
    }

    /// Work is given back as a copy: the broker counts how often a message comes back, and a deploy is not the message's
    /// fault. Dead letters go back as they are.
    pub(in super::super) async fn release(&mut self, body: &str) -> Result<(), QueueError> {
        if self.side == Side::DeadLetters {
            return self.give_back().await;
        }
        match self.copied(self.again(body, self.returns, Duration::ZERO)).await {
            Ok(()) => self.acknowledge().await,
            Err(error) if self.copy.is_some() => Err(error),
            Err(_) => self.give_back().await,
        }
    }

    async fn give_back(&mut self) -> Result<(), QueueError> {
        self.state = State::Told;
        self.rabbit.limited(self.settling.give_back(self.tag)).await?;
        self.state = State::Settled;
        Ok(())
    }

    /// It has been dropped: it comes again, unless the broker knows that it is done with.
    pub(in super::super) fn come_again(&mut self, body: String, runtime: &Handle) {
        if self.state == State::Settled {
            return;
        }
        let mut receipt =
            Self { rabbit: self.rabbit.clone(), copy: self.copy.take(), settling: self.settling.clone(), ..*self };
        self.state = State::Settled;
        let again = async move {
            if !receipt.settling.channel.status().connected() {
                // The broker has it back already.
                return;
            }
            if receipt.state == State::Open && receipt.return_later(&body).await.is_ok() {
                return;
            }
            // Whether the broker has heard is not known: once the channel is closed, it gives back what is not settled.
            let close = async {
                receipt.settling.channel.close(200, "a settlement failed".into()).await.map_err(unavailable)
            };
            if let Err(error) = receipt.rabbit.limited(close).await {
                tracing::warn!(%error, "a channel was not closed; its connection will be");
            }
        };
        self.rabbit.giving_back().spawn_on(again, runtime);
    }

    /// Returns a message after a pause that grows: as a copy in a waiting room, or, where that is not taken, once it is.
    /// The broker counts how often a message is given back, and takes it for dead after some: so one that cannot even be
    /// copied is held, and tried again, for as long as copies are not taken.
    async fn return_later(&mut self, body: &str) -> Result<(), QueueError> {
        if self.side == Side::DeadLetters {
            return self.give_back().await;
        }
        let mut late = Vec::new();
        let mut returns = self.returns;
        let mut pause = return_pause(returns);
        let mut next = self.copy.take();
        // Where the channel has died, the broker has it back already.
        while self.settling.channel.status().connected() {
            let copy = match next.take() {
                Some(copy) => copy,
                None => {
                    returns = returns.saturating_add(1);
                    self.again(body, returns, std::mem::take(&mut pause))
                }
            };
            if is_taken(copy, &mut late).await {
                return self.acknowledge().await;
            }
            // One that is confirmed meanwhile is enough, and not too many are on their way at once.
            loop {
                tokio::time::sleep(return_pause(returns)).await;
                while let Some(ended) = late.iter().position(JoinHandle::is_finished) {
                    if is_taken(late.swap_remove(ended), &mut Vec::new()).await {
                        return self.acknowledge().await;
                    }
                }
                if late.len() < LATE_COPIES || !self.settling.channel.status().connected() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Whether the broker takes the copy; one that it may still take later is kept.
async fn is_taken(mut copy: Copy, late: &mut Vec<Copy>) -> bool {
    match tokio::time::timeout(LATE_CONFIRM, &mut copy).await {
        Ok(sent) => outcome(sent).is_ok(),
        Err(_) => {
            late.push(copy);
            false
        }
    }
}

fn outcome(sent: Result<Result<(), QueueError>, JoinError>) -> Result<(), QueueError> {
    sent.unwrap_or_else(|error| Err(QueueError::Unavailable(error.to_string())))
}
