//! `GET /internal/tenants/{id}`: all about one tenant on one page.

use actix_web::HttpResponse;
use chrono::NaiveDate;
use painel_shared::{ids::TenantId, statement};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    FIVE_MINUTES,
    events::{self, EventView},
};
use crate::{
    cache::{CacheTag, Lifetime},
    figures::{Reais, rate},
    openapi::ReadProblems,
    period::{DayRange, Period},
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// How many incidents and events are shown.
const RECENT: i64 = 10;

/// A tenant and what belongs to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantPage {
    pub(crate) tenant: TenantDetail,
    pub(crate) users: Vec<User>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) integrations: Vec<Integration>,
    pub(crate) usage_summary: UsageSummary,
    /// The newest ten.
    pub(crate) recent_incidents: Vec<Incident>,
    /// The newest ten of the audit log.
    pub(crate) recent_events: Vec<EventView>,
}

/// The tenant.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct TenantDetail {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) cnpj: String,
    pub(crate) segment: String,
    pub(crate) plan: String,
    pub(crate) status: String,
    pub(crate) mrr_estimate: Reais,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

/// One of its people.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = TenantUser)]
pub struct User {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) full_name: String,
    pub(crate) role: String,
    pub(crate) last_login_at: Option<Time>,
}

/// One of its agents.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantPageAgent)]
pub struct Agent {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) activated_at: Time,
    pub(crate) usage_last_30_days: AgentUsage,
}

/// What it did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantPageAgentUsage)]
pub struct AgentUsage {
    pub(crate) total_requests: i64,
    pub(crate) success_rate: f64,
}

/// One of its integrations.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = TenantPageIntegration)]
pub struct Integration {
    pub(crate) id: Uuid,
    pub(crate) r#type: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) last_sync_at: Option<Time>,
}

/// What it used.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageSummary {
    pub(crate) requests_last_7_days: i64,
    pub(crate) requests_last_30_days: i64,
    pub(crate) success_rate_last_30_days: f64,
}

/// One of its incidents.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = TenantPageIncident)]
pub struct Incident {
    pub(crate) id: Uuid,
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) created_at: Time,
}

/// One tenant.
#[utoipa::path(
    get, path = "/internal/tenants/{id}", tag = "internal",
    params(("id" = Uuid, Path, description = "The tenant.")),
    responses((status = 200, body = TenantPage), ReadProblems),
)]
pub async fn show(read: Read<TenantQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A tenant, and what it did on some days.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantQuery {
    tenant: TenantId,
    days: DayRange,
    week: DayRange,
}

statement!(
    DETAIL: TenantDetail =
        r#"SELECT id, name, cnpj, segment, plan, status, mrr_estimate_cents AS "mrr_estimate: Reais",
                  created_at AS "created_at: Time", updated_at AS "updated_at: Time"
           FROM tenants WHERE id = $1"#,
    Uuid::nil(),
);

statement!(
    USERS: User =
        r#"SELECT id, email, full_name, role, last_login_at AS "last_login_at: Time" FROM tenant_users
           WHERE tenant_id = $1 ORDER BY full_name, id"#,
    Uuid::nil(),
);

#[derive(FromRow)]
struct AgentRow {
    id: Uuid,
    name: String,
    status: String,
    activated_at: Time,
    total: i64,
    successful: i64,
}

statement!(
    AGENTS: AgentRow =
        r#"SELECT a.id, a.name, ta.status, ta.activated_at AS "activated_at: Time", u.total AS "total!",
                  u.successful AS "successful!"
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id, agent_usage(ta.tenant_id, ta.agent_id, $2, $3) u
           WHERE ta.tenant_id = $1 ORDER BY a.name, a.id"#,
    Uuid::nil(),
    NaiveDate::MIN,
    NaiveDate::MIN,
);

statement!(
    INTEGRATIONS: Integration =
        r#"SELECT id, type, name, status, last_sync_at AS "last_sync_at: Time"
           FROM tenant_integrations WHERE tenant_id = $1 ORDER BY name, id"#,
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
           FROM tenant_usage_totals WHERE tenant_id = $1 AND date BETWEEN $2 AND $3"#,
    Uuid::nil(),
    NaiveDate::MIN,
    NaiveDate::MIN,
    NaiveDate::MIN,
);

statement!(
    INCIDENTS: Incident =
        r#"SELECT i.id, i.severity, i.title, i.created_at AS "created_at: Time"
           FROM incidents i JOIN incident_tenants hit ON hit.incident_id = i.id
           WHERE hit.tenant_id = $1 ORDER BY i.created_at DESC, i.id DESC LIMIT $2"#,
    Uuid::nil(),
    0,
);

impl Query for TenantQuery {
    type Answer = TenantPage;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, _) = asked.by_operator_about("id")?;
        Ok(Self { tenant: tenant.into(), days: Period::Month.days(), week: Period::Week.days() })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tenant(self.tenant)
    }

    fn lifetime(_: &TenantPage) -> Lifetime {
        FIVE_MINUTES
    }

    /// Asked as the tenant itself, so that nothing of another tenant can be on the page; but for the events, which tenants
    /// do not see.
    async fn compute(&self, state: &AppState) -> Result<TenantPage, ApiError> {
        let Self { tenant, days: DayRange { first, last }, week } = *self;
        let recent_events = events::recent_of_tenant(state, tenant, RECENT).await?;
        let batch = (
            DETAIL.bind([tenant.into()]),
            USERS.bind([tenant.into()]),
            AGENTS.bind([tenant.into(), first.into(), last.into()]),
            INTEGRATIONS.bind([tenant.into()]),
            SUMMARY.bind([tenant.into(), first.into(), last.into(), week.first.into()]),
            INCIDENTS.bind([tenant.into(), RECENT.into()]),
        );
        let answers = state.stores.db.ask_as_tenant(tenant, &batch).await?;
        let (mut details, users, agents, integrations, mut summaries, recent_incidents) = answers;
        let (Some(detail), Some(summary)) = (details.pop(), summaries.pop()) else {
            return Err(ApiError::NotFound(None));
        };
        Ok(TenantPage {
            tenant: detail,
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
}

fn agent(row: AgentRow) -> Agent {
    let usage_last_30_days =
        AgentUsage { total_requests: row.total, success_rate: rate(row.successful, row.total) };
    Agent { id: row.id, name: row.name, status: row.status, activated_at: row.activated_at, usage_last_30_days }
}
