//! `GET /internal/agents`: the catalogue, who uses how much of it, and how well each agent does.

use actix_web::HttpResponse;
use chrono::NaiveDate;
use painel_shared::{histogram::LatencyHistogram, statement};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    FIVE_MINUTES,
    tenants::{LONGEST_SEARCH, LONGEST_WORD, SortOrder},
};
use crate::{
    cache::{CacheTag, Lifetime},
    figures::{Percentiles, average_of, rate},
    openapi::ReadProblems,
    period::{DayRange, Period},
    problem::ApiError,
    query::Page,
    read::{Asked, Query, Read},
    state::AppState,
};

const PAGE: u32 = 50;

/// A page of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct Catalogue {
    pub(crate) period: &'static str,
    pub(crate) agents: Vec<CatalogueAgent>,
    /// Every segment that an agent of the catalogue is made for.
    pub(crate) segments: Vec<String>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    pub(crate) limit: i64,
    pub(crate) offset: i64,
}

/// An agent of the catalogue, and what it did for all tenants together.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogueAgent {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) segment: String,
    /// How many tenants use it.
    pub(crate) deployed_count: i64,
    pub(crate) total_requests: i64,
    /// On each day of the period, the first one first.
    pub(crate) requests_by_day: Vec<i64>,
    /// Per cent.
    pub(crate) success_rate: f64,
    pub(crate) avg_response_time_ms: f64,
    #[serde(flatten)]
    pub(crate) percentiles: Percentiles,
}

/// By what the catalogue is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatalogueSortBy {
    /// Their name.
    Name,
    /// How much they are asked.
    TotalRequests,
    /// How many tenants use them.
    DeployedCount,
}

impl CatalogueSortBy {
    const WORDS: [(&str, Self); 3] =
        [("name", Self::Name), ("total_requests", Self::TotalRequests), ("deployed_count", Self::DeployedCount)];

    fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, sort)| *sort == self).map_or("name", |(word, _)| word)
    }
}

/// The catalogue.
#[utoipa::path(
    get, path = "/internal/agents", tag = "internal",
    params(
        ("period" = Option<Period>, Query, description = "By default 30d."),
        ("segment" = Option<String>, Query, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only of this segment."),
        ("search" = Option<String>, Query, min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Part of the name."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
        ("sort_by" = Option<CatalogueSortBy>, Query, description = "By default name."),
        ("sort_order" = Option<SortOrder>, Query, description = "By default asc."),
    ),
    responses((status = 200, body = Catalogue), ReadProblems),
)]
pub async fn list(read: Read<CatalogueQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of the agents that fit, in an order, and what they did on the days of a period.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CatalogueQuery {
    segment: Option<String>,
    search: Option<String>,
    page: Page,
    sort_by: CatalogueSortBy,
    order: SortOrder,
    period: Period,
    days: DayRange,
}

#[derive(FromRow)]
struct Total {
    total: i64,
}

statement!(
    TOTAL: Total =
        r#"SELECT count(*) AS "total!" FROM agents
           WHERE ($1::text IS NULL OR segment = $1) AND ($2::text IS NULL OR finds($2, folded(name)))"#,
    None::<String>,
    None::<String>,
);

#[derive(FromRow)]
struct Segment {
    segment: String,
}

statement!(SEGMENTS: Segment = "SELECT DISTINCT segment FROM agents ORDER BY segment");

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    segment: String,
    deployed: i64,
    total: i64,
    successful: i64,
    time: i64,
    buckets: Vec<i16>,
    counts: Vec<i64>,
    by_day: Vec<i64>,
}

