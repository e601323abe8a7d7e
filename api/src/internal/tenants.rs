//! `GET /internal/tenants`: all tenants, searched, filtered, sorted, a page at a time.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use painel_shared::{
    db::InternalScope,
    time::{Timestamp, millis},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::FIVE_MINUTES;
use crate::{
    auth::Caller,
    caching::{About, Question},
    figures::{rate, reais},
    filters::StatusFilter,
    openapi::ReadProblems,
    panel::Panel,
    period::Period,
    problem::ApiError,
    query::{Page, QueryFields},
};

const PAGE: u32 = 50;
/// No plan's or segment's name is longer.
const LONGEST_WORD: usize = 100;
const LONGEST_SEARCH: usize = 200;

/// A page of tenants.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tenants {
    tenants: Vec<Tenant>,
    /// How many there are on all pages.
    total: i64,
    limit: i64,
    offset: i64,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tenant {
    id: Uuid,
    name: String,
    cnpj: String,
    segment: String,
    plan: String,
    status: String,
    /// What the tenant pays a month, in BRL.
    mrr_estimate: f64,
    active_agents: i64,
    active_users: i64,
    requests_last_30_days: i64,
    /// Per cent.
    success_rate_last_30_days: f64,
    open_incidents: i64,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    created_at: Timestamp,
}

/// By what tenants are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    status: StatusFilter,
    plan: Option<String>,
    segment: Option<String>,
    search: Option<String>,
    page: Page,
    sort_by: SortBy,
    order: SortOrder,
}

impl Asked {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let mut fields = QueryFields::of(request)?;
        let orders = [("asc", SortOrder::Asc), ("desc", SortOrder::Desc)];
        let asked = Self {
            status: StatusFilter::read(&mut fields),
            plan: fields.text("plan", LONGEST_WORD),
            segment: fields.text("segment", LONGEST_WORD),
            search: fields.text("search", LONGEST_SEARCH),
            page: Page::read(&mut fields, PAGE),
            sort_by: fields.word("sort_by", &SortBy::WORDS).unwrap_or(SortBy::Name),
            order: fields.word("sort_order", &orders).unwrap_or(SortOrder::Asc),
        };
        fields.finish()?;
        Ok(asked)
    }

    /// A search that may be of a CNPJ, as one is stored, however it is punctuated.
    fn cnpj_part(&self) -> Option<String> {
        let search = self.search.as_ref()?;
        let cnpj_like = search.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | ' '));
        let part: String = search.chars().filter(char::is_ascii_alphanumeric).collect();
        (cnpj_like && !part.is_empty()).then(|| part.to_ascii_uppercase())
    }
}

