//! `GET /internal/usage/overview`: what all tenants together used in a period.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web::Data};
use chrono::NaiveDate;
use painel_shared::{db::InternalScope, histogram::LatencyHistogram};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::Caller,
    caching::{About, Question},
    figures::{Percentiles, average, rate},
    openapi::ReadProblems,
    panel::Panel,
    period::{DayRange, Period},
    problem::ApiError,
    query::QueryFields,
};

/// How long an answer is good.
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// How many are the top.
const TOP: i64 = 10;

/// Usage of the platform.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    period: &'static str,
    global_stats: GlobalStats,
    /// The ten busiest.
    top_tenants_by_usage: Vec<TopTenant>,
    /// The ten busiest.
    top_agents_by_usage: Vec<TopAgent>,
    /// Every day of the period, also those without a request.
    daily_trends: Vec<DayTrend>,
}

/// All tenants together.
#[derive(Debug, Serialize, ToSchema)]
pub struct GlobalStats {
    total_tenants: i64,
    /// Tenants whose status is active.
    active_tenants: i64,
    /// Agents that tenants use, counted once a tenant.
    total_agents_deployed: i64,
    total_requests: i64,
    /// Per cent.
    global_success_rate: f64,
    avg_response_time_ms: f64,
    #[serde(flatten)]
    percentiles: Percentiles,
}

/// A busy tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopTenant {
    tenant_id: Uuid,
    tenant_name: String,
    total_requests: i64,
    /// Per cent.
    success_rate: f64,
}

/// A busy agent of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopAgent {
    agent_id: Uuid,
    agent_name: String,
    total_requests: i64,
    /// How many tenants use it.
    deployed_count: i64,
}

/// One day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DayTrend {
    date: NaiveDate,
    total_requests: i64,
    /// Per cent.
    success_rate: f64,
    /// Tenants that had a request.
    active_tenants: i64,
}

/// The platform's usage.
#[utoipa::path(
    get, path = "/internal/usage/overview", tag = "internal",
    params(("period" = Option<Period>, Query, description = "By default 30d.")),
    responses((status = 200, body = Overview), ReadProblems),
)]
pub async fn overview(caller: Caller, request: HttpRequest, panel: Data<Panel>) -> Result<HttpResponse, ApiError> {
    caller.require_internal()?;
    let mut fields = QueryFields::of(&request)?;
    let period = Period::read(&mut fields);
    fields.finish()?;
    let text = format!("overview {:?}", period.days());
    let question = Question { about: About::Everyone, text, max_age: TEN_MINUTES };
    panel.answers.answer(&request, question, panel.in_internal(async |scope| find(scope, period).await)).await
}

async fn find(scope: &mut InternalScope, period: Period) -> Result<Overview, ApiError> {
    let days = period.days();
    Ok(Overview {
        period: period.as_str(),
        global_stats: global_stats(scope, days).await?,
        top_tenants_by_usage: top_tenants(scope, days).await?,
        top_agents_by_usage: top_agents(scope, days).await?,
        daily_trends: daily_trends(scope, days).await?,
    })
}

async fn global_stats(scope: &mut InternalScope, days: DayRange) -> Result<GlobalStats, ApiError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM tenants) AS "tenants!",
                  (SELECT count(*) FROM tenants WHERE status = 'active') AS "active!",
                  (SELECT count(*) FROM tenant_agents WHERE status = 'active') AS "deployed!",
                  COALESCE(sum(total_requests), 0)::bigint AS "total!",
                  COALESCE(sum(successful_requests), 0)::bigint AS "successful!",
                  COALESCE(sum(avg_response_time_ms * total_requests), 0) AS "time!"
           FROM tenant_usage_daily WHERE date BETWEEN $1 AND $2"#,
        days.first,
        days.last,
    )
    .fetch_one(scope.connection())
    .await?;
    Ok(GlobalStats {
        total_tenants: row.tenants,
        active_tenants: row.active,
        total_agents_deployed: row.deployed,
        total_requests: row.total,
        global_success_rate: rate(row.successful, row.total),
        avg_response_time_ms: average(row.time, row.total),
        percentiles: Percentiles::of(&latency(scope, days).await?),
    })
}

