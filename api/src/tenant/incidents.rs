//! `GET /tenant/incidents`: what went wrong for the tenant, newest first.

use std::time::Duration;

use actix_web::HttpResponse;
use painel_shared::{ids::TenantId, statement};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    cache::{CacheTag, Lifetime},
    openapi::ReadProblems,
    problem::ApiError,
    query::Page,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// How long an answer is good.
const ONE_MINUTE: Lifetime = Lifetime::Private(Duration::from_secs(60));
const PAGE: u32 = 20;

/// A page of incidents.
#[derive(Debug, Serialize, ToSchema)]
pub struct Incidents {
    pub(crate) incidents: Vec<Incident>,
    /// How many there are on all pages.
    pub(crate) total: i64,
}

/// An incident.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Incident {
    pub(crate) id: Uuid,
    /// `info`, `warning`, `error` or `critical`.
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) created_at: Time,
    pub(crate) resolved_at: Option<Time>,
}

/// The tenant's incidents.
#[utoipa::path(
    get, path = "/tenant/incidents", tag = "tenant",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 20."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
        ("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one."),
    ),
    responses((status = 200, body = Incidents), ReadProblems),
)]
pub async fn list(read: Read<IncidentsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of a tenant's incidents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IncidentsQuery {
    tenant: TenantId,
    page: Page,
}

#[derive(FromRow)]
struct Total {
    total: i64,
}

statement!(
    TOTAL: Total = r#"SELECT count(*) AS "total!" FROM incident_tenants WHERE tenant_id = $1"#,
    Uuid::nil(),
);

statement!(
    PAGE_OF: Incident =
        r#"SELECT i.id, i.severity, i.title, i.description, i.created_at AS "created_at: Time",
                  i.resolved_at AS "resolved_at: Time"
           FROM incidents i JOIN incident_tenants hit ON hit.incident_id = i.id
           WHERE hit.tenant_id = $1
           ORDER BY i.created_at DESC, i.id DESC LIMIT $2 OFFSET $3"#,
    Uuid::nil(),
    0,
    0,
);

impl Query for IncidentsQuery {
    type Answer = Incidents;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, fields) = asked.of_tenant()?;
        Ok(Self { tenant, page: Page::read(fields, PAGE) })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tenant(self.tenant)
    }

    fn lifetime(_: &Incidents) -> Lifetime {
        ONE_MINUTE
    }

    async fn compute(&self, state: &AppState) -> Result<Incidents, ApiError> {
        let Self { tenant, page } = *self;
        let total = TOTAL.bind([tenant.into()]);
        let page = PAGE_OF.bind([tenant.into(), page.limit.into(), page.offset.into()]);
        let (totals, incidents) = state.ask_as_tenant(tenant, (total, page)).await?;
        Ok(Incidents { incidents, total: totals.first().map_or(0, |row| row.total) })
    }
}
