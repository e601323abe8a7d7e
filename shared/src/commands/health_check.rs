//! HEALTH_CHECK: are PostgreSQL, DynamoDB and the queue well?

use std::time::Duration;

use serde::Serialize;

use super::{Fields, Outcome, Parameters, TenantRule};
use crate::work_queue::WorkQueue;

/// HEALTH_CHECK takes no parameters.
#[derive(Debug, Serialize)]
pub struct HealthCheck {}

impl Parameters for HealthCheck {
    const NAME: &'static str = "HEALTH_CHECK";
    const QUEUE: WorkQueue = WorkQueue::new("painel.health-check");
    const TENANT: TenantRule = TenantRule::Optional;
    const TIMEOUT: Duration = Duration::from_secs(15);
    const TARGET: Option<&'static str> = None;
    const OUTCOME: Outcome =
        Outcome { done: "The systems were checked.", not_done: "The systems could not be checked." };

    fn read(_: &mut Fields) -> Option<Self> {
        Some(Self {})
    }
}
