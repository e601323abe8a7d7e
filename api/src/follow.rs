//! Follows what is recorded, by whichever process: what is kept here and has become stale by it is dropped.

use std::time::{Duration, Instant};

use painel_shared::{
    changes::{self, Change, Snapshot, Subject},
    db::Database,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::cache::{CacheTag, QueryCache};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long the first one may keep requests waiting.
const FIRST_LIMIT: Duration = Duration::from_secs(2);

/// Follows what is recorded.
#[derive(Debug)]
pub struct Follower {
    db: Database,
    cache: QueryCache,
    seen: Option<Snapshot>,
    /// Whether the last look succeeded.
    sees: bool,
}

impl Follower {
    /// Has not looked yet.
    pub fn new(db: Database, cache: QueryCache) -> Self {
        Self { db, cache, seen: None, sees: true }
    }

    /// Looks for the first time, before anything is kept.
    pub async fn begin(&mut self) {
        self.look(FIRST_LIMIT).await;
    }

    /// Looks until `shutdown`.
    pub async fn follow(mut self, shutdown: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            shutdown.run_until_cancelled(self.look(LIMIT)).await;
        }
    }

    async fn look(&mut self, limit: Duration) {
        let began = Instant::now();
        let looked = timeout(limit, changes::since(&self.db, self.seen.as_ref())).await;
        let failure = match looked {
            Ok(Ok((snapshot, changes))) => {
                self.tell(snapshot, &changes);
                self.cache.followed_until(began);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("PostgreSQL did not answer within {limit:?}")),
        };
        // Said when it begins, and not each second.
        if let (Some(error), true) = (&failure, self.sees) {
            tracing::warn!(error, "what other processes do is not seen: nothing is kept for long meanwhile");
        }
        self.sees = failure.is_none();
    }

    fn tell(&mut self, snapshot: Snapshot, changes: &[Change]) {
        // What was kept before the first look, or is of a history that is no more, may be anything.
        let unknown = self.seen.as_ref().is_none_or(|seen| snapshot.is_before(seen));
        let of_all = changes.iter().any(|change| change.subject == Subject::Usage && change.tenant.is_none());
        if unknown || of_all {
            self.cache.raise_all();
        }
        self.cache.raise(changes.iter().copied().flat_map(CacheTag::stale_by));
        self.seen = Some(snapshot);
    }
}
