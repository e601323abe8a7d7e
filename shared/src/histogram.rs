//! Response times as a histogram with logarithmic buckets: small, and histograms add up.
//!
//! Percentiles of a sum are right for any period and any group, which averages of percentiles never are. The
//! relative error is at most 2 % (Masson, Rim, Lee: DDSketch, VLDB 2019); `latency_bucket` in the migrations puts
//! each time into its bucket.

use std::collections::BTreeMap;

/// The relative error that a bucket allows.
const ERROR: f64 = 0.02;

/// How often times of each bucket were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyHistogram(BTreeMap<i16, u64>);

impl LatencyHistogram {
    /// How many buckets there can be.
    pub const BUCKETS: usize = 540;

    /// The bucket of a time in milliseconds.
    pub fn bucket(ms: u32) -> i16 {
        let log = |ms: u32| (f64::from(ms).ln() / growth().ln()).ceil();
        // At most 539, for the longest time there is.
        #[expect(clippy::cast_possible_truncation, reason = "the logarithm of 32 bits is small")]
        if ms == 0 { 0 } else { log(ms) as i16 + 1 }
    }

    /// Counts one time in milliseconds.
    pub fn record(&mut self, ms: u32) {
        self.add(Self::bucket(ms), 1);
    }

    /// Counts so many times of that bucket.
    pub fn add(&mut self, bucket: i16, count: u64) {
        let held = self.0.entry(bucket).or_default();
        *held = held.saturating_add(count);
    }

    /// Adds a stored histogram: buckets and their counts, in step.
    pub fn add_stored<C: Copy + TryInto<u64>>(&mut self, buckets: &[i16], counts: &[C]) {
        for (bucket, count) in buckets.iter().zip(counts) {
            self.add(*bucket, (*count).try_into().unwrap_or(0));
        }
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(bucket, count)| self.add(*bucket, *count));
    }

    /// As it is stored: buckets and their counts, in step.
    pub fn stored(&self) -> (Vec<i16>, Vec<i32>) {
        self.0.iter().map(|(bucket, count)| (*bucket, i32::try_from(*count).unwrap_or(i32::MAX))).unzip()
    }

    /// How many times it holds.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The time, in milliseconds, that `percent` of all times do not exceed; none where there are none.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let total = self.total();
        let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= rank
        });
        found.map(|(bucket, _)| value(*bucket))
    }
}

/// How much wider each bucket is than the one below.
fn growth() -> f64 {
    (1.0 + ERROR) / (1.0 - ERROR)
}

/// The time that is within the allowed error of every time in the bucket.
fn value(bucket: i16) -> f64 {
    match bucket {
        ..=0 => 0.0,
        bucket => 2.0 * growth().powi(i32::from(bucket) - 1) / (growth() + 1.0),
    }
}
