//! What the console shows on a first start: commands that succeed, and one whose agent refuses until it dies.

use anyhow::Context;
use painel_shared::{
    command::NewCommand,
    commands::{CommandType, HealthCheck, Parameters, ResetToken, RestartAgent},
    dispatch::dispatch,
    events::Origin,
    ids::TenantId,
    trace::TraceContext,
};
use serde_json::{Map, Value, json};

use crate::{demo_data::Example, embedded::Embedded};

/// An agent that refuses so often is given up.
const REFUSALS: u32 = 1_000;
/// Who sends them.
const SENDER: (&str, &str) = ("development-support", "suporte@painel.example");

/// Sends them; workers execute them like any other.
pub(crate) async fn send(embedded: &Embedded, example: &Example) -> anyhow::Result<()> {
    let Example { tenant, agents: [first, second], integration } = *example;
    let refusals = format!("{}/tenants/{tenant}/agents/{second}/refusals", embedded.agent_runtime_url());
    let refuse = reqwest::Client::new().post(refusals).json(&json!({"refusals": REFUSALS})).send();
    refuse.await?.error_for_status().context("the agent runtime was not told to refuse")?;
    let commands = [
        new::<HealthCheck>(None, json!({}), "Verificação depois da instalação"),
        new::<RestartAgent>(Some(tenant), json!({"agent_id": first}), "O agente não respondia"),
        new::<ResetToken>(Some(tenant), json!({"integration_id": integration}), "Token vencido"),
        new::<RestartAgent>(Some(tenant), json!({"agent_id": second}), "Travado desde a madrugada"),
    ];
    for command in commands {
        dispatch(embedded.stores(), command, None, Origin::default()).await?;
    }
    Ok(())
}

fn new<K: Parameters>(tenant_id: Option<TenantId>, parameters: Value, reason: &str) -> NewCommand {
    let parameters = match parameters {
        Value::Object(parameters) => parameters,
        _ => Map::new(),
    };
    NewCommand {
        command_type: CommandType::of::<K>(),
        tenant_id,
        parameters,
        reason: Some(reason.to_owned()),
        created_by: SENDER.0.to_owned(),
        created_by_email: Some(SENDER.1.to_owned()),
        traceparent: TraceContext::root(),
    }
}
