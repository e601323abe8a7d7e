//! Latency histograms: within two per cent, whatever is added up and in whatever order.

use painel_shared::histogram::LatencyHistogram;
use proptest::prelude::*;

fn of(times: &[u32]) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::default();
    times.iter().for_each(|time| histogram.record(*time));
    histogram
}

/// The nearest-rank percentile.
fn exact(times: &[u32], percent: usize) -> u32 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

fn times() -> impl Strategy<Value = Vec<u32>> {
    let time = prop_oneof![0_u32..10, 10_u32..5_000, 0_u32..=i32::MAX.unsigned_abs()];
    prop::collection::vec(time, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn percentiles_are_within_two_per_cent(times in times(), percent in 1_u8..=100) {
        let found = of(&times).percentile(percent).unwrap();
        let exact = f64::from(exact(&times, percent.into()));
        prop_assert!((found - exact).abs() <= 0.02 * exact + 1e-6, "{found} for {exact}");
    }

    #[test]
    fn histograms_add_up(a in times(), b in times()) {
        let mut sum = of(&a);
        let stored: Vec<(i16, i32)> = b.iter().map(|time| (LatencyHistogram::bucket(*time), 1)).collect();
        let (buckets, counts): (Vec<i16>, Vec<i32>) = stored.into_iter().unzip();
        sum.add_stored(&buckets, &counts);
        prop_assert_eq!(sum, of(&[a, b].concat()));
    }
}

#[test]
fn of_nothing_there_is_no_percentile() {
    assert_eq!(LatencyHistogram::default().percentile(50), None);
}
