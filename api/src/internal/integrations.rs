//! `GET /internal/integrations`: what all tenants have connected: how many of each type are in each state, and which.

use actix_web::HttpResponse;
use painel_shared::statement;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{FIVE_MINUTES, tenants::LONGEST_SEARCH};
use crate::{
    cache::{CacheTag, Lifetime},
    openapi::ReadProblems,
    problem::ApiError,
    query::Page,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

const PAGE: u32 = 50;
/// No type's name is longer.
const LONGEST_TYPE: usize = 50;

/// What is connected, and a page of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlatformIntegrations {
    /// Of every type and state that there is, whatever the page is narrowed by.
    pub(crate) counts: Vec<IntegrationCount>,
    /// By their tenant's name.
    pub(crate) integrations: Vec<PlatformIntegration>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    pub(crate) limit: i64,
    pub(crate) offset: i64,
}

/// How many integrations of a type are in a state.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct IntegrationCount {
    pub(crate) r#type: String,
    pub(crate) status: String,
    pub(crate) integrations: i64,
    /// How many tenants have one of them.
    pub(crate) tenants: i64,
}

/// An integration of a tenant.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct PlatformIntegration {
    pub(crate) id: Uuid,
    pub(crate) tenant_id: Uuid,
    pub(crate) tenant_name: String,
    pub(crate) r#type: String,
    pub(crate) name: String,
    /// `active`, `inactive`, `error` or `pending` (it must reconnect).
    pub(crate) status: String,
    pub(crate) last_sync_at: Option<Time>,
    pub(crate) last_error: Option<String>,
}

/// An integration's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IntegrationStatus {
    /// It works.
    Active,
    /// It is switched off.
    Inactive,
    /// It failed.
    Error,
    /// It must reconnect.
    Pending,
}

impl IntegrationStatus {
    const WORDS: [(&str, Self); 4] = [
        ("active", Self::Active),
        ("inactive", Self::Inactive),
        ("error", Self::Error),
        ("pending", Self::Pending),
    ];

    fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, status)| *status == self).map_or("", |(word, _)| word)
    }
}

/// What all tenants have connected.
#[utoipa::path(
    get, path = "/internal/integrations", tag = "internal",
    params(
        ("type" = Option<String>, Query, min_length = 1, max_length = 50, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only of this type."),
        ("status" = Option<IntegrationStatus>, Query, description = "Only in this state."),
        ("search" = Option<String>, Query, min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Part of its name, or of its tenant's."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
    ),
    responses((status = 200, body = PlatformIntegrations), ReadProblems),
)]
pub async fn list(read: Read<PlatformIntegrationsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of the integrations that fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlatformIntegrationsQuery {
    kind: Option<String>,
    status: Option<IntegrationStatus>,
    search: Option<String>,
    page: Page,
}

statement!(
    COUNTS: IntegrationCount =
        r#"SELECT type, status, count(*) AS "integrations!", count(DISTINCT tenant_id) AS "tenants!"
           FROM tenant_integrations GROUP BY type, status ORDER BY type, status"#,
);

#[derive(FromRow)]
struct Total {
    total: i64,
}

statement!(
    TOTAL: Total =
        r#"SELECT count(*) AS "total!" FROM tenant_integrations i JOIN tenants t ON t.id = i.tenant_id
           WHERE ($1::text IS NULL OR i.type = $1) AND ($2::text IS NULL OR i.status = $2)
             AND ($3::text IS NULL OR finds($3, t.name_folded) OR finds($3, folded(i.name)))"#,
    None::<String>,
    None::<String>,
    None::<String>,
);

statement!(
    PAGE_OF: PlatformIntegration =
        r#"SELECT i.id, i.tenant_id, t.name AS tenant_name, i.type, i.name, i.status,
                  i.last_sync_at AS "last_sync_at: Time", i.last_error
           FROM tenant_integrations i JOIN tenants t ON t.id = i.tenant_id
           WHERE ($1::text IS NULL OR i.type = $1) AND ($2::text IS NULL OR i.status = $2)
             AND ($3::text IS NULL OR finds($3, t.name_folded) OR finds($3, folded(i.name)))
           ORDER BY t.name, t.id, i.name, i.id LIMIT $4 OFFSET $5"#,
    None::<String>,
    None::<String>,
    None::<String>,
    0,
    0,
);

impl Query for PlatformIntegrationsQuery {
    type Answer = PlatformIntegrations;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let fields = asked.by_operator()?;
        Ok(Self {
            kind: fields.text("type", LONGEST_TYPE),
            status: fields.word("status", &IntegrationStatus::WORDS),
            search: fields.text("search", LONGEST_SEARCH),
            page: Page::read(fields, PAGE),
        })
    }

    fn tag(&self) -> CacheTag {
        // A command may renew a token, and so change an integration's state.
        CacheTag::Commands
    }

    fn lifetime(_: &PlatformIntegrations) -> Lifetime {
        FIVE_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<PlatformIntegrations, ApiError> {
        let status = self.status.map(IntegrationStatus::as_str);
        let filter = [self.kind.clone().into(), status.into(), self.search.clone().into()];
        let [kind, status, search] = filter.clone();
        let page = PAGE_OF.bind([kind, status, search, self.page.limit.into(), self.page.offset.into()]);
        let batch = (COUNTS.bind([]), TOTAL.bind(filter), page);
        let (counts, total, integrations) = state.stores.db.ask_as_operator(&batch).await?;
        Ok(PlatformIntegrations {
            counts,
            integrations,
            total: total.first().map_or(0, |row| row.total),
            limit: self.page.limit,
            offset: self.page.offset,
        })
    }
}
