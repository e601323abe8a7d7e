//! Amazon SQS: long polling, batch receive and delete, visibility kept while a handler runs.
//!
//! Standard queues: at least once, in no order. A retry with a delay is a new message with
//! `DelaySeconds`; the old one is deleted once the new one has been taken.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    error::{DisplayErrorContext, SdkError},
    types::{
        BatchResultErrorEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
        MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{
    Delivery, Depth, MAX_MESSAGE_BYTES, QueueError, Receipt, Side, WorkQueue,
    group::{Abandoned, Group, Rules},
    return_pause,
};
use crate::{
    config::{AwsConfig, QueueConfig},
    time::{now, to_text},
};

/// Settlement must come first: the broker's own limit on deliveries is only a last resort.
const MAX_RECEIVE_COUNT: u32 = 20;
/// From so many receives on, a message that is given back is sent anew, well before it would be taken for dead.
const RECEIVED_OFTEN: u32 = 5;
/// The largest batch that SQS takes.
pub(super) const BATCH: usize = 10;
/// How many batches of sends, and of deletes, may be on their way for one queue.
const BATCHES: usize = 4;
/// 14 days, the longest SQS keeps a message.
const RETENTION_SECONDS: u32 = 14 * 24 * 3600;
/// The longest delay SQS takes.
const MAX_DELAY: Duration = Duration::from_secs(900);
/// The longest wait of a long poll.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// The type of an attribute that is text.
const STRING: &str = "String";
const DIED_AT: &str = "died_at";
const REASON: &str = "reason";

/// The transport. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sqs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    /// Long polls have connections of their own. One to a host that has vanished costs the whole wait before that shows;
    /// among those of all other calls there may be many, each of which would be tried.
    polling: Client,
    prefix: String,
    visibility: Duration,
    call_limit: Duration,
    targets: RwLock<HashMap<String, Target>>,
    giving_back: TaskTracker,
    /// Where groups are sent, whoever they are gathered from.
    runtime: Handle,
}

/// A queue, and what gathers to be sent to it. Cheap to clone.
#[derive(Clone, Debug)]
struct Target {
    url: Arc<str>,
    sends: Group<Outgoing>,
}

/// A message on its way.
#[derive(Debug)]
struct Outgoing {
    body: String,
    delay: Duration,
    notes: Vec<(&'static str, String)>,
}

impl Outgoing {
    fn now(body: &str) -> Self {
        Self { body: body.to_owned(), delay: Duration::ZERO, notes: Vec::new() }
    }

    /// What it counts for where SQS limits the size of a batch.
    fn size(&self) -> usize {
        let of_note = |(name, value): &(&str, String)| name.len() + value.len() + STRING.len();
        self.body.len() + self.notes.iter().map(of_note).sum::<usize>()
    }

    fn entry(self, n: usize) -> Result<SendMessageBatchRequestEntry, QueueError> {
        let mut entry = SendMessageBatchRequestEntry::builder()
            .id(n.to_string())
            .message_body(self.body)
            .delay_seconds(whole_seconds(self.delay));
        for (name, value) in self.notes {
            let value = MessageAttributeValue::builder().data_type(STRING).string_value(value).build();
            entry = entry.message_attributes(name, value.map_err(unbuilt)?);
        }
        entry.build().map_err(unbuilt)
    }
}

impl Sqs {
    pub(super) async fn new(aws: &AwsConfig, endpoint_url: Option<&str>, config: &QueueConfig) -> Self {
        let client = async || Client::new(&aws.load(endpoint_url, MAX_WAIT + config.call_limit).await);
        Self(Arc::new(Shared {
            client: client().await,
            polling: client().await,
            prefix: config.prefix.clone(),
            visibility: config.visibility,
            call_limit: config.call_limit,
            targets: RwLock::default(),
            giving_back: TaskTracker::new(),
            runtime: Handle::current(),
        }))
    }

    /// The queue's name on SQS: `painel.health-check` becomes `painel-health-check`.
    fn name(&self, queue: WorkQueue, side: Side) -> String {
        let own = queue.name().strip_prefix("painel").unwrap_or(queue.name());
        let suffix = match side {
            Side::Work => "",
            Side::DeadLetters => "-dead-letter",
        };
        format!("{}{own}{suffix}", self.0.prefix).replace('.', "-")
    }

    async fn target(&self, queue: WorkQueue, side: Side) -> Result<Target, QueueError> {
        let name = self.name(queue, side);
        if let Some(target) = self.0.targets.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(target.clone());
        }
        let url = match self.limited(self.0.client.get_queue_url().queue_name(&name).send()).await? {
            Ok(answer) => answer.queue_url.unwrap_or_default(),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => {
                return Err(QueueError::NoQueue(name));
            }
            Err(error) => return Err(unavailable(error)),
        };
        let target = Target { sends: self.sends_to(&url), url: url.into() };
        let mut targets = self.0.targets.write().unwrap_or_else(PoisonError::into_inner);
        // Of two that came at once, both gather in one.
        Ok(targets.entry(name).or_insert(target).clone())
    }

