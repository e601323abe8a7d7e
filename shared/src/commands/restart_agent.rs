//! RESTART_AGENT: have the agent runtime restart a tenant's agent.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{Fault, FieldError, Fields, Impact, Outcome, Parameters, Reference, Target, TenantRule};
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

statement!(
    AGENT_NOW: Target =
        r#"SELECT a.id, a.name, ta.status, ta.last_request_at AS last_used_at, r.last_hour AS requests_last_hour,
                  r.last_day AS requests_last_day
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id,
                LATERAL recent_requests(ta.tenant_id, ta.agent_id) AS r
           WHERE ta.agent_id = $1 AND ta.tenant_id = $2"#,
    Uuid::nil(),
    Uuid::nil(),
);

impl Parameters for RestartAgent {
    const NAME: &'static str = "RESTART_AGENT";
    const QUEUE: WorkQueue = WorkQueue::new("painel.restart-agent");
    const TENANT: TenantRule = TenantRule::Required;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const TARGET: Option<&'static str> = Some("agent_id");
    const OUTCOME: Outcome = Outcome {
        done: "The agent was restarted.",
        not_done: "It could not be confirmed that the agent was restarted.",
    };

    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { agent_id: fields.required("agent_id")? })
    }

    fn reference(&self, tenant: TenantId) -> Option<Reference> {
        Some(Reference {
            known: AGENT.bind([self.agent_id.uuid().into(), tenant.into()]),
            missing: FieldError::new("parameters.agent_id", Fault::NotFound { what: "agent of this tenant" }),
        })
    }

    fn impact(&self, tenant: Option<TenantId>) -> Impact {
        Impact {
            target: tenant.map(|tenant| AGENT_NOW.bind([self.agent_id.uuid().into(), tenant.into()])),
            irreversible: Some("What the agent is answering at that moment is lost."),
            ..Impact::default()
        }
    }
}
