//! `GET /tenant/me`: the tenant, its limits, and how much of them is used.

use actix_web::HttpResponse;
use chrono::{Datelike, NaiveDate};
use painel_shared::{ids::TenantId, statement, time::today};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    cache::{CacheTag, Lifetime},
    figures::Reais,
    openapi::ReadProblems,
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// A tenant's account.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// Twelve digits or letters, and two check digits.
    pub(crate) cnpj: String,
    pub(crate) segment: String,
    pub(crate) plan: String,
    pub(crate) status: String,
    /// What the tenant pays a month, in BRL.
    pub(crate) mrr_estimate: Reais,
    pub(crate) created_at: Time,
    pub(crate) limits: PlanLimits,
    pub(crate) usage: PlanUsage,
}

/// What the plan allows.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanLimits {
    pub(crate) max_agents: i32,
    pub(crate) max_users: i32,
    pub(crate) max_requests_per_month: i64,
}

/// How much of it is used.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanUsage {
    pub(crate) active_agents: i64,
    pub(crate) active_users: i64,
    /// Requests of this month's closed days.
    pub(crate) requests_this_month: i64,
}

/// The caller's tenant.
#[utoipa::path(
    get, path = "/tenant/me", tag = "tenant",
    params(("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one.")),
    responses((status = 200, body = Me), ReadProblems),
)]
pub async fn show(read: Read<MeQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A tenant's account on a day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MeQuery {
    tenant: TenantId,
    today: NaiveDate,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    cnpj: String,
    segment: String,
    plan: String,
    status: String,
    mrr_estimate: Reais,
    created_at: Time,
    max_agents: i32,
    max_users: i32,
    max_requests_per_month: i64,
    active_agents: i64,
    active_users: i64,
    requests_this_month: i64,
}

statement!(
    ME: Row = r#"SELECT t.id, t.name, t.cnpj, t.segment, t.plan, t.status,
                  t.mrr_estimate_cents AS "mrr_estimate: Reais", t.created_at AS "created_at: Time",
                  p.max_agents, p.max_users, p.max_requests_per_month,
                  (SELECT count(*) FROM tenant_agents WHERE tenant_id = t.id AND status = 'active') AS "active_agents!",
                  (SELECT count(*) FROM tenant_users WHERE tenant_id = t.id AND status = 'active') AS "active_users!",
                  (SELECT COALESCE(sum(total_requests), 0)::bigint FROM tenant_usage_totals
                   WHERE tenant_id = t.id AND date >= $2) AS "requests_this_month!"
           FROM tenants t JOIN plans p ON p.name = t.plan
           WHERE t.id = $1"#,
    Uuid::nil(),
    NaiveDate::MIN,
);

impl Query for MeQuery {
    type Answer = Me;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, _) = asked.of_tenant()?;
        Ok(Self { tenant, today: today() })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tenant(self.tenant)
    }

    fn lifetime(_: &Me) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Me, ApiError> {
        let month = self.today.with_day(1).unwrap_or(self.today);
        let asked = ME.bind([self.tenant.into(), month.into()]);
        // A tenant that does not exist has no row.
        let row =
            state.stores.db.ask_as_tenant(self.tenant, &asked).await?.pop().ok_or(ApiError::NotFound(None))?;
        Ok(Me {
            id: row.id,
            name: row.name,
            cnpj: row.cnpj,
            segment: row.segment,
            plan: row.plan,
            status: row.status,
            mrr_estimate: row.mrr_estimate,
            created_at: row.created_at,
            limits: PlanLimits {
                max_agents: row.max_agents,
                max_users: row.max_users,
                max_requests_per_month: row.max_requests_per_month,
            },
            usage: PlanUsage {
                active_agents: row.active_agents,
                active_users: row.active_users,
                requests_this_month: row.requests_this_month,
            },
        })
    }
}