// Histograms are added up for the agents of the page. Each sort key is constant, and so without effect, where it is not
// asked for.
statement!(
    PAGE_OF: Row =
        r#"WITH used AS (
               SELECT agent_id, sum(total_requests)::bigint AS total, sum(successful_requests)::bigint AS successful,
                      sum(total_response_time_ms)::bigint AS "time"
               FROM agent_usage_totals WHERE date BETWEEN $7 AND $8 GROUP BY agent_id
           ), deployed AS (
               SELECT agent_id, count(*) AS tenants FROM tenant_agents WHERE status = 'active' GROUP BY agent_id
           ), page AS (
               SELECT a.id, a.name, a.segment, COALESCE(d.tenants, 0) AS deployed, COALESCE(u.total, 0) AS total,
                      COALESCE(u.successful, 0) AS successful, COALESCE(u."time", 0) AS "time",
                      row_number() OVER (ORDER BY
                          CASE WHEN $3::text = 'name' AND NOT $4::boolean THEN a.name END,
                          CASE WHEN $3 = 'name' AND $4 THEN a.name END DESC,
                          CASE $3 WHEN 'total_requests' THEN COALESCE(u.total, 0)
                                  WHEN 'deployed_count' THEN COALESCE(d.tenants, 0)
                          END * CASE WHEN $4 THEN -1 ELSE 1 END,
                          a.name, a.id) AS place
               FROM agents a LEFT JOIN used u ON u.agent_id = a.id LEFT JOIN deployed d ON d.agent_id = a.id
               WHERE ($1::text IS NULL OR a.segment = $1)
                 AND ($2::text IS NULL OR finds($2, folded(a.name)))
               ORDER BY place LIMIT $5 OFFSET $6
           ), met AS (
               SELECT d.agent_id, l.bucket, sum(l.count)::bigint AS count
               FROM agent_usage_totals d JOIN page ON page.id = d.agent_id,
                    unnest(d.latency_buckets, d.latency_counts) AS l (bucket, count)
               WHERE d.date BETWEEN $7 AND $8 GROUP BY 1, 2
           )
           SELECT p.id AS "id!", p.name AS "name!", p.segment AS "segment!", p.deployed AS "deployed!",
                  p.total AS "total!", p.successful AS "successful!", p."time" AS "time!",
                  ARRAY(SELECT bucket FROM met WHERE agent_id = p.id ORDER BY bucket) AS "buckets!",
                  ARRAY(SELECT count FROM met WHERE agent_id = p.id ORDER BY bucket) AS "counts!",
                  ARRAY(SELECT COALESCE(d.total_requests, 0) FROM generate_series($7::date, $8::date, '1 day') AS day
                        LEFT JOIN agent_usage_totals d ON d.date = day::date AND d.agent_id = p.id
                        ORDER BY day) AS "by_day!"
           FROM page p ORDER BY p.place"#,
    None::<String>,
    None::<String>,
    "",
    false,
    0,
    0,
    NaiveDate::MIN,
    NaiveDate::MIN,
);

impl Query for CatalogueQuery {
    type Answer = Catalogue;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let fields = asked.by_operator()?;
        let period = Period::read(fields);
        Ok(Self {
            segment: fields.text("segment", LONGEST_WORD),
            search: fields.text("search", LONGEST_SEARCH),
            page: Page::read(fields, PAGE),
            sort_by: fields.word("sort_by", &CatalogueSortBy::WORDS).unwrap_or(CatalogueSortBy::Name),
            order: SortOrder::read(fields),
            period,
            days: period.days(),
        })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Platform
    }

    fn lifetime(_: &Catalogue) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Catalogue, ApiError> {
        let filter = [self.segment.clone().into(), self.search.clone().into()];
        let [segment, search] = filter.clone();
        let page = PAGE_OF.bind([
            segment,
            search,
            self.sort_by.as_str().into(),
            (self.order == SortOrder::Desc).into(),
            self.page.limit.into(),
            self.page.offset.into(),
            self.days.first.into(),
            self.days.last.into(),
        ]);
        let batch = (TOTAL.bind(filter), SEGMENTS.bind([]), page);
        let (total, segments, rows) = state.stores.db.ask_as_operator(&batch).await?;
        Ok(Catalogue {
            period: self.period.as_str(),
            agents: rows.into_iter().map(CatalogueAgent::from).collect(),
            segments: segments.into_iter().map(|row| row.segment).collect(),
            total: total.first().map_or(0, |row| row.total),
            limit: self.page.limit,
            offset: self.page.offset,
        })
    }
}

impl From<Row> for CatalogueAgent {
    fn from(row: Row) -> Self {
        let mut latency = LatencyHistogram::default();
        latency.add_stored(&row.buckets, &row.counts);
        Self {
            id: row.id,
            name: row.name,
            segment: row.segment,
            deployed_count: row.deployed,
            total_requests: row.total,
            requests_by_day: row.by_day,
            success_rate: rate(row.successful, row.total),
            avg_response_time_ms: average_of(row.time, row.total),
            percentiles: Percentiles::of(&latency),
        }
    }
}
