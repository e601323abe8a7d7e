//! RESTART_AGENT: have the agent runtime restart a tenant's agent.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgConnection;

use super::{Fault, FieldError, Fields, Parameters, TenantRule};
use crate::{
    ids::{AgentId, TenantId},
    work_queue::WorkQueue,
};

/// Which agent.
#[derive(Debug, Serialize)]
pub struct RestartAgent {
    /// An agent that the command's tenant rents.
    pub agent_id: AgentId,
}

impl Parameters for RestartAgent {
    const NAME: &'static str = "RESTART_AGENT";
    const QUEUE: WorkQueue = WorkQueue::new("painel.restart-agent");
    const TENANT: TenantRule = TenantRule::Required;
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { agent_id: fields.required("agent_id")? })
    }

    async fn find_missing(
        &self,
        tenant: Option<TenantId>,
        db: &mut PgConnection,
    ) -> Result<Option<FieldError>, sqlx::Error> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM tenant_agents WHERE agent_id = $1 AND tenant_id = $2) AS "found!""#,
            self.agent_id.uuid(),
            tenant.map(TenantId::uuid),
        )
        .fetch_one(db)
        .await?;
        Ok((!found)
            .then(|| FieldError::new("parameters.agent_id", Fault::NotFound { what: "agent of this tenant" })))
    }
}
