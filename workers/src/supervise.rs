//! Work in a task of its own, until it ends by itself or has to be ended.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument;

/// How an attempt came to its end.
#[derive(Debug)]
pub enum Ended<T> {
    /// It returned.
    Returned(T),
    /// It panicked.
    Panicked,
    /// It ran out of time.
    TimedOut,
    /// The lease passed to another.
    LostLease,
    /// The process drains, and its deadline has passed.
    Drained,
}

/// Carries out `work` in a task, so that a panic is an outcome. When this returns, it has truly stopped: nothing is
/// stored of an attempt before.
pub(crate) async fn supervise<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    limit: Duration,
    lease_lost: impl Future<Output = ()>,
    drained: &CancellationToken,
) -> Ended<T> {
    let mut task = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
    let ended = tokio::select! {
        joined = tokio::time::timeout(limit, &mut task) => match joined {
            Ok(Ok(returned)) => Ended::Returned(returned),
            Ok(Err(_)) => Ended::Panicked,
            Err(_) => Ended::TimedOut,
        },
        () = lease_lost => Ended::LostLease,
        () = drained.cancelled() => Ended::Drained,
    };
    task.abort();
    if !task.is_finished() {
        let _ = task.await;
    }
    ended
}
