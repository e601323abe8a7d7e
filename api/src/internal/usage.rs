//! `GET /internal/usage/overview`: what all tenants together used in a period.
//!
//! Read from what the rollup has added up a day: for the platform, its histogram too, for each tenant, for each agent.

use std::time::Duration;

use actix_web::HttpResponse;
use chrono::NaiveDate;
use painel_shared::{histogram::LatencyHistogram, statement};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    cache::{CacheTag, Lifetime},
    figures::{Percentiles, average_of, rate},
    openapi::ReadProblems,
    period::{DayRange, Period},
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
};

/// How long an answer is good.
const TEN_MINUTES: Lifetime = Lifetime::Private(Duration::from_secs(600));
/// How many are the top.
const TOP: i64 = 10;

/// Usage of the platform.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    pub(crate) period: &'static str,
    pub(crate) global_stats: GlobalStats,
    /// What was done on as many days before them; null where nothing is known of before those.
    pub(crate) previous: Option<PeriodStats>,
    /// The ten busiest.
    pub(crate) top_tenants_by_usage: Vec<TopTenant>,
    /// The ten busiest.
    pub(crate) top_agents_by_usage: Vec<TopAgent>,
    /// Every day of the period, also those without a request.
    pub(crate) daily_trends: Vec<DayTrend>,
}

/// All tenants together.
#[derive(Debug, Serialize, ToSchema)]
pub struct GlobalStats {
    pub(crate) total_tenants: i64,
    /// Tenants whose status is active.
    pub(crate) active_tenants: i64,
    /// Agents that tenants use, counted once a tenant.
    pub(crate) total_agents_deployed: i64,
    #[serde(flatten)]
    pub(crate) of_period: PeriodStats,
}

/// What was done on the days of a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodStats {
    pub(crate) total_requests: i64,
    /// Per cent.
    pub(crate) global_success_rate: f64,
    pub(crate) avg_response_time_ms: f64,
    #[serde(flatten)]
    pub(crate) percentiles: Percentiles,
}

/// A busy tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopTenant {
    pub(crate) tenant_id: Uuid,
    pub(crate) tenant_name: String,
    pub(crate) total_requests: i64,
    /// Per cent.
    pub(crate) success_rate: f64,
}

/// A busy agent of the catalogue.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct TopAgent {
    pub(crate) agent_id: Uuid,
    pub(crate) agent_name: String,
    pub(crate) total_requests: i64,
    /// How many tenants use it.
    pub(crate) deployed_count: i64,
}

/// One day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayTrend {
    pub(crate) date: NaiveDate,
    pub(crate) total_requests: i64,
    /// Per cent.
    pub(crate) success_rate: f64,
    /// Tenants that had a request.
    pub(crate) active_tenants: i64,
}

/// The platform's usage.
#[utoipa::path(
    get, path = "/internal/usage/overview", tag = "internal",
    params(("period" = Option<Period>, Query, description = "By default 30d.")),
    responses((status = 200, body = Overview), ReadProblems),
)]
pub async fn overview(read: Read<OverviewQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// The platform's usage on the days of a period.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OverviewQuery {
    period: Period,
    days: DayRange,
}

#[derive(FromRow)]
struct Deployed {
    tenants: i64,
    active: i64,
    agents: i64,
}

statement!(
    DEPLOYED: Deployed =
        r#"SELECT (SELECT count(*) FROM tenants) AS "tenants!",
                  (SELECT count(*) FROM tenants WHERE status = 'active') AS "active!",
                  (SELECT count(*) FROM tenant_agents WHERE status = 'active') AS "agents!""#,
);

#[derive(FromRow)]
struct Day {
    date: NaiveDate,
    total_requests: i64,
    successful_requests: i64,
    total_response_time_ms: i64,
    active_tenants: i64,
    latency_buckets: Vec<i16>,
    latency_counts: Vec<i64>,
}

statement!(
    DAYS: Day =
        "SELECT date, total_requests, successful_requests, total_response_time_ms, active_tenants, latency_buckets,
                latency_counts
         FROM platform_usage_daily WHERE date BETWEEN $1 AND $2 ORDER BY date",
    NaiveDate::MIN,
    NaiveDate::MIN,
);

#[derive(FromRow)]
struct KnownDay {
    #[expect(dead_code, reason = "that there is one says all")]
    date: NaiveDate,
}

statement!(
    KNOWN_BEFORE: KnownDay = "SELECT date FROM platform_usage_daily WHERE date < $1 LIMIT 1",
    NaiveDate::MIN,
);

