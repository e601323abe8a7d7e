//! `GET /internal/tenants`: all tenants, searched, filtered, sorted, a page at a time.

use actix_web::HttpResponse;
use chrono::NaiveDate;
use painel_shared::statement;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    cache::{CacheTag, Lifetime},
    figures::{Reais, rate},
    filters::StatusFilter,
    openapi::ReadProblems,
    period::{DayRange, Period},
    problem::ApiError,
    query::{Page, QueryFields},
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

const PAGE: u32 = 50;
/// No plan's or segment's name is longer.
pub(crate) const LONGEST_WORD: usize = 100;
pub(crate) const LONGEST_SEARCH: usize = 200;

/// A page of tenants.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tenants {
    pub(crate) tenants: Vec<Tenant>,
    /// Every segment that a tenant is of.
    pub(crate) segments: Vec<String>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    pub(crate) limit: i64,
    pub(crate) offset: i64,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tenant {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) cnpj: String,
    pub(crate) segment: String,
    pub(crate) plan: String,
    pub(crate) status: String,
    /// What the tenant pays a month, in BRL.
    pub(crate) mrr_estimate: Reais,
    pub(crate) active_agents: i64,
    pub(crate) active_users: i64,
    pub(crate) requests_last_30_days: i64,
    /// Per cent.
    pub(crate) success_rate_last_30_days: f64,
    pub(crate) open_incidents: i64,
    pub(crate) created_at: Time,
}

/// By what tenants are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// Their name.
    Name,
    /// When they came.
    CreatedAt,
    /// What they pay.
    MrrEstimate,
    /// How much they ask.
    #[serde(rename = "requests_last_30_days")]
    RequestsLast30Days,
    /// How many agents they use.
    ActiveAgents,
}

impl SortBy {
    const WORDS: [(&str, Self); 5] = [
        ("name", Self::Name),
        ("created_at", Self::CreatedAt),
        ("mrr_estimate", Self::MrrEstimate),
        ("requests_last_30_days", Self::RequestsLast30Days),
        ("active_agents", Self::ActiveAgents),
    ];

    fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, sort)| *sort == self).map_or("name", |(word, _)| word)
    }
}

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

impl SortOrder {
    /// Reads `sort_order`, by default ascending.
    pub fn read(fields: &mut QueryFields) -> Self {
        fields.word("sort_order", &[("asc", Self::Asc), ("desc", Self::Desc)]).unwrap_or(Self::Asc)
    }
}

/// All tenants.
#[utoipa::path(
    get, path = "/internal/tenants", tag = "internal",
    params(
        ("status" = Option<StatusFilter>, Query, description = "By default active."),
        ("plan" = Option<String>, Query, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only of this plan."),
        ("segment" = Option<String>, Query, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only of this segment."),
        ("agent_id" = Option<Uuid>, Query, description = "Only those that use this agent."),
        ("search" = Option<String>, Query, min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Part of the name or of the CNPJ."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
        ("sort_by" = Option<SortBy>, Query, description = "By default name."),
        ("sort_order" = Option<SortOrder>, Query, description = "By default asc."),
    ),
    responses((status = 200, body = Tenants), ReadProblems),
)]
pub async fn list(read: Read<TenantsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of the tenants that fit, in an order, and what they did on some days.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantsQuery {
    status: StatusFilter,
    plan: Option<String>,
    segment: Option<String>,
    agent: Option<Uuid>,
    search: Option<String>,
    page: Page,
    sort_by: SortBy,
    order: SortOrder,
    days: DayRange,
}

impl TenantsQuery {
    /// A search that may be of a CNPJ, as one is stored, however it is punctuated.
    fn cnpj_part(&self) -> Option<String> {
        let search = self.search.as_ref()?;
        let cnpj_like = search.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | ' '));
        let part: String = search.chars().filter(char::is_ascii_alphanumeric).collect();
        (cnpj_like && !part.is_empty()).then(|| part.to_ascii_uppercase())
    }
}

