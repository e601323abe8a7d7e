//! Answers that are kept: who shares a computation, and what is never handed out again.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use painel_api::{
    cache::{CacheTag, Computed, Freshness, Lifetime, QueryCache},
    problem::ApiError,
};
use painel_tests::wait::eventually;
use tokio::{sync::Semaphore, task::yield_now};

/// A question of this test.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Number(u64);

/// Another one, that looks the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Other(u64);

const FOR_LONG: Lifetime = Lifetime::Private(Duration::from_secs(300));

/// Computations that are counted, each of which ends when it is let go.
#[derive(Clone)]
struct Computations {
    cache: QueryCache,
    begun: Arc<AtomicU64>,
    let_go: Arc<Semaphore>,
}

impl Computations {
    fn new() -> Self {
        Self { cache: QueryCache::new(1 << 20), begun: Arc::default(), let_go: Arc::new(Semaphore::new(0)) }
    }

    fn let_go(&self, count: usize) {
        self.let_go.add_permits(count);
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// The number of the computation whose answer it was.
    async fn ask(&self, freshness: Freshness) -> Result<u64, ApiError> {
        let own = self.clone();
        let compute = |()| async move {
            let number = own.begun.fetch_add(1, Ordering::SeqCst) + 1;
            own.let_go.acquire().await.unwrap().forget();
            Computed::new(number, FOR_LONG)
        };
        self.cache
            .answer(&Number(1), CacheTag::Platform, freshness, ready(Ok(())), compute)
            .await
            .map(|answer| answer.value)
    }

    async fn until_begun(&self, count: u64) {
        while self.begun() < count {
            yield_now().await;
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Lets everybody who can go on do so.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[test]
fn many_who_ask_at_once_share_one_computation_and_later_ones_find_it_kept() {
    run(async {
        let computations = Computations::new();
        computations.let_go(1);
        let answers = join_all((0..20).map(|_| computations.ask(Freshness::Kept))).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(1))));
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 1);
        assert_eq!(computations.begun(), 1);
    });
}

#[test]
fn whoever_will_have_nothing_older_shares_the_next_computation_and_not_the_one_under_way() {
    run(async {
        let computations = Computations::new();
        let first = tokio::spawn({
            let own = computations.clone();
            async move { own.ask(Freshness::Kept).await.unwrap() }
        });
        computations.until_begun(1).await;
        let fresh: Vec<_> = (0..10)
            .map(|_| {
                let own = computations.clone();
                tokio::spawn(async move { own.ask(Freshness::Since(Instant::now())).await.unwrap() })
            })
            .collect();
        settle().await;
        assert_eq!(computations.begun(), 1, "one at a time");
        computations.let_go(2);
        assert_eq!(first.await.unwrap(), 1);
        let fresh: Vec<u64> = join_all(fresh).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(fresh, [2; 10], "it began after they had come");
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 2, "the newer one is kept");
    });
}

#[test]
fn a_request_that_is_given_up_gives_up_nobody_elses() {
    run(async {
        let computations = Computations::new();
        let begin = |own: Computations| tokio::spawn(async move { own.ask(Freshness::Kept).await.unwrap() });
        let given_up = begin(computations.clone());
        computations.until_begun(1).await;
        let other = begin(computations.clone());
        settle().await;
        given_up.abort();
        settle().await;
        computations.let_go(1);
        assert_eq!(other.await.unwrap(), 1);
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 1);
    });
}

#[test]
fn a_computation_that_fails_or_panics_is_kept_for_nobody() {
    run(async {
        let cache = QueryCache::new(1 << 20);
        let ask = async |outcome: fn() -> Result<u64, ApiError>| {
            let compute = |()| async move { outcome().and_then(|value| Computed::new(value, FOR_LONG)) };
            let answer: Result<Arc<Computed<u64>>, _> =
                cache.answer(&Number(1), CacheTag::Platform, Freshness::Kept, ready(Ok(())), compute).await;
            answer.map(|answer| answer.value)
        };
        assert!(matches!(ask(|| Err(ApiError::Overloaded)).await, Err(ApiError::Overloaded)));
        assert!(matches!(ask(|| panic!("on purpose")).await, Err(ApiError::Failed(_))));
        assert_eq!(ask(|| Ok(7)).await.unwrap(), 7);
    });
}

