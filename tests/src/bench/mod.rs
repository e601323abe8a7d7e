//! Measurements, each of everything that it compares in one run, by turns.

pub mod night;
pub mod reads;
pub mod reconcile;
pub mod rollup;

use std::time::Duration;

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
