//! `GET /tenant/agents`: the agents that the tenant rents, and how they did in thirty days.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use chrono::NaiveDate;
use painel_shared::{
    ids::TenantId,
    statement,
    time::{Timestamp, millis},
};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    auth::Caller,
    caching::{About, Question},
    figures::{average, rate},
    filters::StatusFilter,
    openapi::ReadProblems,
    panel::Panel,
    period::Period,
    problem::ApiError,
    query::QueryFields,
};

/// The agents.
#[derive(Debug, Serialize, ToSchema)]
pub struct Agents {
    agents: Vec<Agent>,
}

/// An agent that the tenant rents.
#[derive(Debug, Serialize, ToSchema)]
pub struct Agent {
    id: Uuid,
    name: String,
    segment: String,
    status: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    activated_at: Timestamp,
    usage_last_30_days: AgentUsage,
}

/// What it did.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentUsage {
    total_requests: i64,
    /// Per cent.
    success_rate: f64,
    avg_response_time_ms: f64,
}

/// The tenant's agents.
#[utoipa::path(
    get, path = "/tenant/agents", tag = "tenant",
    params(
        ("status" = Option<StatusFilter>, Query, description = "By default active."),
        ("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one."),
    ),
    responses((status = 200, body = Agents), ReadProblems),
)]
pub async fn list(caller: Caller, request: HttpRequest, panel: Data<Panel>) -> Result<HttpResponse, ApiError> {
    let mut fields = QueryFields::of(&request)?;
    let tenant = caller.tenant_asked(&mut fields)?;
    let status = StatusFilter::read(&mut fields);
    fields.finish()?;
    let text = format!("agents {status:?} {:?}", Period::Month.days());
    let question = Question { about: About::Tenant(tenant), text, max_age: FIVE_MINUTES };
    panel.answers.answer(&request, question, find(&panel, tenant, status)).await
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    segment: String,
    status: String,
    activated_at: Timestamp,
    total: i64,
    successful: i64,
    time: f64,
}

statement!(
    AGENTS: Row = r#"SELECT a.id, a.name, a.segment, ta.status, ta.activated_at, u.total AS "total!",
                  u.successful AS "successful!", u.time AS "time!"
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id,
           LATERAL (
               SELECT COALESCE(sum(total_requests), 0)::bigint AS total,
                      COALESCE(sum(successful_requests), 0)::bigint AS successful,
                      COALESCE(sum(avg_response_time_ms * total_requests), 0) AS time
               FROM tenant_usage_daily d
               WHERE d.tenant_id = ta.tenant_id AND d.agent_id = ta.agent_id AND d.date BETWEEN $3 AND $4
           ) AS u
           WHERE ta.tenant_id = $1 AND ($2::text IS NULL OR ta.status = $2)
           ORDER BY a.name, a.id"#,
    Uuid::nil(),
    None::<String>,
    NaiveDate::MIN,
    NaiveDate::MIN,
);

async fn find(panel: &Panel, tenant: TenantId, status: StatusFilter) -> Result<Agents, ApiError> {
    let days = Period::Month.days();
    let asked = AGENTS.bind([tenant.into(), status.wanted().into(), days.first.into(), days.last.into()]);
    let rows = panel.ask_as_tenant(tenant, asked).await?;
    let agents = rows.into_iter().map(|row| Agent {
        id: row.id,
        name: row.name,
        segment: row.segment,
        status: row.status,
        activated_at: row.activated_at,
        usage_last_30_days: AgentUsage {
            total_requests: row.total,
            success_rate: rate(row.successful, row.total),
            avg_response_time_ms: average(row.time, row.total),
        },
    });
    Ok(Agents { agents: agents.collect() })
}