impl Query for TenantsQuery {
    type Answer = Tenants;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let fields = asked.by_operator()?;
        Ok(Self {
            status: StatusFilter::read(fields),
            plan: fields.text("plan", LONGEST_WORD),
            segment: fields.text("segment", LONGEST_WORD),
            agent: fields.uuid("agent_id"),
            search: fields.text("search", LONGEST_SEARCH),
            page: Page::read(fields, PAGE),
            sort_by: fields.word("sort_by", &SortBy::WORDS).unwrap_or(SortBy::Name),
            order: SortOrder::read(fields),
            days: Period::Month.days(),
        })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Platform
    }

    fn lifetime(_: &Tenants) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Tenants, ApiError> {
        let filter = [
            self.status.wanted().into(),
            self.plan.clone().into(),
            self.segment.clone().into(),
            self.agent.into(),
            self.search.clone().into(),
            self.cnpj_part().into(),
        ];
        let [status, plan, segment, agent, search, cnpj_part] = filter.clone();
        let page = PAGE_OF.bind([
            status,
            plan,
            segment,
            agent,
            search,
            cnpj_part,
            self.sort_by.as_str().into(),
            (self.order == SortOrder::Desc).into(),
            self.page.limit.into(),
            self.page.offset.into(),
            self.days.first.into(),
            self.days.last.into(),
        ]);
        let batch = (TOTAL.bind(filter), SEGMENTS.bind([]), page);
        let (total, segments, rows) = state.stores.db.ask_as_operator(&batch).await?;
        let tenants = rows.into_iter().map(|row| Tenant {
            id: row.id,
            name: row.name,
            cnpj: row.cnpj,
            segment: row.segment,
            plan: row.plan,
            status: row.status,
            mrr_estimate: row.mrr_estimate,
            active_agents: row.active_agents,
            active_users: row.active_users,
            requests_last_30_days: row.requests,
            success_rate_last_30_days: rate(row.successful, row.requests),
            open_incidents: row.open_incidents,
            created_at: row.created_at,
        });
        Ok(Tenants {
            tenants: tenants.collect(),
            segments: segments.into_iter().map(|row| row.segment).collect(),
            total: total.first().map_or(0, |row| row.total),
            limit: self.page.limit,
            offset: self.page.offset,
        })
    }
}

#[derive(FromRow)]
struct Total {
    total: i64,
}

statement!(
    TOTAL: Total = r#"SELECT count(*) AS "total!" FROM matching_tenants($1, $2, $3, $4, $5, $6)"#,
    None::<String>,
    None::<String>,
    None::<String>,
    None::<Uuid>,
    None::<String>,
    None::<String>,
);

#[derive(FromRow)]
struct Segment {
    segment: String,
}

statement!(SEGMENTS: Segment = "SELECT DISTINCT segment FROM tenants ORDER BY segment");

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    cnpj: String,
    segment: String,
    plan: String,
    status: String,
    mrr_estimate: Reais,
    created_at: Time,
    active_agents: i64,
    active_users: i64,
    requests: i64,
    successful: i64,
    open_incidents: i64,
}

// What is shown of a tenant is computed for those of the page; of the others, what they are sorted by. Each sort key is
// constant, and so without effect, where it is not asked for.
statement!(
    PAGE_OF: Row =
        r#"WITH page AS (
               SELECT t.*, row_number() OVER (ORDER BY
                   CASE WHEN $7::text = 'name' AND NOT $8::boolean THEN t.name END,
                   CASE WHEN $7 = 'name' AND $8 THEN t.name END DESC,
                   CASE $7 WHEN 'created_at' THEN extract(epoch FROM t.created_at)
                           WHEN 'mrr_estimate' THEN t.mrr_estimate_cents
                           WHEN 'requests_last_30_days' THEN (SELECT COALESCE(sum(total_requests), 0)
                               FROM tenant_usage_totals WHERE tenant_id = t.id AND date BETWEEN $11 AND $12)
                           WHEN 'active_agents' THEN (SELECT count(*)
                               FROM tenant_agents WHERE tenant_id = t.id AND status = 'active')
                   END * CASE WHEN $8 THEN -1 ELSE 1 END,
                   t.name, t.id) AS place
               FROM matching_tenants($1, $2, $3, $4, $5, $6) t ORDER BY place LIMIT $9 OFFSET $10
           )
           SELECT t.id AS "id!", t.name AS "name!", t.cnpj AS "cnpj!", t.segment AS "segment!", t.plan AS "plan!",
                  t.status AS "status!", t.mrr_estimate_cents AS "mrr_estimate!: Reais",
                  t.created_at AS "created_at!: Time",
                  (SELECT count(*) FROM tenant_agents WHERE tenant_id = t.id AND status = 'active') AS "active_agents!",
                  (SELECT count(*) FROM tenant_users WHERE tenant_id = t.id AND status = 'active') AS "active_users!",
                  u.total AS "requests!", u.successful AS "successful!",
                  (SELECT count(*) FROM incident_tenants hit JOIN incidents i ON i.id = hit.incident_id
                   WHERE hit.tenant_id = t.id AND i.resolved_at IS NULL) AS "open_incidents!"
           FROM page t, LATERAL (
               SELECT COALESCE(sum(total_requests), 0)::bigint AS total,
                      COALESCE(sum(successful_requests), 0)::bigint AS successful
               FROM tenant_usage_totals WHERE tenant_id = t.id AND date BETWEEN $11 AND $12
           ) u
           ORDER BY t.place"#,
    None::<String>,
    None::<String>,
    None::<String>,
    None::<Uuid>,
    None::<String>,
    None::<String>,
    "",
    false,
    0,
    0,
    NaiveDate::MIN,
    NaiveDate::MIN,
);
