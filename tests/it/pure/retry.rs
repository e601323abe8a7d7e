//! Retry delays: within their bounds, and over the whole of them.

use std::{collections::BTreeSet, time::Duration};

use painel_shared::{queue::return_pause, retry::RetryPolicy};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_delay_is_within_its_ceiling(attempt in 1_u32..2_000, base_ms in 1_u64..5_000, cap_ms in 1_u64..600_000) {
        let policy = RetryPolicy {
            max_attempts: 5,
            base: Duration::from_millis(base_ms.min(cap_ms)),
            cap: Duration::from_millis(cap_ms),
        };
        prop_assert!(policy.delay(attempt) <= policy.ceiling(attempt));
        prop_assert!(policy.ceiling(attempt) <= policy.cap);
        prop_assert!(policy.ceiling(attempt) <= policy.ceiling(attempt + 1));
    }
}

#[test]
fn the_ceiling_doubles() {
    let ceilings: Vec<u64> = (1..=8).map(|n| RetryPolicy::DEFAULT.ceiling(n).as_secs()).collect();
    assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_ceiling_is_no_matter_of_chance() {
    // So long that a nanosecond is lost in a number's precision.
    let days = |n: u64| Duration::from_secs(n * 24 * 3600);
    let policy = RetryPolicy { max_attempts: 5, base: days(11), cap: days(40) };
    for attempt in [1, 2, 100] {
        let ceilings: BTreeSet<Duration> = (0..1_000).map(|_| policy.ceiling(attempt)).collect();
        assert_eq!(ceilings.len(), 1, "{ceilings:?}");
    }
    assert_eq!(policy.ceiling(100), policy.cap);
}

#[test]
fn the_jitter_is_full() {
    let delays: Vec<f64> = (0..2_000).map(|_| RetryPolicy::DEFAULT.delay(1).as_secs_f64()).collect();
    let mean = delays.iter().sum::<f64>() / 2_000.0;
    assert!((0.45..0.55).contains(&mean), "the mean of delays up to 1 s is {mean}");
    assert!(delays.iter().any(|delay| *delay < 0.05) && delays.iter().any(|delay| *delay > 0.95));
}

#[test]
fn what_cannot_be_settled_comes_again_after_a_pause_that_grows_to_half_a_minute() {
    let seconds = |returns| return_pause(returns).as_secs_f64();
    for returns in 0..40 {
        let longest = f64::from(2_u32.saturating_pow(returns).min(30));
        let pause = seconds(returns);
        assert!((longest / 2.0..=longest).contains(&pause), "after {returns} returns: {pause} s");
    }
}
