//! Group commit: what arrives while a batch is on its way gathers for the next. Nothing waits for luck: the next one leaves
//! when the last has come back, or as soon as it is full.

use std::future::Future;

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::QueueError;

/// What becomes of an item whose caller has gone before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// Nobody waits for it: it is not sent.
    Dropped,
    /// It is sent all the same.
    Sent,
}

/// How batches are made up and sent.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many items one has at most.
    pub size: usize,
    /// How many may be on their way: with more than one, a batch that takes long holds up its own items alone.
    pub at_once: usize,
    /// What becomes of what nobody waits for any more.
    pub abandoned: Abandoned,
}

/// Gathers single calls into batches. Its task ends when the last handle is dropped.
#[derive(Debug)]
pub struct Group<T>(mpsc::Sender<Slot<T>>);

#[derive(Debug)]
struct Slot<T> {
    item: T,
    answer: oneshot::Sender<Result<(), QueueError>>,
}

impl<T> Clone for Group<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Group<T> {
    /// A group whose batches `send` carries out on that runtime, one answer an item, in order.
    pub fn new<F, Fut>(runtime: &Handle, rules: Rules, send: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Result<(), QueueError>>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(4 * rules.size);
        runtime.spawn(gather(receiver, rules, send));
        Self(sender)
    }

    /// Adds one item to the next batch and waits for its own answer.
    pub async fn call(&self, item: T) -> Result<(), QueueError> {
        let (answer, answered) = oneshot::channel();
        let gone = || QueueError::Unavailable("the batch was not sent".to_owned());
        self.0.send(Slot { item, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn gather<T, F, Fut>(mut arriving: mpsc::Receiver<Slot<T>>, rules: Rules, send: F)
where
    F: Fn(Vec<T>) -> Fut,
    Fut: Future<Output = Vec<Result<(), QueueError>>>,
{
    let Rules { size, at_once, abandoned } = rules;
    let (mut next, mut under_way) = (Vec::with_capacity(size), FuturesUnordered::new());
    let mut is_open = true;
    while is_open || !under_way.is_empty() {
        let room = size - next.len();
        tokio::select! {
            count = arriving.recv_many(&mut next, room), if is_open && room > 0 => is_open = count > 0,
            Some(()) = under_way.next() => {}
        }
        if under_way.is_empty() || next.len() == size && under_way.len() < at_once {
            next.retain(|slot| abandoned == Abandoned::Sent || !slot.answer.is_closed());
            if !next.is_empty() {
                under_way.push(carry_out(std::mem::take(&mut next), &send));
            }
        }
    }
}

async fn carry_out<T, F, Fut>(batch: Vec<Slot<T>>, send: &F)
where
    F: Fn(Vec<T>) -> Fut,
    Fut: Future<Output = Vec<Result<(), QueueError>>>,
{
    let (items, waiting): (Vec<T>, Vec<_>) = batch.into_iter().map(|slot| (slot.item, slot.answer)).unzip();
    for (waiter, answer) in waiting.into_iter().zip(send(items).await) {
        // Whoever asked may have gone; the call was made all the same.
        let _ = waiter.send(answer);
    }
}
