//! `GET /internal/tenants/{id}/agents`: a tenant's agents, how they are set up and what they have done so far.

use actix_web::HttpResponse;
use painel_shared::{ids::TenantId, statement};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    cache::{CacheTag, Lifetime},
    figures::{average_of, rate},
    openapi::ReadProblems,
    problem::ApiError,
    query::{After, List},
    read::{Asked, Query, Read},
    state::AppState,
    tenant::agents::{AGENT, LARGEST_PAGE},
    time::Time,
};

/// The agents.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantAgents {
    pub(crate) agents: Vec<Agent>,
    /// Where the next page begins; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantAgent)]
pub struct Agent {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) status: String,
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    pub(crate) config: Value,
    pub(crate) activated_at: Time,
    pub(crate) deactivated_at: Option<Time>,
    pub(crate) usage_stats: UsageStats,
}

/// What it has done on all closed days.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageStats {
    pub(crate) total_requests: i64,
    /// Per cent.
    pub(crate) success_rate: f64,
    pub(crate) avg_response_time_ms: f64,
    pub(crate) last_request_at: Option<Time>,
}

/// A tenant's agents.
#[utoipa::path(
    get, path = "/internal/tenants/{id}/agents", tag = "internal",
    params(
        ("id" = Uuid, Path, description = "The tenant."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 100."),
        ("cursor" = Option<String>, Query, description = "The next_cursor of an earlier answer to the same question."),
    ),
    responses((status = 200, body = TenantAgents), ReadProblems),
)]
pub async fn list(read: Read<TenantAgentsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of a tenant's agents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantAgentsQuery {
    tenant: TenantId,
    page: After,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    status: String,
    config: Value,
    activated_at: Time,
    deactivated_at: Option<Time>,
    last_request_at: Option<Time>,
    total_requests: i64,
    total_errors: i64,
    total_response_time_ms: i64,
}

statement!(
    AGENTS: Row =
        r#"SELECT a.id, a.name, ta.status, ta.config, ta.activated_at AS "activated_at: Time",
                  ta.deactivated_at AS "deactivated_at: Time", ta.last_request_at AS "last_request_at: Time",
                  ta.total_requests, ta.total_errors, ta.total_response_time_ms
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id
           WHERE ta.tenant_id = $1
             AND ($2::uuid IS NULL OR (a.name, a.id) > (SELECT name, id FROM agents WHERE id = $2))
           ORDER BY a.name, a.id LIMIT $3"#,
    Uuid::nil(),
    None::<Uuid>,
    0,
);

impl Query for TenantAgentsQuery {
    type Answer = TenantAgents;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, fields) = asked.by_operator_about("id")?;
        let page = After::read(fields, LARGEST_PAGE, List::new("tenant's agents", &tenant));
        Ok(Self { tenant: tenant.into(), page })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tenant(self.tenant)
    }

    fn lifetime(_: &TenantAgents) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<TenantAgents, ApiError> {
        let Self { tenant, page } = *self;
        let asked = AGENTS.bind([tenant.into(), page.after.into(), page.one_more().into()]);
        let (known, mut rows) = state.ask_as_tenant(tenant, (AGENT.bind([page.after.into()]), asked)).await?;
        page.check(&known)?;
        let next_cursor = page.cut(&mut rows, |row| row.id);
        let agents = rows.into_iter().map(|row| Agent {
            id: row.id,
            name: row.name,
            status: row.status,
            config: row.config,
            activated_at: row.activated_at,
            deactivated_at: row.deactivated_at,
            usage_stats: UsageStats {
                total_requests: row.total_requests,
                success_rate: rate(row.total_requests - row.total_errors, row.total_requests),
                avg_response_time_ms: average_of(row.total_response_time_ms, row.total_requests),
                last_request_at: row.last_request_at,
            },
        });
        Ok(TenantAgents { agents: agents.collect(), next_cursor })
    }
}
