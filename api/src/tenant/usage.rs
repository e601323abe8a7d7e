//! `GET /tenant/usage`: what the tenant used in a period, by day and by agent.
//!
//! One statement reads a row an agent and day; they are added up here, the histograms too, so that every
//! percentile is of the requests themselves.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use chrono::NaiveDate;
use painel_shared::{commands::Fault, db::Known, histogram::LatencyHistogram, ids::TenantId, statement};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    cache::{CacheTag, Lifetime},
    figures::{Percentiles, average, rate},
    openapi::ReadProblems,
    period::{DayRange, Period},
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
};

/// Usage in a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    /// `7d`, `30d` or `90d`: so many closed days, ending yesterday.
    pub(crate) period: &'static str,
    pub(crate) summary: Summary,
    /// The same of as many days before them; null where nothing is known of before those.
    pub(crate) previous: Option<Summary>,
    /// Every day of the period, also those without a request.
    pub(crate) daily_data: Vec<DayUsage>,
    /// Busiest first.
    pub(crate) by_agent: Vec<AgentUsage>,
}

/// The whole period.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageOfPeriod)]
pub struct Summary {
    pub(crate) total_requests: i64,
    pub(crate) successful_requests: i64,
    pub(crate) failed_requests: i64,
    /// Per cent.
    pub(crate) success_rate: f64,
    pub(crate) avg_response_time_ms: f64,
    #[serde(flatten)]
    pub(crate) percentiles: Percentiles,
    pub(crate) total_tokens_used: i64,
}

/// One day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageOfDay)]
pub struct DayUsage {
    pub(crate) date: NaiveDate,
    pub(crate) total_requests: i64,
    pub(crate) successful_requests: i64,
    pub(crate) failed_requests: i64,
    pub(crate) avg_response_time_ms: f64,
    #[serde(flatten)]
    pub(crate) percentiles: Percentiles,
    pub(crate) total_tokens_used: i64,
}

/// One agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageOfAgent)]
pub struct AgentUsage {
    pub(crate) agent_id: Uuid,
    pub(crate) agent_name: String,
    pub(crate) total_requests: i64,
    /// Per cent.
    pub(crate) success_rate: f64,
    pub(crate) avg_response_time_ms: f64,
    #[serde(flatten)]
    pub(crate) percentiles: Percentiles,
    pub(crate) total_tokens_used: i64,
}

/// The tenant's usage.
#[utoipa::path(
    get, path = "/tenant/usage", tag = "tenant",
    params(
        ("period" = Option<Period>, Query, description = "By default 30d."),
        ("agent_id" = Option<Uuid>, Query, description = "Only this agent of the tenant."),
        ("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one."),
    ),
    responses((status = 200, body = Usage), ReadProblems),
)]
pub async fn show(read: Read<UsageQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A tenant's usage on the days of a period, of one agent or of all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UsageQuery {
    tenant: TenantId,
    period: Period,
    days: DayRange,
    agent: Option<Uuid>,
}

/// What can be added up.
#[derive(Default)]
struct Sum {
    total: i64,
    successful: i64,
    failed: i64,
    time: f64,
    tokens: i64,
    latency: LatencyHistogram,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        self.total += row.total_requests;
        self.successful += row.successful_requests;
        self.failed += row.failed_requests;
        self.time += row.time;
        self.tokens += row.total_tokens_used;
        self.latency.add_stored(&row.latency_buckets, &row.latency_counts);
    }

    fn merge(&mut self, other: &Self) {
        self.total += other.total;
        self.successful += other.successful;
        self.failed += other.failed;
        self.time += other.time;
        self.tokens += other.tokens;
        self.latency.merge(&other.latency);
    }
}

#[derive(FromRow)]
struct Row {
    agent_id: Uuid,
    agent_name: String,
    date: NaiveDate,
    total_requests: i64,
    successful_requests: i64,
    failed_requests: i64,
    time: f64,
    total_tokens_used: i64,
    latency_buckets: Vec<i16>,
    latency_counts: Vec<i32>,
}

statement!(
    USAGE: Row = r#"SELECT d.agent_id, a.name AS agent_name, d.date, d.total_requests, d.successful_requests, d.failed_requests,
                  d.avg_response_time_ms * d.total_requests AS "time!", d.total_tokens_used,
                  d.latency_buckets, d.latency_counts
           FROM tenant_usage_daily d JOIN agents a ON a.id = d.agent_id
           WHERE d.tenant_id = $1 AND d.date BETWEEN $2 AND $3 AND ($4::uuid IS NULL OR d.agent_id = $4)"#,
    Uuid::nil(),
    NaiveDate::MIN,
    NaiveDate::MIN,
    None::<Uuid>,
);

