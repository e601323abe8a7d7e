//! `GET /tenant/integrations`: what the tenant has connected. Credentials are not readable here at all.

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

use super::FIVE_MINUTES;
use crate::{
    auth::Caller,
    caching::{About, Question},
    openapi::ReadProblems,
    panel::Panel,
    problem::ApiError,
    query::QueryFields,
};

/// The integrations.
#[derive(Debug, Serialize, ToSchema)]
pub struct Integrations {
    integrations: Vec<Integration>,
}

/// An integration.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Integration {
    id: Uuid,
    r#type: String,
    name: String,
    /// `active`, `inactive`, `error` or `pending` (it must reconnect).
    status: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "millis::option")]
    last_sync_at: Option<Timestamp>,
    last_error: Option<String>,
    /// By which a token can be recognised, and not found out.
    token_fingerprint: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "millis::option")]
    token_rotated_at: Option<Timestamp>,
}

/// The tenant's integrations.
#[utoipa::path(
    get, path = "/tenant/integrations", tag = "tenant",
    params(("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one.")),
    responses((status = 200, body = Integrations), ReadProblems),
)]
pub async fn list(caller: Caller, request: HttpRequest, panel: Data<Panel>) -> Result<HttpResponse, ApiError> {
    let mut fields = QueryFields::of(&request)?;
    let tenant = caller.tenant_asked(&mut fields)?;
    fields.finish()?;
    let question =
        Question { about: About::Tenant(tenant), text: "integrations".to_owned(), max_age: FIVE_MINUTES };
    panel.answers.answer(&request, question, find(&panel, tenant)).await
}

statement!(
    INTEGRATIONS: Integration =
        "SELECT id, type, name, status, last_sync_at, last_error, token_fingerprint, token_rotated_at
         FROM tenant_integrations WHERE tenant_id = $1 ORDER BY name, id",
    Uuid::nil(),
);

async fn find(panel: &Panel, tenant: TenantId) -> Result<Integrations, ApiError> {
    let integrations = panel.ask_as_tenant(tenant, INTEGRATIONS.bind([tenant.into()])).await?;
    Ok(Integrations { integrations })
}
