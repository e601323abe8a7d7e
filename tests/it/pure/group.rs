//! Group commit: what leaves when, and what each is told.

use std::{future::poll_fn, pin::Pin, task::Poll};

use futures::{FutureExt, future::join_all};
use painel_shared::queue::{
    QueueError,
    group::{Abandoned, Group, Rules},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

const SIZE: usize = 3;
const AT_ONCE: usize = 2;

/// A batch on its way: its items, and by what it is answered.
type Leaving = (Vec<usize>, oneshot::Sender<Vec<Result<(), QueueError>>>);

/// A group, and what leaves it.
fn group(abandoned: Abandoned) -> (Group<usize>, mpsc::UnboundedReceiver<Leaving>) {
    let (leaves, leaving) = mpsc::unbounded_channel();
    let send = move |items| {
        let (answer, answered) = oneshot::channel();
        leaves.send((items, answer)).unwrap();
        async { answered.await.unwrap() }
    };
    (Group::new(&Handle::current(), Rules { size: SIZE, at_once: AT_ONCE, abandoned }, send), leaving)
}

/// Calls that have been made and are not answered.
async fn called<F: Future<Output = Result<(), QueueError>>>(
    calls: impl IntoIterator<Item = F>,
) -> Vec<Pin<Box<F>>> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    for call in &mut calls {
        assert!(poll_fn(|context| Poll::Ready(call.poll_unpin(context).is_pending())).await);
    }
    // The group's task takes what has been sent to it, as all that there is runs on one thread.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    calls
}

fn well((items, answer): Leaving) {
    answer.send(items.iter().map(|_| Ok(())).collect()).unwrap();
}

#[tokio::test]
async fn what_arrives_while_a_batch_is_on_its_way_leaves_when_that_is_back_or_once_it_is_full() {
    let (group, mut leaving) = group(Abandoned::Dropped);
    let first = called([group.call(0)]).await;
    let alone = leaving.recv().await.unwrap();
    assert_eq!(alone.0, [0], "nothing waits for luck");

    let two = called([group.call(1), group.call(2)]).await;
    assert!(leaving.try_recv().is_err(), "they gather");
    let third = called([group.call(3)]).await;
    let full = leaving.recv().await.unwrap();
    assert_eq!(full.0, [1, 2, 3], "the full one is not held up");

    let more = called((4..8).map(|n| group.call(n))).await;
    assert!(leaving.try_recv().is_err(), "no more are on their way than may be");
    well(full);
    let next = leaving.recv().await.unwrap();
    assert_eq!(next.0, [4, 5, 6]);
    well(alone);
    well(next);
    let last = leaving.recv().await.unwrap();
    assert_eq!(last.0, [7]);
    well(last);
    for calls in [first, two, third, more] {
        assert!(join_all(calls).await.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn each_is_told_what_came_of_its_own() {
    let (group, mut leaving) = group(Abandoned::Dropped);
    let calls = called((0..2).map(|n| group.call(n))).await;
    let (items, answer) = leaving.recv().await.unwrap();
    assert_eq!(items, [0, 1]);
    answer.send(vec![Ok(()), Err(QueueError::Unavailable("refused".to_owned()))]).unwrap();
    let told = join_all(calls).await;
    assert!(
        told[0].is_ok() && matches!(&told[1], Err(QueueError::Unavailable(why)) if why == "refused"),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_leaves_only_where_it_must() {
    for (abandoned, left) in [(Abandoned::Dropped, vec![2]), (Abandoned::Sent, vec![1, 2])] {
        let (group, mut leaving) = group(abandoned);
        let first = called([group.call(0)]).await;
        let on_its_way = leaving.recv().await.unwrap();
        let given_up = called([group.call(1)]).await;
        let waiting = called([group.call(2)]).await;
        drop((first, given_up));
        // Whoever asked for this one has gone, too: that is no harm.
        drop(on_its_way.1.send(vec![Ok(())]));
        let next = leaving.recv().await.unwrap();
        assert_eq!(next.0, left);
        well(next);
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
    }
}
