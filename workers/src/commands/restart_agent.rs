//! RESTART_AGENT: has the agent runtime restart a tenant's agent, and waits until it runs anew.

use std::time::{Duration, Instant};

use painel_shared::{
    commands,
    config::{ConfigError, Vars},
    db::Session,
    ids::CommandId,
    planted::{Bug, planted},
    stores::Stores,
};
use serde_json::json;

use crate::{
    agent_runtime::{AgentRuntime, AgentState},
    config::AgentRuntimeConfig,
    effects::{self, Record, Success},
    handler::{Attempt, Handler, HandlerError},
};

/// The first pause between two looks at the agent; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The handler.
#[derive(Debug)]
pub struct RestartAgent {
    stores: Stores,
    runtime: AgentRuntime,
}

impl Handler for RestartAgent {
    type Parameters = commands::RestartAgent;

    fn build(vars: &Vars, stores: &Stores) -> Result<Self, ConfigError> {
        let runtime = AgentRuntime::new(&AgentRuntimeConfig::from_vars(vars)?)?;
        Ok(Self { stores: stores.clone(), runtime })
    }

    /// The runtime is asked under the command's id as idempotency key: asked twice, it restarts once and
    /// gives the same answer. So its effect can be recorded after it was made.
    async fn handle(&self, attempt: &Attempt, parameters: commands::RestartAgent) -> Result<Success, HandlerError> {
        let (tenant, agent) = (attempt.tenant()?, parameters.agent_id);
        if let Some(success) = effects::find_standing(&self.stores.db, attempt).await? {
            return Ok(success);
        }
        let began = Instant::now();
        let restart = self.runtime.restart(tenant, agent, effect_key(attempt)).await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let AgentState { running, generation } = self.runtime.state(tenant, agent).await?;
            if running && generation >= restart.target_generation {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let result = json!({
            "previous_generation": restart.previous_generation,
            "new_generation": restart.target_generation,
            "restart_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        let result = result.as_object().cloned().unwrap_or_default();
        let note = async |mut session: Session, record: Record| {
            let statement = sqlx::query_scalar!(
                r#"WITH recorded AS (SELECT taken, standing FROM record_success($1, $2, $3, $4)),
                   noted AS (
                       UPDATE tenant_agents SET generation = GREATEST(generation, $7)
                       WHERE tenant_id = $5 AND agent_id = $6 AND (SELECT taken FROM recorded)
                   )
                   SELECT standing FROM recorded"#,
                record.command,
                record.fence,
                record.result,
                record.event,
                tenant.uuid(),
                agent.uuid(),
                effects::fence(restart.target_generation),
            );
            let standing = statement.fetch_optional(&mut *session).await;
            session.done(standing)
        };
        effects::make(&self.stores.db, attempt, result, note).await?.ok_or_else(effects::fenced_off)
    }
}

/// The key under which the runtime restarts once.
fn effect_key(attempt: &Attempt) -> CommandId {
    if planted(Bug::NoEffectKey) { CommandId::from(uuid::Uuid::now_v7()) } else { attempt.stored.id() }
}
