//! Which attempt comes when: exponential backoff with full jitter; pure but for its random number.
//!
//! The only place that speaks of the `backoff` crate.

use std::time::Duration;

use backoff::{ExponentialBackoff, backoff::Backoff};

/// After so many doublings the cap has long been reached.
const DOUBLINGS: u32 = 64;

/// How a kind of work is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a command is tried at most, the first time included.
    pub max_attempts: u32,
    /// The longest wait after the first failure.
    pub base: Duration,
    /// The longest wait after any failure.
    pub cap: Duration,
}

impl RetryPolicy {
    /// Five attempts, waiting at most 1, 2, 4 and 8 seconds between them.
    pub const DEFAULT: Self = Self { max_attempts: 5, base: Duration::from_secs(1), cap: Duration::from_secs(60) };

    /// How long to wait after `attempt` (from 1) failed: uniform between zero and [`Self::ceiling`].
    ///
    /// Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog): the crate draws
    /// from `interval * (1 ± factor)`, so half the ceiling with factor 1 gives the whole range.
    pub fn delay(&self, attempt: u32) -> Duration {
        let mut backoff = self.backoff(attempt);
        let ceiling = ceiling(&backoff);
        backoff.next_backoff().map_or(ceiling, |delay| delay.min(ceiling))
    }

    /// The longest wait after `attempt` (from 1) failed.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        ceiling(&self.backoff(attempt))
    }

    /// How long to wait after `attempt` (from 1) failed, where it must not be at once: between half the ceiling and all of
    /// it, as in "equal jitter" of the same source.
    pub fn pause(&self, attempt: u32) -> Duration {
        self.ceiling(attempt) / 2 + self.delay(attempt) / 2
    }

    /// The crate's state after `attempt` (from 1) failed.
    fn backoff(&self, attempt: u32) -> ExponentialBackoff {
        let half = self.base / 2;
        let mut backoff = ExponentialBackoff {
            current_interval: half,
            initial_interval: half,
            randomization_factor: 1.0,
            multiplier: 2.0,
            max_interval: self.cap / 2,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        for _ in 1..attempt.min(DOUBLINGS) {
            backoff.next_backoff();
        }
        backoff
    }
}

/// Twice the interval that is drawn from. Even from no range at all the crate may draw a nanosecond more.
fn ceiling(backoff: &ExponentialBackoff) -> Duration {
    backoff.current_interval * 2
}

/// An endless row of waits between tries to reach a dependency: from 0.1 s up to 2 s.
pub fn reconnect_delays() -> impl Iterator<Item = Duration> {
    let policy =
        RetryPolicy { max_attempts: u32::MAX, base: Duration::from_millis(200), cap: Duration::from_secs(2) };
    (1..=u32::MAX).map(move |attempt| policy.pause(attempt))
}
