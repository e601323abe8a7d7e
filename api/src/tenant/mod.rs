//! `/tenant/*`: a tenant's look at their own account. Operators read any, with `?tenant_id=`.

use std::time::Duration;

use crate::cache::Lifetime;

pub mod agents;
pub mod incidents;
pub mod integrations;
pub mod me;
pub mod operations;
pub mod tickets;
pub mod usage;

/// How long most of these answers are good.
const FIVE_MINUTES: Lifetime = Lifetime::Private(Duration::from_secs(300));
