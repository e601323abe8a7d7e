//! Group commit: while one batch is on its way, what arrives gathers for the next. Nothing waits for luck.

use std::future::Future;

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::QueueError;

type Slot<T> = (T, oneshot::Sender<Result<(), QueueError>>);

/// Gathers single calls into batches. Its task ends when the last handle is dropped.
#[derive(Debug)]
pub(super) struct Group<T>(mpsc::Sender<Slot<T>>);

impl<T> Clone for Group<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Group<T> {
    /// A group whose batches of at most `size` items `send` carries out on that runtime, one answer an item, in order.
    pub(super) fn new<F, Fut>(runtime: &Handle, size: usize, send: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Vec<Result<(), QueueError>>> + Send,
    {
        let (sender, mut receiver) = mpsc::channel::<Slot<T>>(4 * size);
        runtime.spawn(async move {
            let mut slots = Vec::with_capacity(size);
            while receiver.recv_many(&mut slots, size).await > 0 {
                let (items, waiting): (Vec<T>, Vec<_>) = slots.drain(..).unzip();
                let answers = send(items).await;
                for (waiter, answer) in waiting.into_iter().zip(answers) {
                    // Whoever asked may have gone; the call was made all the same.
                    let _ = waiter.send(answer);
                }
            }
        });
        Self(sender)
    }

    /// Adds one item to the next batch and waits for its own answer.
    pub(super) async fn call(&self, item: T) -> Result<(), QueueError> {
        let (sender, answer) = oneshot::channel();
        let gone = || QueueError::Unavailable("the batch was not sent".to_owned());
        self.0.send((item, sender)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
