//! `GET /internal/tenants/{id}/agents`: a tenant's agents, how they are set up and what they have done so far.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use painel_shared::{
    ids::TenantId,
    statement,
    time::{Timestamp, millis},
};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    auth::Caller,
    caching::{About, Question},
    figures::{average, rate},
    openapi::ReadProblems,
    panel::Panel,
    problem::ApiError,
    query::{QueryFields, uuid_in_path},
};

/// The agents.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantAgents {
    agents: Vec<Agent>,
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantAgent)]
pub struct Agent {
    id: Uuid,
    name: String,
    status: String,
    #[schema(value_type = Object)]
    config: Value,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    activated_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "millis::option")]
    deactivated_at: Option<Timestamp>,
    usage_stats: UsageStats,
}

/// What it has done on all closed days.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageStats {
    total_requests: i64,
    /// Per cent.
    success_rate: f64,
    avg_response_time_ms: f64,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "millis::option")]
    last_request_at: Option<Timestamp>,
}

/// A tenant's agents.
#[utoipa::path(
    get, path = "/internal/tenants/{id}/agents", tag = "internal",
    params(("id" = Uuid, Path, description = "The tenant.")),
    responses((status = 200, body = TenantAgents), ReadProblems),
)]
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    panel: Data<Panel>,
) -> Result<HttpResponse, ApiError> {
    caller.require_internal()?;
    QueryFields::of(&request)?.finish()?;
    let tenant = uuid_in_path("id", &path)?.into();
    let question = Question { about: About::Tenant(tenant), text: "all agents".to_owned(), max_age: FIVE_MINUTES };
    panel.answers.answer(&request, question, find(&panel, tenant)).await
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    status: String,
    config: Value,
    activated_at: Timestamp,
    deactivated_at: Option<Timestamp>,
    last_request_at: Option<Timestamp>,
    total: i64,
    successful: i64,
    time: f64,
}

statement!(
    AGENTS: Row = r#"SELECT a.id, a.name, ta.status, ta.config, ta.activated_at, ta.deactivated_at, ta.last_request_at,
                  u.total AS "total!", u.successful AS "successful!", u.time AS "time!"
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id,
           LATERAL (
               SELECT COALESCE(sum(total_requests), 0)::bigint AS total,
                      COALESCE(sum(successful_requests), 0)::bigint AS successful,
                      COALESCE(sum(avg_response_time_ms * total_requests), 0) AS time
               FROM tenant_usage_daily d WHERE d.tenant_id = ta.tenant_id AND d.agent_id = ta.agent_id
           ) AS u
           WHERE ta.tenant_id = $1 ORDER BY a.name, a.id"#,
    Uuid::nil(),
);

async fn find(panel: &Panel, tenant: TenantId) -> Result<TenantAgents, ApiError> {
    let rows = panel.ask_as_tenant(tenant, AGENTS.bind([tenant.into()])).await?;
    let agents = rows.into_iter().map(|row| Agent {
        id: row.id,
        name: row.name,
        status: row.status,
        config: row.config,
        activated_at: row.activated_at,
        deactivated_at: row.deactivated_at,
        usage_stats: UsageStats {
            total_requests: row.total,
            success_rate: rate(row.successful, row.total),
            avg_response_time_ms: average(row.time, row.total),
            last_request_at: row.last_request_at,
        },
    });
    Ok(TenantAgents { agents: agents.collect() })
}
