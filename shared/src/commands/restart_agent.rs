//! RESTART_AGENT: have the agent runtime restart a tenant's agent.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{Fault, FieldError, Fields, Parameters, Reference, TenantRule};
use crate::{
    db::Known,
    ids::{AgentId, TenantId},
    statement,
    work_queue::WorkQueue,
};

/// Which agent.
#[derive(Debug, Serialize)]
pub struct RestartAgent {
    /// An agent that the command's tenant rents.
    pub agent_id: AgentId,
}

statement!(
    AGENT: Known = "SELECT agent_id AS id FROM tenant_agents WHERE agent_id = $1 AND tenant_id = $2",
    Uuid::nil(),
    Uuid::nil(),
);

impl Parameters for RestartAgent {
    const NAME: &'static str = "RESTART_AGENT";
    const QUEUE: WorkQueue = WorkQueue::new("painel.restart-agent");
    const TENANT: TenantRule = TenantRule::Required;
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { agent_id: fields.required("agent_id")? })
    }

    fn reference(&self, tenant: TenantId) -> Option<Reference> {
        Some(Reference {
            known: AGENT.bind([self.agent_id.uuid().into(), tenant.into()]),
            missing: FieldError::new("parameters.agent_id", Fault::NotFound { what: "agent of this tenant" }),
        })
    }
}
