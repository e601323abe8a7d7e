//! Waiting for a condition, with a deadline; never for luck.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// No condition is given up sooner: on a busy machine everything takes longer, and a wait ends when its condition holds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `condition` gives a value; panics after `limit`, or after a minute where that is longer.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let limit = limit.max(PATIENCE);
    let deadline = Instant::now() + limit;
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
    }
}