statement!(
    USED_BEFORE: Known =
        "SELECT agent_id AS id FROM tenant_usage_daily
         WHERE tenant_id = $1 AND date < $2 AND ($3::uuid IS NULL OR agent_id = $3) LIMIT 1",
    Uuid::nil(),
    NaiveDate::MIN,
    None::<Uuid>,
);

statement!(
    RENTED: Known =
        "SELECT agent_id AS id FROM tenant_agents WHERE tenant_id = $1 AND ($2::uuid IS NULL OR agent_id = $2) LIMIT 1",
    Uuid::nil(),
    None::<Uuid>,
);

impl Query for UsageQuery {
    type Answer = Usage;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, fields) = asked.of_tenant()?;
        let period = Period::read(fields);
        Ok(Self { tenant, period, days: period.days(), agent: fields.uuid("agent_id") })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tenant(self.tenant)
    }

    fn lifetime(_: &Usage) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Usage, ApiError> {
        let Self { tenant, period, days, agent } = *self;
        let of = |days: DayRange| USAGE.bind([tenant.into(), days.first.into(), days.last.into(), agent.into()]);
        let rented = RENTED.bind([tenant.into(), agent.into()]);
        let before = days.before();
        let used_before = USED_BEFORE.bind([tenant.into(), before.first.into(), agent.into()]);
        let batch = (rented, of(days), of(before), used_before);
        let (rented, rows, before, used_before) = state.ask_as_tenant(tenant, batch).await?;
        // A period in whose midst everything began is no measure of the next one.
        let before = if used_before.is_empty() { Vec::new() } else { before };
        // An agent that the tenant does not rent does not exist for it.
        if agent.is_some() && rented.is_empty() {
            return Err(ApiError::missing("agent_id", Fault::NotFound { what: "agent of this tenant" }));
        }
        Ok(add_up(period, days, &rows, &before))
    }
}

fn add_up(period: Period, days: DayRange, rows: &[Row], rows_before: &[Row]) -> Usage {
    let mut whole = Sum::default();
    let mut by_day: BTreeMap<NaiveDate, Sum> = days.iter().map(|day| (day, Sum::default())).collect();
    let mut by_agent: BTreeMap<Uuid, (&str, Sum)> = BTreeMap::new();
    for row in rows {
        by_day.entry(row.date).or_default().add(row);
        by_agent.entry(row.agent_id).or_insert_with(|| (&row.agent_name, Sum::default())).1.add(row);
    }
    // Each request is of one day.
    by_day.values().for_each(|day| whole.merge(day));
    let mut before = Sum::default();
    rows_before.iter().for_each(|row| before.add(row));
    let mut by_agent: Vec<AgentUsage> = by_agent.into_iter().map(agent_usage).collect();
    by_agent.sort_by(|a, b| b.total_requests.cmp(&a.total_requests).then_with(|| a.agent_name.cmp(&b.agent_name)));
    Usage {
        period: period.as_str(),
        summary: summary(&whole),
        previous: (before.total > 0).then(|| summary(&before)),
        daily_data: by_day.into_iter().map(day_usage).collect(),
        by_agent,
    }
}

fn summary(sum: &Sum) -> Summary {
    Summary {
        total_requests: sum.total,
        successful_requests: sum.successful,
        failed_requests: sum.failed,
        success_rate: rate(sum.successful, sum.total),
        avg_response_time_ms: average(sum.time, sum.total),
        percentiles: Percentiles::of(&sum.latency),
        total_tokens_used: sum.tokens,
    }
}

fn day_usage((date, sum): (NaiveDate, Sum)) -> DayUsage {
    DayUsage {
        date,
        total_requests: sum.total,
        successful_requests: sum.successful,
        failed_requests: sum.failed,
        avg_response_time_ms: average(sum.time, sum.total),
        percentiles: Percentiles::of(&sum.latency),
        total_tokens_used: sum.tokens,
    }
}

fn agent_usage((agent_id, (agent_name, sum)): (Uuid, (&str, Sum))) -> AgentUsage {
    AgentUsage {
        agent_id,
        agent_name: agent_name.to_owned(),
        total_requests: sum.total,
        success_rate: rate(sum.successful, sum.total),
        avg_response_time_ms: average(sum.time, sum.total),
        percentiles: Percentiles::of(&sum.latency),
        total_tokens_used: sum.tokens,
    }
}