    /// Gathers what is sent to that queue. It ends with the transport.
    fn sends_to(&self, url: &str) -> Group<Outgoing> {
        let (shared, url) = (Arc::downgrade(&self.0), url.to_owned());
        Group::new(&self.0.runtime, batches(Abandoned::Dropped), move |messages: Vec<Outgoing>| {
            let (sqs, url) = (shared.upgrade().map(Self), url.clone());
            async move {
                match sqs {
                    Some(sqs) => sqs.send_all(&url, messages).await,
                    None => Vec::new(),
                }
            }
        })
    }

    async fn limited<T>(&self, call: impl Future<Output = T>) -> Result<T, QueueError> {
        let limit = self.0.call_limit;
        tokio::time::timeout(limit, call).await.map_err(|_| QueueError::TimedOut(limit))
    }

    pub(super) async fn migrate(&self) -> Result<(), QueueError> {
        for queue in WorkQueue::all() {
            let dead_name = self.name(queue, Side::DeadLetters);
            let dead = self.ensure(&dead_name, HashMap::new()).await?;
            self.check(&dead_name, &dead, QueueAttributeName::RedrivePolicy, "").await?;
            let arn = self.attribute(&dead, QueueAttributeName::QueueArn).await?;
            let redrive = json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVE_COUNT}).to_string();
            let name = self.name(queue, Side::Work);
            let wanted = HashMap::from([(QueueAttributeName::RedrivePolicy, redrive.clone())]);
            let url = self.ensure(&name, wanted).await?;
            self.check(&name, &url, QueueAttributeName::RedrivePolicy, &redrive).await?;
        }
        Ok(())
    }

    /// An error where an attribute, or the retention, is not as it must be.
    async fn check(
        &self,
        name: &str,
        url: &str,
        attribute: QueueAttributeName,
        wanted: &str,
    ) -> Result<(), QueueError> {
        let retention = RETENTION_SECONDS.to_string();
        for (attribute, wanted) in
            [(attribute, wanted), (QueueAttributeName::MessageRetentionPeriod, retention.as_str())]
        {
            let found = self.attribute(url, attribute.clone()).await?;
            if found != wanted && !same_json(&found, wanted) {
                let shown = |value: &str| if value.is_empty() { "absent".to_owned() } else { value.to_owned() };
                let difference =
                    format!("{} is {} and must be {}", attribute.as_str(), shown(&found), shown(wanted));
                return Err(QueueError::Differs { queue: name.to_owned(), difference });
            }
        }
        Ok(())
    }

    /// The queue's URL; made with these settings where it is missing.
    async fn ensure(
        &self,
        name: &str,
        mut wanted: HashMap<QueueAttributeName, String>,
    ) -> Result<String, QueueError> {
        match self.limited(self.0.client.get_queue_url().queue_name(name).send()).await? {
            Ok(answer) => return Ok(answer.queue_url.unwrap_or_default()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => {}
            Err(error) => return Err(unavailable(error)),
        }
        wanted.insert(QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS.to_string());
        let made = self.0.client.create_queue().queue_name(name).set_attributes(Some(wanted)).send();
        Ok(self.limited(made).await?.map_err(unavailable)?.queue_url.unwrap_or_default())
    }

    async fn attribute(&self, url: &str, name: QueueAttributeName) -> Result<String, QueueError> {
        Ok(self.attributes(url, std::slice::from_ref(&name)).await?.remove(&name).unwrap_or_default())
    }

    async fn attributes(
        &self,
        url: &str,
        names: &[QueueAttributeName],
    ) -> Result<HashMap<QueueAttributeName, String>, QueueError> {
        let asked =
            self.0.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec())).send();
        Ok(self.limited(asked).await?.map_err(unavailable)?.attributes.unwrap_or_default())
    }

    pub(super) async fn publish(&self, queue: WorkQueue, body: &str) -> Result<(), QueueError> {
        let target = self.target(queue, Side::Work).await?;
        self.send(&target, Outgoing::now(body)).await
    }

    /// Sends a message with the next batch. Whoever gives up while that is on its way may find that it was sent all the same.
    async fn send(&self, target: &Target, message: Outgoing) -> Result<(), QueueError> {
        self.limited(target.sends.call(message)).await?
    }

    /// Sends messages, in as few batches as SQS takes: one answer a message, in order.
    async fn send_all(&self, url: &str, messages: Vec<Outgoing>) -> Vec<Result<(), QueueError>> {
        let mut answers = Vec::with_capacity(messages.len());
        for batch in fitting(messages) {
            let count = batch.len();
            answers.extend(each(count, self.send_batch(url, batch).await));
        }
        answers
    }

    /// Sends a batch; what failed, by its place in it.
    async fn send_batch(&self, url: &str, batch: Vec<Outgoing>) -> Result<Failed, QueueError> {
        let entries = batch.into_iter().enumerate().map(|(n, message)| message.entry(n));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let request = self.0.client.send_message_batch().queue_url(url).set_entries(Some(entries)).send();
        Ok(failed(self.limited(request).await?.map_err(unavailable)?.failed))
    }

    pub(super) fn visibility(&self) -> Duration {
        self.0.visibility
    }

    /// Where what was dropped unsettled is given back.
    pub(super) fn giving_back(&self) -> &TaskTracker {
        &self.0.giving_back
    }

    pub(super) async fn receiver(&self, queue: WorkQueue, side: Side) -> Result<SqsReceiver, QueueError> {
        let target = self.target(queue, side).await?;
        let (sqs, url) = (self.clone(), Arc::clone(&target.url));
        // What is done with must not come again, though whoever did it has gone.
        let deletes = Group::new(&self.0.runtime, batches(Abandoned::Sent), move |handles: Vec<String>| {
            let (sqs, url) = (sqs.clone(), Arc::clone(&url));
            async move { each(handles.len(), sqs.delete_batch(&url, handles).await) }
        });
        Ok(SqsReceiver { sqs: self.clone(), queue, side, target, deletes })
    }

    /// Deletes a batch; what failed, by its place in it.
    async fn delete_batch(&self, url: &str, handles: Vec<String>) -> Result<Failed, QueueError> {
        let entries = handles
            .into_iter()
            .enumerate()
            .map(|(n, handle)| {
                DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(handle).build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(unbuilt)?;
        let request = self.0.client.delete_message_batch().queue_url(url).set_entries(Some(entries)).send();
        Ok(failed(self.limited(request).await?.map_err(unavailable)?.failed))
    }

    pub(super) async fn depth(&self, queue: WorkQueue) -> Result<Depth, QueueError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let names = [Visible, Delayed, Hidden];
        let work = self.attributes(&self.target(queue, Side::Work).await?.url, &names).await?;
        let dead = self.attributes(&self.target(queue, Side::DeadLetters).await?.url, &names).await?;
        let of = |all: &HashMap<_, String>, name| all.get(&name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Ok(Depth {
            ready: of(&work, Visible) + of(&work, Delayed),
            in_flight: Some(of(&work, Hidden)),
            dead: of(&dead, Visible) + of(&dead, Delayed) + of(&dead, Hidden),
            consumers: None,
        })
    }
}

/// Receives from one queue.
#[derive(Debug)]
pub(super) struct SqsReceiver {
    sqs: Sqs,
    queue: WorkQueue,
    side: Side,
    target: Target,
    deletes: Group<String>,
}

impl SqsReceiver {
    /// Dropped while a long poll is under way, what it would have brought is delivered again after the
    /// visibility timeout.
    pub(super) async fn receive(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let wait = wait.min(MAX_WAIT);
        let request = self
            .sqs
            .0
            .polling
            .receive_message()
            .queue_url(&*self.target.url)
            .max_number_of_messages(i32::try_from(max.clamp(1, BATCH)).unwrap_or(1))
            .wait_time_seconds(whole_seconds(wait))
            .visibility_timeout(whole_seconds(self.sqs.0.visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send();
        let limit = wait + self.sqs.0.call_limit;
        let answer = tokio::time::timeout(limit, request).await.map_err(|_| QueueError::TimedOut(limit))?;
        let messages = answer.map_err(unavailable)?.messages.unwrap_or_default();
        Ok(messages.into_iter().map(|message| self.delivery(message)).collect())
    }

    fn delivery(&self, message: Message) -> Delivery {
        let counted =
            message.attributes.and_then(|mut all| all.remove(&MessageSystemAttributeName::ApproximateReceiveCount));
        Delivery {
            body: message.body.unwrap_or_default(),
            id: message.message_id,
            receipt: Receipt::Sqs(SqsReceipt {
                sqs: self.sqs.clone(),
                queue: self.queue,
                side: self.side,
                target: self.target.clone(),
                handle: message.receipt_handle.unwrap_or_default(),
                receives: counted.and_then(|count| count.parse().ok()).unwrap_or(1),
                settled: false,
                deletes: self.deletes.clone(),
            }),
        }
    }
}

/// By what one received message is settled.
#[derive(Clone, Debug)]
pub(super) struct SqsReceipt {
    sqs: Sqs,
    queue: WorkQueue,
    side: Side,
    target: Target,
    handle: String,
    /// How often it has been received, this time included.
    receives: u32,
    settled: bool,
    deletes: Group<String>,
}

impl SqsReceipt {
    pub(super) async fn acknowledge(&mut self) -> Result<(), QueueError> {
        self.deletes.call(self.handle.clone()).await?;
        self.settled = true;
        Ok(())
    }

    pub(super) async fn retry_later(&mut self, body: &str, delay: Duration) -> Result<(), QueueError> {
        let copy = Outgoing { delay: delay.min(MAX_DELAY), ..Outgoing::now(body) };
        self.sqs.send(&self.target, copy).await?;
        self.acknowledge().await
    }

    pub(super) async fn dead_letter(&mut self, body: &str, reason: &str) -> Result<(), QueueError> {
        let dead_letters = self.sqs.target(self.queue, Side::DeadLetters).await?;
        let notes = vec![(DIED_AT, to_text(now())), (REASON, reason.to_owned())];
        self.sqs.send(&dead_letters, Outgoing { notes, ..Outgoing::now(body) }).await?;
        self.acknowledge().await
    }

    /// What has been received several times is given back as a copy: SQS counts, and a deploy is not the message's fault.
    pub(super) async fn release(&mut self, body: &str) -> Result<(), QueueError> {
        if self.side == Side::Work && self.receives >= RECEIVED_OFTEN {
            return self.retry_later(body, Duration::ZERO).await;
        }
        self.set_visibility(Duration::ZERO).await?;
        self.settled = true;
        Ok(())
    }

    pub(super) async fn extend(&self) -> Result<(), QueueError> {
        self.set_visibility(self.sqs.0.visibility).await
    }

    /// There is a later delivery of the same message.
    pub(super) fn forget(&mut self) {
        self.settled = true;
    }

    /// It has been dropped: it comes again, unless it is done with. Where this fails, its visibility runs out.
    pub(super) fn come_again(&mut self, runtime: &Handle) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let receipt = self.clone();
        let again = async move {
            let pause = return_pause(receipt.receives.saturating_sub(1));
            if let Err(error) = receipt.set_visibility(pause).await {
                tracing::warn!(%error, "a message was not given back; it comes again when its visibility runs out");
            }
        };
        self.sqs.giving_back().spawn_on(again, runtime);
    }

    async fn set_visibility(&self, visibility: Duration) -> Result<(), QueueError> {
        let request = self
            .sqs
            .0
            .client
            .change_message_visibility()
            .queue_url(&*self.target.url)
            .receipt_handle(&self.handle)
            .visibility_timeout(whole_seconds(visibility))
            .send();
        self.sqs.limited(request).await?.map(|_| ()).map_err(unavailable)
    }
}

fn batches(abandoned: Abandoned) -> Rules {
    Rules { size: BATCH, at_once: BATCHES, abandoned }
}

/// What failed of a batch, by its place there.
type Failed = HashMap<String, QueueError>;

fn failed(entries: Vec<BatchResultErrorEntry>) -> Failed {
    let error = |entry: &BatchResultErrorEntry| QueueError::Unavailable(format!("{entry:?}"));
    entries.into_iter().map(|entry| (entry.id.clone(), error(&entry))).collect()
}

/// The answer of each of so many that were sent together.
fn each(count: usize, answer: Result<Failed, QueueError>) -> Vec<Result<(), QueueError>> {
    match answer {
        Ok(mut failed) => (0..count).map(|n| failed.remove(&n.to_string()).map_or(Ok(()), Err)).collect(),
        Err(error) => vec![Err(error); count],
    }
}

/// The messages in batches of no more than SQS takes at once, in order. One that is too large goes alone, and is refused.
fn fitting(messages: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let (mut batches, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
    for message in messages {
        if !batch.is_empty() && size + message.size() > MAX_MESSAGE_BYTES {
            batches.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += message.size();
        batch.push(message);
    }
    batches.push(batch);
    batches
}

fn unbuilt(error: aws_sdk_sqs::error::BuildError) -> QueueError {
    QueueError::Unavailable(error.to_string())
}

/// SQS counts in whole seconds; rounded up, so that nothing comes too early.
fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

fn same_json(a: &str, b: &str) -> bool {
    // `maxReceiveCount` comes back as a number or as text.
    let read = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let count = value.get("maxReceiveCount")?.to_string().trim_matches('"').to_owned();
        Some((value.get("deadLetterTargetArn")?.clone(), count))
    };
    read(a).is_some() && read(a) == read(b)
}

fn unavailable<E, R>(error: SdkError<E, R>) -> QueueError
where
    SdkError<E, R>: std::error::Error,
{
    QueueError::Unavailable(DisplayErrorContext(&error).to_string())
}