/// All tenants.
#[utoipa::path(
    get, path = "/internal/tenants", tag = "internal",
    params(
        ("status" = Option<StatusFilter>, Query, description = "By default active."),
        ("plan" = Option<String>, Query, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only of this plan."),
        ("segment" = Option<String>, Query, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only of this segment."),
        ("search" = Option<String>, Query, min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Part of the name or of the CNPJ."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
        ("sort_by" = Option<SortBy>, Query, description = "By default name."),
        ("sort_order" = Option<SortOrder>, Query, description = "By default asc."),
    ),
    responses((status = 200, body = Tenants), ReadProblems),
)]
pub async fn list(caller: Caller, request: HttpRequest, panel: Data<Panel>) -> Result<HttpResponse, ApiError> {
    caller.require_internal()?;
    let asked = Asked::read(&request)?;
    let text = format!("tenants {asked:?} {:?}", Period::Month.days());
    let question = Question { about: About::Everyone, text, max_age: FIVE_MINUTES };
    panel.answers.answer(&request, question, panel.in_internal(async |scope| find(scope, &asked).await)).await
}

async fn find(scope: &mut InternalScope, asked: &Asked) -> Result<Tenants, ApiError> {
    let total = count(scope, asked).await?;
    let days = Period::Month.days();
    // Each sort key is constant, and so without effect, where it is not asked for.
    let rows = sqlx::query!(
        r#"SELECT t.id, t.name, t.cnpj, t.segment, t.plan, t.status, t.mrr_estimate_cents, t.created_at,
                  COALESCE(ta.active, 0) AS "active_agents!", COALESCE(tu.active, 0) AS "active_users!",
                  COALESCE(u.total, 0) AS "requests!", COALESCE(u.successful, 0) AS "successful!",
                  (SELECT count(*) FROM incident_tenants hit JOIN incidents i ON i.id = hit.incident_id
                   WHERE hit.tenant_id = t.id AND i.resolved_at IS NULL) AS "open_incidents!"
           FROM tenants t
           LEFT JOIN (SELECT tenant_id, count(*) AS active FROM tenant_agents WHERE status = 'active' GROUP BY 1) ta
               ON ta.tenant_id = t.id
           LEFT JOIN (SELECT tenant_id, count(*) AS active FROM tenant_users WHERE status = 'active' GROUP BY 1) tu
               ON tu.tenant_id = t.id
           LEFT JOIN (SELECT tenant_id, sum(total_requests)::bigint AS total,
                             sum(successful_requests)::bigint AS successful
                      FROM tenant_usage_daily WHERE date BETWEEN $1 AND $2 GROUP BY 1) u
               ON u.tenant_id = t.id
           WHERE ($3::text IS NULL OR t.status = $3) AND ($4::text IS NULL OR t.plan = $4)
             AND ($5::text IS NULL OR t.segment = $5)
             AND ($6::text IS NULL OR (folded($6) <> '' AND position(folded($6) IN t.name_folded) > 0) OR position($7 IN t.cnpj) > 0)
           ORDER BY
               CASE WHEN $8 = 'name' AND NOT $9 THEN t.name END,
               CASE WHEN $8 = 'name' AND $9 THEN t.name END DESC,
               CASE $8 WHEN 'created_at' THEN extract(epoch FROM t.created_at)
                       WHEN 'mrr_estimate' THEN t.mrr_estimate_cents
                       WHEN 'requests_last_30_days' THEN COALESCE(u.total, 0)
                       WHEN 'active_agents' THEN COALESCE(ta.active, 0)
               END * CASE WHEN $9 THEN -1 ELSE 1 END,
               t.name, t.id
           LIMIT $10 OFFSET $11"#,
        days.first,
        days.last,
        asked.status.wanted(),
        asked.plan,
        asked.segment,
        asked.search,
        asked.cnpj_part(),
        asked.sort_by.as_str(),
        asked.order == SortOrder::Desc,
        asked.page.limit,
        asked.page.offset,
    )
    .fetch_all(scope.connection())
    .await?;
    let tenants = rows.into_iter().map(|row| Tenant {
        id: row.id,
        name: row.name,
        cnpj: row.cnpj,
        segment: row.segment,
        plan: row.plan,
        status: row.status,
        mrr_estimate: reais(row.mrr_estimate_cents),
        active_agents: row.active_agents,
        active_users: row.active_users,
        requests_last_30_days: row.requests,
        success_rate_last_30_days: rate(row.successful, row.requests),
        open_incidents: row.open_incidents,
        created_at: row.created_at,
    });
    Ok(Tenants { tenants: tenants.collect(), total, limit: asked.page.limit, offset: asked.page.offset })
}

async fn count(scope: &mut InternalScope, asked: &Asked) -> Result<i64, ApiError> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM tenants t
           WHERE ($1::text IS NULL OR t.status = $1) AND ($2::text IS NULL OR t.plan = $2)
             AND ($3::text IS NULL OR t.segment = $3)
             AND ($4::text IS NULL OR (folded($4) <> '' AND position(folded($4) IN t.name_folded) > 0) OR position($5 IN t.cnpj) > 0)"#,
        asked.status.wanted(),
        asked.plan,
        asked.segment,
        asked.search,
        asked.cnpj_part(),
    );
    Ok(total.fetch_one(scope.connection()).await?)
}
