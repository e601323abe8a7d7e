//! Waiting for a condition, with a deadline; never for luck.

use std::time::Duration;

use chrono::{Days, NaiveTime, TimeDelta, Utc};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// No condition is given up sooner: on a busy machine everything takes longer, and a wait ends when its condition holds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any test takes.
const LONGEST_TEST: TimeDelta = TimeDelta::minutes(5);

/// Waits for the next day (UTC) where this one ends soon: the product reads the clock, too, and what is yesterday must
/// stay so while a test runs.
pub(crate) async fn for_a_day_that_lasts() {
    let now = Utc::now();
    let midnight = (now.date_naive() + Days::new(1)).and_time(NaiveTime::MIN).and_utc();
    let left = midnight - now;
    if left < LONGEST_TEST {
        eprintln!("waiting {} s for the day to end", left.num_seconds());
        eventually("midnight", LONGEST_TEST.to_std().unwrap(), || async { (Utc::now() >= midnight).then_some(()) })
            .await;
    }
}

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
