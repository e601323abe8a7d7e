//! What keeps one caller, or all of them together, from taking the service down.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use painel_shared::ids::TenantId;
use tokio::sync::Semaphore;

use crate::{config::LimitsConfig, problem::ApiError};

/// After so many checks callers that have been quiet are forgotten.
const SWEEP_EVERY: u64 = 10_000;

/// The limits of one API process.
#[derive(Debug)]
pub struct Limits {
    in_flight: Semaphore,
    callers: Rate<String>,
    tenants: Rate<TenantId>,
}

impl Limits {
    /// The configured limits.
    pub fn new(config: &LimitsConfig) -> Self {
        Self {
            in_flight: Semaphore::new(config.in_flight),
            callers: Rate::new(config.caller_rate),
            tenants: Rate::new(config.tenant_rate),
        }
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

/// The middleware that refuses, at once, what is more than can be served. Health is always answered.
pub async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let limits = request.app_data::<Data<Limits>>().cloned();
    let permit = match &limits {
        Some(limits) if !is_of_health(request.path()) => match limits.in_flight.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => return Ok(request.error_response(ApiError::Overloaded).map_into_boxed_body()),
        },
        _ => None,
    };
    let response = next.call(request).await?.map_into_boxed_body();
    drop(permit);
    Ok(response)
}

fn is_of_health(path: &str) -> bool {
    path == "/health" || path.starts_with("/health/")
}
