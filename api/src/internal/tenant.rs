//! `GET /internal/tenants/{id}`: all about one tenant on one page.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use chrono::NaiveDate;
use painel_shared::{
    db::InternalScope,
    ids::TenantId,
    statement,
    time::{Timestamp, millis},
};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    FIVE_MINUTES,
    events::{self, EventView},
};
use crate::{
    auth::Caller,
    caching::{About, Question},
    figures::{rate, reais},
    openapi::ReadProblems,
    panel::Panel,
    period::{DayRange, Period},
    problem::ApiError,
    query::{QueryFields, uuid_in_path},
};

/// How many incidents and events are shown.
const RECENT: i64 = 10;

/// A tenant and what belongs to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantPage {
    tenant: TenantDetail,
    users: Vec<User>,
    agents: Vec<Agent>,
    integrations: Vec<Integration>,
    usage_summary: UsageSummary,
    /// The newest ten.
    recent_incidents: Vec<Incident>,
    /// The newest ten of the audit log.
    recent_events: Vec<EventView>,
}

/// The tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantDetail {
    id: Uuid,
    name: String,
    cnpj: String,
    segment: String,
    plan: String,
    status: String,
    mrr_estimate: f64,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    updated_at: Timestamp,
}

/// One of its people.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = TenantUser)]
pub struct User {
    id: Uuid,
    email: String,
    full_name: String,
    role: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "millis::option")]
    last_login_at: Option<Timestamp>,
}

/// One of its agents.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantPageAgent)]
pub struct Agent {
    id: Uuid,
    name: String,
    status: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    activated_at: Timestamp,
    usage_last_30_days: AgentUsage,
}

/// What it did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantPageAgentUsage)]
pub struct AgentUsage {
    total_requests: i64,
    success_rate: f64,
}

/// One of its integrations.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = TenantPageIntegration)]
pub struct Integration {
    id: Uuid,
    r#type: String,
    name: String,
    status: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "millis::option")]
    last_sync_at: Option<Timestamp>,
}

/// What it used.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageSummary {
    requests_last_7_days: i64,
    requests_last_30_days: i64,
    success_rate_last_30_days: f64,
}

/// One of its incidents.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = TenantPageIncident)]
pub struct Incident {
    id: Uuid,
    severity: String,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    created_at: Timestamp,
}

/// One tenant.
#[utoipa::path(
    get, path = "/internal/tenants/{id}", tag = "internal",
    params(("id" = Uuid, Path, description = "The tenant.")),
    responses((status = 200, body = TenantPage), ReadProblems),
)]
pub async fn show(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    panel: Data<Panel>,
) -> Result<HttpResponse, ApiError> {
    caller.require_internal()?;
    QueryFields::of(&request)?.finish()?;
    let tenant = uuid_in_path("id", &path)?.into();
    let text = format!("page {:?}", Period::Month.days());
    let question = Question { about: About::Tenant(tenant), text, max_age: FIVE_MINUTES };
    panel.answers.answer(&request, question, find(&panel, tenant)).await
}