/// The histograms of all tenants, added up by PostgreSQL: few rows come back, however many tenants there are.
async fn latency(scope: &mut InternalScope, days: DayRange) -> Result<LatencyHistogram, ApiError> {
    let rows = sqlx::query!(
        r#"SELECT h.bucket AS "bucket!", sum(h.count)::bigint AS "count!"
           FROM tenant_usage_daily d, unnest(d.latency_buckets, d.latency_counts) AS h (bucket, count)
           WHERE d.date BETWEEN $1 AND $2 GROUP BY h.bucket"#,
        days.first,
        days.last,
    )
    .fetch_all(scope.connection())
    .await?;
    let mut whole = LatencyHistogram::default();
    for row in rows {
        whole.add(row.bucket, u64::try_from(row.count).unwrap_or(0));
    }
    Ok(whole)
}

async fn top_tenants(scope: &mut InternalScope, days: DayRange) -> Result<Vec<TopTenant>, ApiError> {
    let rows = sqlx::query!(
        r#"SELECT t.id, t.name, sum(d.total_requests)::bigint AS "total!",
                  sum(d.successful_requests)::bigint AS "successful!"
           FROM tenant_usage_daily d JOIN tenants t ON t.id = d.tenant_id
           WHERE d.date BETWEEN $1 AND $2
           GROUP BY t.id, t.name ORDER BY 3 DESC, t.name, t.id LIMIT $3"#,
        days.first,
        days.last,
        TOP,
    )
    .fetch_all(scope.connection())
    .await?;
    let top = rows.into_iter().map(|row| TopTenant {
        tenant_id: row.id,
        tenant_name: row.name,
        total_requests: row.total,
        success_rate: rate(row.successful, row.total),
    });
    Ok(top.collect())
}

async fn top_agents(scope: &mut InternalScope, days: DayRange) -> Result<Vec<TopAgent>, ApiError> {
    let top = sqlx::query_as!(
        TopAgent,
        r#"SELECT a.id AS agent_id, a.name AS agent_name, sum(d.total_requests)::bigint AS "total_requests!",
                  (SELECT count(*) FROM tenant_agents ta WHERE ta.agent_id = a.id AND ta.status = 'active')
                      AS "deployed_count!"
           FROM tenant_usage_daily d JOIN agents a ON a.id = d.agent_id
           WHERE d.date BETWEEN $1 AND $2
           GROUP BY a.id, a.name ORDER BY 3 DESC, a.name, a.id LIMIT $3"#,
        days.first,
        days.last,
        TOP,
    );
    Ok(top.fetch_all(scope.connection()).await?)
}

async fn daily_trends(scope: &mut InternalScope, days: DayRange) -> Result<Vec<DayTrend>, ApiError> {
    let rows = sqlx::query!(
        r#"SELECT date, sum(total_requests)::bigint AS "total!", sum(successful_requests)::bigint AS "successful!",
                  count(DISTINCT tenant_id) FILTER (WHERE total_requests > 0) AS "tenants!"
           FROM tenant_usage_daily WHERE date BETWEEN $1 AND $2 GROUP BY date"#,
        days.first,
        days.last,
    )
    .fetch_all(scope.connection())
    .await?;
    let quiet = |date| DayTrend { date, total_requests: 0, success_rate: 0.0, active_tenants: 0 };
    let mut trends: BTreeMap<NaiveDate, DayTrend> = days.iter().map(|date| (date, quiet(date))).collect();
    for row in rows {
        let trend = DayTrend {
            date: row.date,
            total_requests: row.total,
            success_rate: rate(row.successful, row.total),
            active_tenants: row.tenants,
        };
        trends.insert(row.date, trend);
    }
    Ok(trends.into_values().collect())
}
