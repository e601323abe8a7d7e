//! HEALTH_CHECK: are PostgreSQL, DynamoDB and the queue well?

use std::time::Duration;

use serde::Serialize;

use super::{Fields, Parameters, TenantRule};
use crate::work_queue::WorkQueue;

/// HEALTH_CHECK takes no parameters.
#[derive(Debug, Serialize)]
pub struct HealthCheck {}

impl Parameters for HealthCheck {
    const NAME: &'static str = "HEALTH_CHECK";
    const QUEUE: WorkQueue = WorkQueue::new("painel.health-check");
    const TENANT: TenantRule = TenantRule::Optional;
    const TIMEOUT: Duration = Duration::from_secs(15);

    fn read(_: &mut Fields) -> Option<Self> {
        Some(Self {})
    }
}