#[derive(FromRow)]
struct DetailRow {
    id: Uuid,
    name: String,
    cnpj: String,
    segment: String,
    plan: String,
    status: String,
    mrr_estimate_cents: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

statement!(
    DETAIL: DetailRow =
        "SELECT id, name, cnpj, segment, plan, status, mrr_estimate_cents, created_at, updated_at
         FROM tenants WHERE id = $1",
    Uuid::nil(),
);

statement!(
    USERS: User =
        "SELECT id, email, full_name, role, last_login_at FROM tenant_users
         WHERE tenant_id = $1 ORDER BY full_name, id",
    Uuid::nil(),
);

#[derive(FromRow)]
struct AgentRow {
    id: Uuid,
    name: String,
    status: String,
    activated_at: Timestamp,
    total: i64,
    successful: i64,
}

statement!(
    AGENTS: AgentRow =
        r#"SELECT a.id, a.name, ta.status, ta.activated_at, u.total AS "total!", u.successful AS "successful!"
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id,
           LATERAL (
               SELECT COALESCE(sum(total_requests), 0)::bigint AS total,
                      COALESCE(sum(successful_requests), 0)::bigint AS successful
               FROM tenant_usage_daily d
               WHERE d.tenant_id = ta.tenant_id AND d.agent_id = ta.agent_id AND d.date BETWEEN $2 AND $3
           ) AS u
           WHERE ta.tenant_id = $1 ORDER BY a.name, a.id"#,
    Uuid::nil(),
    NaiveDate::MIN,
    NaiveDate::MIN,
);

statement!(
    INTEGRATIONS: Integration =
        "SELECT id, type, name, status, last_sync_at FROM tenant_integrations WHERE tenant_id = $1 ORDER BY name, id",
    Uuid::nil(),
);

#[derive(FromRow)]
struct SummaryRow {
    week: i64,
    month: i64,
    successful: i64,
}

statement!(
    SUMMARY: SummaryRow =
        r#"SELECT COALESCE(sum(total_requests) FILTER (WHERE date >= $4), 0)::bigint AS "week!",
                  COALESCE(sum(total_requests), 0)::bigint AS "month!",
                  COALESCE(sum(successful_requests), 0)::bigint AS "successful!"
           FROM tenant_usage_daily WHERE tenant_id = $1 AND date BETWEEN $2 AND $3"#,
    Uuid::nil(),
    NaiveDate::MIN,
    NaiveDate::MIN,
    NaiveDate::MIN,
);

statement!(
    INCIDENTS: Incident =
        "SELECT i.id, i.severity, i.title, i.created_at
         FROM incidents i JOIN incident_tenants hit ON hit.incident_id = i.id
         WHERE hit.tenant_id = $1 ORDER BY i.created_at DESC, i.id DESC LIMIT $2",
    Uuid::nil(),
    0,
);

/// Asked as the tenant itself, so that nothing of another tenant can be on the page; but for the events, which tenants do
/// not see.
async fn find(panel: &Panel, tenant: TenantId) -> Result<TenantPage, ApiError> {
    let recent = async |scope: &mut InternalScope| events::recent_of_tenant(scope, tenant, RECENT).await;
    let recent_events = panel.in_internal(recent).await?;
    let DayRange { first, last } = Period::Month.days();
    let week = Period::Week.days().first;
    let batch = (
        DETAIL.bind([tenant.into()]),
        USERS.bind([tenant.into()]),
        AGENTS.bind([tenant.into(), first.into(), last.into()]),
        INTEGRATIONS.bind([tenant.into()]),
        SUMMARY.bind([tenant.into(), first.into(), last.into(), week.into()]),
        INCIDENTS.bind([tenant.into(), RECENT.into()]),
    );
    let answers = panel.stores.db.ask_as_tenant(tenant, &batch).await?;
    let (mut details, users, agents, integrations, mut summaries, recent_incidents) = answers;
    let (Some(detail), Some(summary)) = (details.pop(), summaries.pop()) else {
        return Err(ApiError::NotFound(None));
    };
    Ok(TenantPage {
        tenant: TenantDetail {
            id: detail.id,
            name: detail.name,
            cnpj: detail.cnpj,
            segment: detail.segment,
            plan: detail.plan,
            status: detail.status,
            mrr_estimate: reais(detail.mrr_estimate_cents),
            created_at: detail.created_at,
            updated_at: detail.updated_at,
        },
        users,
        agents: agents.into_iter().map(agent).collect(),
        integrations,
        usage_summary: UsageSummary {
            requests_last_7_days: summary.week,
            requests_last_30_days: summary.month,
            success_rate_last_30_days: rate(summary.successful, summary.month),
        },
        recent_incidents,
        recent_events,
    })
}

fn agent(row: AgentRow) -> Agent {
    let usage_last_30_days =
        AgentUsage { total_requests: row.total, success_rate: rate(row.successful, row.total) };
    Agent { id: row.id, name: row.name, status: row.status, activated_at: row.activated_at, usage_last_30_days }
}
