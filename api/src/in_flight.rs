//! How many requests are under way at once: of one caller, of one tenant, of tenants, of all.
//!
//! A request counts as its caller's from the moment that it is known whose it is, and among all once it has come and is
//! worked on: whoever dawdles takes from their own share alone.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::HttpRequest;
use painel_shared::ids::TenantId;

use crate::{auth::Caller, config::LimitsConfig, connection::life::Connection, problem::ApiError};

/// The requests of one process that are under way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InFlight(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_of_tenants: usize,
    most_of_caller: usize,
    most_of_tenant: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    tenants: usize,
    by_caller: HashMap<String, usize>,
    by_tenant: HashMap<TenantId, usize>,
}

/// A request among its caller's, until it is dropped.
#[derive(Debug)]
pub struct Share {
    in_flight: InFlight,
    caller: String,
    tenant: Option<TenantId>,
}

/// A request among all, until it is dropped.
#[derive(Debug)]
pub struct Place(Share);

impl InFlight {
    /// As many as configured; a quarter of all is never tenants'.
    pub fn new(config: &LimitsConfig) -> Self {
        Self(Arc::new(Inner {
            most: config.in_flight,
            most_of_tenants: config.in_flight - config.in_flight / 4,
            most_of_caller: config.in_flight_of_caller,
            most_of_tenant: config.in_flight_of_tenant,
            counts: Mutex::default(),
        }))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request as that caller's, and their tenant's; an error where they have too many.
    pub fn join(&self, caller: &Caller) -> Result<Share, ApiError> {
        // Operators are no tenant's users.
        let tenant = caller.tenant_id.filter(|_| !caller.is_internal());
        let mut counts = self.counts();
        let fits = count(&counts.by_caller, &caller.sub) < self.0.most_of_caller
            && tenant.is_none_or(|tenant| count(&counts.by_tenant, &tenant) < self.0.most_of_tenant);
        if !fits {
            return Err(ApiError::TooManyAtOnce(Duration::from_secs(1)));
        }
        *counts.by_caller.entry(caller.sub.clone()).or_default() += 1;
        if let Some(tenant) = tenant {
            *counts.by_tenant.entry(tenant).or_default() += 1;
        }
        Ok(Share { in_flight: self.clone(), caller: caller.sub.clone(), tenant })
    }
}

impl Share {
    /// Counts it among all; an error where those are too many. From then on its connection is worked for.
    pub fn enter(self, request: &HttpRequest) -> Result<Place, ApiError> {
        let limits = &self.in_flight.0;
        let mut counts = self.in_flight.counts();
        let of_tenants = usize::from(self.tenant.is_some());
        if counts.all >= limits.most || counts.tenants + of_tenants > limits.most_of_tenants {
            drop(counts);
            return Err(ApiError::Overloaded);
        }
        counts.all += 1;
        counts.tenants += of_tenants;
        drop(counts);
        if let Some(connection) = request.conn_data::<Arc<Connection>>() {
            connection.begin_work();
        }
        Ok(Place(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.in_flight.counts();
        counts.all -= 1;
        counts.tenants -= usize::from(self.0.tenant.is_some());
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.in_flight.counts();
        leave(&mut counts.by_caller, &self.caller);
        if let Some(tenant) = &self.tenant {
            leave(&mut counts.by_tenant, tenant);
        }
    }
}

fn count<K: Hash + Eq>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

/// Nobody who has none is remembered.
fn leave<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