#[derive(FromRow)]
struct Busy {
    id: Uuid,
    name: String,
    total: i64,
    successful: i64,
}

statement!(
    TOP_TENANTS: Busy =
        r#"SELECT t.id, t.name, u.total AS "total!", u.successful AS "successful!"
           FROM (
               SELECT tenant_id, sum(total_requests)::bigint AS total, sum(successful_requests)::bigint AS successful
               FROM tenant_usage_totals WHERE date BETWEEN $1 AND $2 GROUP BY tenant_id
           ) u JOIN tenants t ON t.id = u.tenant_id
           ORDER BY u.total DESC, t.name, t.id LIMIT $3"#,
    NaiveDate::MIN,
    NaiveDate::MIN,
    0,
);

statement!(
    TOP_AGENTS: TopAgent =
        r#"SELECT a.id AS agent_id, a.name AS agent_name, u.total AS "total_requests!",
                  (SELECT count(*) FROM tenant_agents ta WHERE ta.agent_id = a.id AND ta.status = 'active')
                      AS "deployed_count!"
           FROM (
               SELECT agent_id, sum(total_requests)::bigint AS total
               FROM agent_usage_totals WHERE date BETWEEN $1 AND $2 GROUP BY agent_id
           ) u JOIN agents a ON a.id = u.agent_id
           ORDER BY u.total DESC, a.name, a.id LIMIT $3"#,
    NaiveDate::MIN,
    NaiveDate::MIN,
    0,
);

impl Query for OverviewQuery {
    type Answer = Overview;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let period = Period::read(asked.by_operator()?);
        Ok(Self { period, days: period.days() })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Platform
    }

    fn lifetime(_: &Overview) -> Lifetime {
        TEN_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Overview, ApiError> {
        let DayRange { first, last } = self.days;
        let of = |days: DayRange| DAYS.bind([days.first.into(), days.last.into()]);
        let batch = (
            DEPLOYED.bind([]),
            of(self.days),
            of(self.days.before()),
            KNOWN_BEFORE.bind([self.days.before().first.into()]),
            TOP_TENANTS.bind([first.into(), last.into(), TOP.into()]),
            TOP_AGENTS.bind([first.into(), last.into(), TOP.into()]),
        );
        let (mut deployed, days, before, known, tenants, agents) = state.stores.db.ask_as_operator(&batch).await?;
        let deployed = deployed.pop().unwrap_or(Deployed { tenants: 0, active: 0, agents: 0 });
        Ok(Overview {
            period: self.period.as_str(),
            global_stats: GlobalStats {
                total_tenants: deployed.tenants,
                active_tenants: deployed.active,
                total_agents_deployed: deployed.agents,
                of_period: period_stats(&days),
            },
            // A period in whose midst everything began is no measure of the next one.
            previous: (!known.is_empty()).then(|| period_stats(&before)).filter(|stats| stats.total_requests > 0),
            top_tenants_by_usage: tenants.into_iter().map(top_tenant).collect(),
            top_agents_by_usage: agents,
            daily_trends: daily_trends(self.days, &days),
        })
    }
}

fn period_stats(days: &[Day]) -> PeriodStats {
    let sum = |of: fn(&Day) -> i64| days.iter().map(of).sum::<i64>();
    let total = sum(|day| day.total_requests);
    let mut latency = LatencyHistogram::default();
    for day in days {
        latency.add_stored(&day.latency_buckets, &day.latency_counts);
    }
    PeriodStats {
        total_requests: total,
        global_success_rate: rate(sum(|day| day.successful_requests), total),
        avg_response_time_ms: average_of(sum(|day| day.total_response_time_ms), total),
        percentiles: Percentiles::of(&latency),
    }
}

fn top_tenant(row: Busy) -> TopTenant {
    TopTenant {
        tenant_id: row.id,
        tenant_name: row.name,
        total_requests: row.total,
        success_rate: rate(row.successful, row.total),
    }
}

fn daily_trends(days: DayRange, found: &[Day]) -> Vec<DayTrend> {
    let trend = |date| {
        let day = found.iter().find(|day| day.date == date);
        let (total, successful) = day.map_or((0, 0), |day| (day.total_requests, day.successful_requests));
        DayTrend {
            date,
            total_requests: total,
            success_rate: rate(successful, total),
            active_tenants: day.map_or(0, |day| day.active_tenants),
        }
    };
    days.iter().map(trend).collect()
}
