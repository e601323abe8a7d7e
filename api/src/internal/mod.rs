//! `/internal/*`: the operators' endpoints, one a file.

use std::time::Duration;

use crate::cache::Lifetime;

pub mod agents;
pub mod aggregations;
pub mod billing;
pub mod command_request;
pub mod commands;
pub mod events;
pub mod incidents;
pub mod integrations;
pub mod preview;
pub mod queues;
pub mod tenant;
pub mod tenant_agents;
pub mod tenants;
pub mod tickets;
pub mod usage;

/// How long most of these answers are good.
const FIVE_MINUTES: Lifetime = Lifetime::Private(Duration::from_secs(300));