#[test]
fn what_began_before_something_happened_is_not_handed_out_after() {
    run(async {
        let computations = Computations::new();
        let before = tokio::spawn({
            let own = computations.clone();
            async move { own.ask(Freshness::Kept).await.unwrap() }
        });
        computations.until_begun(1).await;
        computations.cache.raise([CacheTag::Runs]);
        computations.cache.raise([CacheTag::Platform]);
        let after = tokio::spawn({
            let own = computations.clone();
            async move { own.ask(Freshness::Kept).await.unwrap() }
        });
        computations.until_begun(2).await;
        computations.let_go(2);
        assert_eq!((before.await.unwrap(), after.await.unwrap()), (1, 2));
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 2);
        // What has nothing to do with it makes nothing stale; all of it does.
        computations.cache.raise([CacheTag::Commands]);
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 2);
        computations.cache.raise_all();
        computations.let_go(1);
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 3);
    });
}

#[test]
fn nothing_is_handed_out_when_nobody_has_looked_for_long_what_has_happened() {
    run(async {
        let computations = Computations::new();
        computations.let_go(3);
        computations.cache.followed_until(Instant::now());
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 1);
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 1);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        computations.cache.followed_until(long_ago);
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 2);
        computations.cache.followed_until(Instant::now());
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 2);
    });
}

#[test]
fn two_questions_of_one_form_have_an_answer_each() {
    run(async {
        let cache = QueryCache::new(1 << 20);
        let number = |value| async move { Computed::new(value, FOR_LONG) };
        for n in 1..=3_u64 {
            let answer: Arc<Computed<u64>> = cache
                .answer(&Number(n), CacheTag::Platform, Freshness::Kept, ready(Ok(())), |()| number(n))
                .await
                .unwrap();
            assert_eq!(answer.value, n);
        }
        let text = |()| async { Computed::new("another".to_owned(), FOR_LONG) };
        let answer: Arc<Computed<String>> =
            cache.answer(&Other(1), CacheTag::Platform, Freshness::Kept, ready(Ok(())), text).await.unwrap();
        assert_eq!(answer.value, "another");
    });
}

#[test]
fn a_page_of_commands_is_kept_briefly_soon_after_something_was_recorded() {
    run(async {
        let cache = QueryCache::new(1 << 20);
        cache.raise([CacheTag::Commands]);
        let ask = async |value: u64| {
            let compute = |()| async move { Computed::new(value, FOR_LONG) };
            let answer: Arc<Computed<u64>> = cache
                .answer(&Number(1), CacheTag::Commands, Freshness::Kept, ready(Ok(())), compute)
                .await
                .unwrap();
            answer.value
        };
        assert_eq!(ask(1).await, 1);
        // Kept for five minutes otherwise.
        eventually("another to be computed", Duration::from_secs(60), || async {
            (ask(2).await == 2).then_some(())
        })
        .await;
    });
}

#[test]
fn what_was_computed_late_enough_is_taken_from_what_is_kept() {
    run(async {
        let computations = Computations::new();
        computations.let_go(2);
        let before = Instant::now();
        assert_eq!(computations.ask(Freshness::Kept).await.unwrap(), 1);
        assert_eq!(computations.ask(Freshness::Since(before)).await.unwrap(), 1, "it began after that");
        let after = Instant::now();
        assert_eq!(computations.ask(Freshness::Since(after)).await.unwrap(), 2);
        assert_eq!(computations.ask(Freshness::Since(after)).await.unwrap(), 2, "one look for many who look");
    });
}
