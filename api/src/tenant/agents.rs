//! `GET /tenant/agents`: the agents that the tenant rents, and how they did in thirty days.

use actix_web::HttpResponse;
use chrono::NaiveDate;
use painel_shared::{db::Known, ids::TenantId, statement};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    cache::{CacheTag, Lifetime},
    figures::{average, rate},
    filters::StatusFilter,
    openapi::ReadProblems,
    period::{DayRange, Period},
    problem::ApiError,
    query::{After, List},
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// How many agents a page shows that says nothing else.
pub const LARGEST_PAGE: u32 = 100;

/// The agents.
#[derive(Debug, Serialize, ToSchema)]
pub struct Agents {
    pub(crate) agents: Vec<Agent>,
    /// Where the next page begins; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// An agent that the tenant rents.
#[derive(Debug, Serialize, ToSchema)]
pub struct Agent {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) segment: String,
    pub(crate) status: String,
    pub(crate) activated_at: Time,
    pub(crate) usage_last_30_days: AgentUsage,
}

/// What it did.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentUsage {
    pub(crate) total_requests: i64,
    /// Per cent.
    pub(crate) success_rate: f64,
    pub(crate) avg_response_time_ms: f64,
}

/// The tenant's agents.
#[utoipa::path(
    get, path = "/tenant/agents", tag = "tenant",
    params(
        ("status" = Option<StatusFilter>, Query, description = "By default active."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 100."),
        ("cursor" = Option<String>, Query, description = "The next_cursor of an earlier answer to the same question."),
        ("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one."),
    ),
    responses((status = 200, body = Agents), ReadProblems),
)]
pub async fn list(read: Read<AgentsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A tenant's agents in some state, and what they did on some days.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentsQuery {
    tenant: TenantId,
    status: StatusFilter,
    page: After,
    days: DayRange,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    segment: String,
    status: String,
    activated_at: Time,
    total: i64,
    successful: i64,
    time: f64,
}

statement!(
    AGENTS: Row =
        r#"SELECT a.id, a.name, a.segment, ta.status, ta.activated_at AS "activated_at: Time", u.total AS "total!",
                  u.successful AS "successful!", u.time AS "time!"
           FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id, agent_usage(ta.tenant_id, ta.agent_id, $3, $4) u
           WHERE ta.tenant_id = $1 AND ($2::text IS NULL OR ta.status = $2)
             AND ($5::uuid IS NULL OR (a.name, a.id) > (SELECT name, id FROM agents WHERE id = $5))
           ORDER BY a.name, a.id LIMIT $6"#,
    Uuid::nil(),
    None::<String>,
    NaiveDate::MIN,
    NaiveDate::MIN,
    None::<Uuid>,
    0,
);

statement!(
    /// Whether there is such an agent: what a page goes on behind.
    pub AGENT: Known = "SELECT id FROM agents WHERE id = $1",
    None::<Uuid>,
);

impl Query for AgentsQuery {
    type Answer = Agents;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, fields) = asked.of_tenant()?;
        let status = StatusFilter::read(fields);
        let page = After::read(fields, LARGEST_PAGE, List::new("agents", &(tenant, status)));
        Ok(Self { tenant, status, page, days: Period::Month.days() })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tenant(self.tenant)
    }

    fn lifetime(_: &Agents) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Agents, ApiError> {
        let Self { tenant, status, page, days } = *self;
        let asked = AGENTS.bind([
            tenant.into(),
            status.wanted().into(),
            days.first.into(),
            days.last.into(),
            page.after.into(),
            page.one_more().into(),
        ]);
        let (known, mut rows) = state.ask_as_tenant(tenant, (AGENT.bind([page.after.into()]), asked)).await?;
        page.check(&known)?;
        let next_cursor = page.cut(&mut rows, |row| row.id);
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
        Ok(Agents { agents: agents.collect(), next_cursor })
    }
}
