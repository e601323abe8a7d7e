//! `GET /tenant/incidents`: what went wrong for the tenant, newest first.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use painel_shared::{
    ids::TenantId,
    statement,
    time::{Timestamp, millis},
};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::Caller,
    caching::{About, Question},
    openapi::ReadProblems,
    panel::Panel,
    problem::ApiError,
    query::{Page, QueryFields},
};

/// How long an answer is good.
const ONE_MINUTE: Duration = Duration::from_secs(60);
const PAGE: u32 = 20;

/// A page of incidents.
#[derive(Debug, Serialize, ToSchema)]
pub struct Incidents {
    incidents: Vec<Incident>,
    /// How many there are on all pages.
    total: i64,
}

/// An incident.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Incident {
    id: Uuid,
    /// `info`, `warning`, `error` or `critical`.
    severity: String,
    title: String,
    description: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "millis::option")]
    resolved_at: Option<Timestamp>,
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
pub async fn list(caller: Caller, request: HttpRequest, panel: Data<Panel>) -> Result<HttpResponse, ApiError> {
    let mut fields = QueryFields::of(&request)?;
    let tenant = caller.tenant_asked(&mut fields)?;
    let page = Page::read(&mut fields, PAGE);
    fields.finish()?;
    let question =
        Question { about: About::Tenant(tenant), text: format!("incidents {page:?}"), max_age: ONE_MINUTE };
    panel.answers.answer(&request, question, find(&panel, tenant, page)).await
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
        "SELECT i.id, i.severity, i.title, i.description, i.created_at, i.resolved_at
         FROM incidents i JOIN incident_tenants hit ON hit.incident_id = i.id
         WHERE hit.tenant_id = $1
         ORDER BY i.created_at DESC, i.id DESC LIMIT $2 OFFSET $3",
    Uuid::nil(),
    0,
    0,
);

async fn find(panel: &Panel, tenant: TenantId, page: Page) -> Result<Incidents, ApiError> {
    let total = TOTAL.bind([tenant.into()]);
    let page = PAGE_OF.bind([tenant.into(), page.limit.into(), page.offset.into()]);
    let (totals, incidents) = panel.ask_as_tenant(tenant, (total, page)).await?;
    Ok(Incidents { incidents, total: totals.first().map_or(0, |row| row.total) })
}
