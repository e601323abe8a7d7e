//! `GET /internal/incidents`: what went wrong, and whom it hit, newest first.

use std::time::Duration;

use actix_web::HttpResponse;
use painel_shared::statement;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    cache::{CacheTag, Lifetime},
    openapi::ReadProblems,
    problem::ApiError,
    query::{Page, QueryFields},
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// How long an answer is good.
const ONE_MINUTE: Lifetime = Lifetime::Private(Duration::from_secs(60));
const PAGE: u32 = 20;
/// So many of the tenants that an incident hit are named.
const NAMED: i64 = 10;

/// A page of incidents.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlatformIncidents {
    pub(crate) incidents: Vec<PlatformIncident>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    pub(crate) limit: i64,
    pub(crate) offset: i64,
}

/// An incident.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlatformIncident {
    pub(crate) id: Uuid,
    /// `info`, `warning`, `error` or `critical`.
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) created_at: Time,
    pub(crate) resolved_at: Option<Time>,
    /// How many tenants it hit.
    pub(crate) tenant_count: i64,
    /// The first ten of them by name.
    pub(crate) tenants: Vec<HitTenant>,
}

/// A tenant that an incident hit.
#[derive(Debug, Serialize, ToSchema)]
pub struct HitTenant {
    pub(crate) tenant_id: Uuid,
    pub(crate) tenant_name: String,
}

/// Whether an incident goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// It goes on.
    Open,
    /// It is over.
    Resolved,
    /// Either.
    All,
}

impl IncidentState {
    fn read(fields: &mut QueryFields) -> Self {
        let words = [("open", Self::Open), ("resolved", Self::Resolved), ("all", Self::All)];
        fields.word("state", &words).unwrap_or(Self::Open)
    }

    /// Whether those wanted are open, or none for either.
    fn is_open(self) -> Option<bool> {
        match self {
            Self::Open => Some(true),
            Self::Resolved => Some(false),
            Self::All => None,
        }
    }
}

/// How grave an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    Info,
    /// It may become worse.
    Warning,
    /// Something does not work.
    Error,
    /// Customers cannot work.
    Critical,
}

impl Severity {
    const WORDS: [(&str, Self); 4] =
        [("info", Self::Info), ("warning", Self::Warning), ("error", Self::Error), ("critical", Self::Critical)];

    fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, severity)| *severity == self).map_or("", |(word, _)| word)
    }
}

/// What went wrong.
#[utoipa::path(
    get, path = "/internal/incidents", tag = "internal",
    params(
        ("state" = Option<IncidentState>, Query, description = "By default open."),
        ("severity" = Option<Severity>, Query, description = "Only as grave."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 20."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
    ),
    responses((status = 200, body = PlatformIncidents), ReadProblems),
)]
pub async fn list(read: Read<PlatformIncidentsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of the incidents that fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlatformIncidentsQuery {
    state: IncidentState,
    severity: Option<Severity>,
    page: Page,
}

#[derive(FromRow)]
struct Total {
    total: i64,
}

statement!(
    TOTAL: Total =
        r#"SELECT count(*) AS "total!" FROM incidents
           WHERE ($1::boolean IS NULL OR (resolved_at IS NULL) = $1) AND ($2::text IS NULL OR severity = $2)"#,
    None::<bool>,
    None::<String>,
);

#[derive(FromRow)]
struct Row {
    id: Uuid,
    severity: String,
    title: String,
    description: String,
    created_at: Time,
    resolved_at: Option<Time>,
    tenant_count: i64,
    tenant_ids: Vec<Uuid>,
    tenant_names: Vec<String>,
}

statement!(
    PAGE_OF: Row =
        r#"WITH page AS (
               SELECT * FROM incidents
               WHERE ($1::boolean IS NULL OR (resolved_at IS NULL) = $1) AND ($2::text IS NULL OR severity = $2)
               ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4
           )
           SELECT i.id AS "id!", i.severity AS "severity!", i.title AS "title!", i.description AS "description!",
                  i.created_at AS "created_at!: Time", i.resolved_at AS "resolved_at: Time",
                  (SELECT count(*) FROM incident_tenants hit WHERE hit.incident_id = i.id) AS "tenant_count!",
                  COALESCE(named.ids, '{}') AS "tenant_ids!", COALESCE(named.names, '{}') AS "tenant_names!"
           FROM page i, LATERAL (
               SELECT array_agg(t.id ORDER BY t.name, t.id) AS ids, array_agg(t.name ORDER BY t.name, t.id) AS names
               FROM (
                   SELECT t.id, t.name FROM incident_tenants hit JOIN tenants t ON t.id = hit.tenant_id
                   WHERE hit.incident_id = i.id ORDER BY t.name, t.id LIMIT $5
               ) t
           ) named
           ORDER BY i.created_at DESC, i.id DESC"#,
    None::<bool>,
    None::<String>,
    0,
    0,
    0,
);

impl Query for PlatformIncidentsQuery {
    type Answer = PlatformIncidents;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let fields = asked.by_operator()?;
        Ok(Self {
            state: IncidentState::read(fields),
            severity: fields.word("severity", &Severity::WORDS),
            page: Page::read(fields, PAGE),
        })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Platform
    }

    fn lifetime(_: &PlatformIncidents) -> Lifetime {
        ONE_MINUTE
    }

    async fn compute(&self, state: &AppState) -> Result<PlatformIncidents, ApiError> {
        let filter = [self.state.is_open().into(), self.severity.map(Severity::as_str).into()];
        let [open, severity] = filter.clone();
        let page = PAGE_OF.bind([open, severity, self.page.limit.into(), self.page.offset.into(), NAMED.into()]);
        let (total, rows) = state.stores.db.ask_as_operator(&(TOTAL.bind(filter), page)).await?;
        Ok(PlatformIncidents {
            incidents: rows.into_iter().map(PlatformIncident::from).collect(),
            total: total.first().map_or(0, |row| row.total),
            limit: self.page.limit,
            offset: self.page.offset,
        })
    }
}

impl From<Row> for PlatformIncident {
    fn from(row: Row) -> Self {
        let hit = row.tenant_ids.into_iter().zip(row.tenant_names);
        Self {
            id: row.id,
            severity: row.severity,
            title: row.title,
            description: row.description,
            created_at: row.created_at,
            resolved_at: row.resolved_at,
            tenant_count: row.tenant_count,
            tenants: hit.map(|(tenant_id, tenant_name)| HitTenant { tenant_id, tenant_name }).collect(),
        }
    }
}
