//! How often one caller may ask, and all users of one tenant.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use painel_shared::ids::TenantId;

use crate::{config::LimitsConfig, problem::ApiError};

/// After so many checks callers that have been quiet are forgotten.
const SWEEP_EVERY: u64 = 10_000;

/// The rates of one API process.
#[derive(Debug)]
pub struct Rates {
    callers: Rate<String>,
    tenants: Rate<TenantId>,
}

impl Rates {
    /// The configured rates.
    pub fn new(config: &LimitsConfig) -> Self {
        Self { callers: Rate::new(config.caller_rate), tenants: Rate::new(config.tenant_rate) }
    }

    /// Counts a request of that caller; an error where it is one too many.
    pub fn check_caller(&self, sub: &str) -> Result<(), ApiError> {
        self.callers.check(&sub.to_owned())
    }

    /// Counts a request of a user of that tenant; an error where it is one too many.
    pub fn check_tenant(&self, tenant: TenantId) -> Result<(), ApiError> {
        self.tenants.check(&tenant)
    }
}

/// A rate a key: so many a second, and as many at once.
#[derive(Debug)]
struct Rate<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU64,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    fn new(per_second: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(per_second)), checks: AtomicU64::new(0) }
    }

    fn check(&self, key: &K) -> Result<(), ApiError> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            ApiError::RateLimited(wait.max(Duration::from_secs(1)))
        })
    }
}
