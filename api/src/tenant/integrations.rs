//! `GET /tenant/integrations`: what the tenant has connected. Credentials are not readable here at all.

use actix_web::HttpResponse;
use painel_shared::{ids::TenantId, statement};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    cache::{CacheTag, Lifetime},
    openapi::ReadProblems,
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// The integrations.
#[derive(Debug, Serialize, ToSchema)]
pub struct Integrations {
    pub(crate) integrations: Vec<Integration>,
}

/// An integration.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Integration {
    pub(crate) id: Uuid,
    pub(crate) r#type: String,
    pub(crate) name: String,
    /// `active`, `inactive`, `error` or `pending` (it must reconnect).
    pub(crate) status: String,
    pub(crate) last_sync_at: Option<Time>,
    pub(crate) last_error: Option<String>,
    /// By which a token can be recognised, and not found out.
    pub(crate) token_fingerprint: Option<String>,
    pub(crate) token_rotated_at: Option<Time>,
}

/// The tenant's integrations.
#[utoipa::path(
    get, path = "/tenant/integrations", tag = "tenant",
    params(("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one.")),
    responses((status = 200, body = Integrations), ReadProblems),
)]
pub async fn list(read: Read<IntegrationsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A tenant's integrations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntegrationsQuery {
    tenant: TenantId,
}

statement!(
    INTEGRATIONS: Integration =
        r#"SELECT id, type, name, status, last_sync_at AS "last_sync_at: Time", last_error, token_fingerprint,
                  token_rotated_at AS "token_rotated_at: Time"
           FROM tenant_integrations WHERE tenant_id = $1 ORDER BY name, id"#,
    Uuid::nil(),
);

impl Query for IntegrationsQuery {
    type Answer = Integrations;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, _) = asked.of_tenant()?;
        Ok(Self { tenant })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tenant(self.tenant)
    }

    fn lifetime(_: &Integrations) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Integrations, ApiError> {
        let asked = INTEGRATIONS.bind([self.tenant.into()]);
        Ok(Integrations { integrations: state.ask_as_tenant(self.tenant, asked).await? })
    }
}
