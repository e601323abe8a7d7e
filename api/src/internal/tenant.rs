//! `GET /internal/tenants/{id}`: all about one tenant on one page.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use painel_shared::{
    db::{InternalScope, TenantScope},
    time::{Timestamp, millis},
};
use serde::Serialize;
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
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
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
    let compute = async {
        let recent = async |scope: &mut InternalScope| events::recent_of_tenant(scope, tenant, RECENT).await;
        let recent = panel.in_internal(recent).await?;
        panel.in_tenant(tenant, async |scope| find(scope, recent.clone()).await).await
    };
    panel.answers.answer(&request, question, compute).await
}

/// Asked in the tenant's own scope, so that nothing of another tenant can be on the page.
async fn find(scope: &mut TenantScope, recent_events: Vec<EventView>) -> Result<TenantPage, ApiError> {
    Ok(TenantPage {
        tenant: detail(scope).await?,
        users: users(scope).await?,
        agents: agents(scope).await?,
        integrations: integrations(scope).await?,
        usage_summary: usage_summary(scope).await?,
        recent_incidents: incidents(scope).await?,
        recent_events,
    })
}

async fn detail(scope: &mut TenantScope) -> Result<TenantDetail, ApiError> {
    let tenant = scope.tenant().uuid();
    let row = sqlx::query!(
        "SELECT id, name, cnpj, segment, plan, status, mrr_estimate_cents, created_at, updated_at
         FROM tenants WHERE id = $1",
        tenant,
    )
    .fetch_optional(scope.connection())
    .await?
    .ok_or(ApiError::NotFound(None))?;
    Ok(TenantDetail {
        id: row.id,
        name: row.name,
        cnpj: row.cnpj,
        segment: row.segment,
        plan: row.plan,
        status: row.status,
        mrr_estimate: reais(row.mrr_estimate_cents),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

async fn users(scope: &mut TenantScope) -> Result<Vec<User>, ApiError> {
    let tenant = scope.tenant().uuid();
    let users = sqlx::query_as!(
        User,
        "SELECT id, email, full_name, role, last_login_at FROM tenant_users
         WHERE tenant_id = $1 ORDER BY full_name, id",
        tenant,
    );
    Ok(users.fetch_all(scope.connection()).await?)
}

async fn agents(scope: &mut TenantScope) -> Result<Vec<Agent>, ApiError> {
    let (tenant, days) = (scope.tenant().uuid(), Period::Month.days());
    let rows = sqlx::query!(
        r#"SELECT a.id, a.name, ta.status, ta.activated_at, u.total AS "total!", u.successful AS "successful!"
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id,
           LATERAL (
               SELECT COALESCE(sum(total_requests), 0)::bigint AS total,
                      COALESCE(sum(successful_requests), 0)::bigint AS successful
               FROM tenant_usage_daily d
               WHERE d.tenant_id = ta.tenant_id AND d.agent_id = ta.agent_id AND d.date BETWEEN $2 AND $3
           ) AS u
           WHERE ta.tenant_id = $1 ORDER BY a.name, a.id"#,
        tenant,
        days.first,
        days.last,
    )
    .fetch_all(scope.connection())
    .await?;
    let agents = rows.into_iter().map(|row| Agent {
        id: row.id,
        name: row.name,
        status: row.status,
        activated_at: row.activated_at,
        usage_last_30_days: AgentUsage { total_requests: row.total, success_rate: rate(row.successful, row.total) },
    });
    Ok(agents.collect())
}

async fn integrations(scope: &mut TenantScope) -> Result<Vec<Integration>, ApiError> {
    let tenant = scope.tenant().uuid();
    let integrations = sqlx::query_as!(
        Integration,
        "SELECT id, type, name, status, last_sync_at FROM tenant_integrations WHERE tenant_id = $1 ORDER BY name, id",
        tenant,
    );
    Ok(integrations.fetch_all(scope.connection()).await?)
}

async fn usage_summary(scope: &mut TenantScope) -> Result<UsageSummary, ApiError> {
    let (tenant, DayRange { first, last }) = (scope.tenant().uuid(), Period::Month.days());
    let row = sqlx::query!(
        r#"SELECT COALESCE(sum(total_requests) FILTER (WHERE date >= $4), 0)::bigint AS "week!",
                  COALESCE(sum(total_requests), 0)::bigint AS "month!",
                  COALESCE(sum(successful_requests), 0)::bigint AS "successful!"
           FROM tenant_usage_daily WHERE tenant_id = $1 AND date BETWEEN $2 AND $3"#,
        tenant,
        first,
        last,
        Period::Week.days().first,
    )
    .fetch_one(scope.connection())
    .await?;
    Ok(UsageSummary {
        requests_last_7_days: row.week,
        requests_last_30_days: row.month,
        success_rate_last_30_days: rate(row.successful, row.month),
    })
}

async fn incidents(scope: &mut TenantScope) -> Result<Vec<Incident>, ApiError> {
    let tenant = scope.tenant().uuid();
    let incidents = sqlx::query_as!(
        Incident,
        "SELECT i.id, i.severity, i.title, i.created_at
         FROM incidents i JOIN incident_tenants hit ON hit.incident_id = i.id
         WHERE hit.tenant_id = $1 ORDER BY i.created_at DESC, i.id DESC LIMIT $2",
        tenant,
        RECENT,
    );
    Ok(incidents.fetch_all(scope.connection()).await?)
}
