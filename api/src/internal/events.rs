//! `GET /internal/operations/events`: the audit log, newest first.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use painel_shared::{
    commands::Fault,
    db::InternalScope,
    ids::{CommandId, TenantId},
    time::{Timestamp, millis},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::Caller,
    caching::{About, Question},
    openapi::ReadProblems,
    panel::Panel,
    problem::ApiError,
    query::QueryFields,
};

/// How long an answer is good.
const ONE_MINUTE: Duration = Duration::from_secs(60);
const PAGE: u32 = 50;

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Events {
    events: Vec<EventView>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// Something that somebody did, or that came of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventView {
    id: i64,
    event_type: String,
    category: String,
    tenant_id: Option<Uuid>,
    user_id: Option<String>,
    user_email: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    action: String,
    status: String,
    #[schema(value_type = Object)]
    details: Value,
    ip_address: Option<String>,
    user_agent: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "millis")]
    created_at: Timestamp,
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    tenant: Option<Uuid>,
    event_type: Option<String>,
    user_id: Option<String>,
    limit: i64,
    before: Option<Cursor>,
}

/// A place in the log: the last event of a page.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    at: DateTime<Utc>,
    id: i64,
}

impl Cursor {
    fn encode(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at.timestamp_micros(), self.id))
    }

    fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (at, id) = plain.split_once('.')?;
        // PostgreSQL knows fewer years than chrono.
        let at = DateTime::from_timestamp_micros(at.parse().ok()?).filter(|at| at.timestamp() >= 0)?;
        (at.timestamp() < 32_503_680_000).then_some(Self { at, id: id.parse().ok()? })
    }
}

impl Asked {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let mut fields = QueryFields::of(request)?;
        let asked = Self {
            tenant: fields.uuid("tenant_id"),
            event_type: fields.text("event_type", 100),
            user_id: fields.text("user_id", 255),
            limit: fields.number("limit", 1..=100, PAGE).into(),
            before: fields.optional("cursor", || Fault::BadCursor, Cursor::decode),
        };
        fields.finish()?;
        Ok(asked)
    }
}

/// The audit log.
#[utoipa::path(
    get, path = "/internal/operations/events", tag = "internal",
    params(
        ("tenant_id" = Option<Uuid>, Query, description = "Only of this tenant."),
        ("event_type" = Option<String>, Query, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Such as command.requested."),
        ("user_id" = Option<String>, Query, min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only what this user did."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("cursor" = Option<String>, Query, description = "The next_cursor of an earlier answer."),
    ),
    responses((status = 200, body = Events), ReadProblems),
)]
pub async fn list(caller: Caller, request: HttpRequest, panel: Data<Panel>) -> Result<HttpResponse, ApiError> {
    caller.require_internal()?;
    let asked = Asked::read(&request)?;
    let question = Question { about: About::Commands, text: format!("events {asked:?}"), max_age: ONE_MINUTE };
    panel.answers.answer(&request, question, panel.in_internal(async |scope| find(scope, &asked).await)).await
}

async fn find(scope: &mut InternalScope, asked: &Asked) -> Result<Events, ApiError> {
    let mut events = sqlx::query_as!(
        EventView,
        "SELECT id, event_type, category, tenant_id, user_id, user_email, resource_type, resource_id, action, status,
                details, ip_address, user_agent, created_at
         FROM operational_events
         WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR event_type = $2)
           AND ($3::text IS NULL OR user_id = $3)
           AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
         ORDER BY created_at DESC, id DESC LIMIT $6",
        asked.tenant,
        asked.event_type,
        asked.user_id,
        asked.before.map(|cursor| cursor.at),
        asked.before.map(|cursor| cursor.id),
        asked.limit + 1,
    )
    .fetch_all(scope.connection())
    .await?;
    let page = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let more = events.len() > page;
    events.truncate(page);
    let last = events.last().filter(|_| more);
    Ok(Events { next_cursor: last.map(|event| Cursor { at: event.created_at, id: event.id }.encode()), events })
}

/// A tenant's newest events.
pub(super) async fn recent_of_tenant(
    scope: &mut InternalScope,
    tenant: TenantId,
    count: i64,
) -> Result<Vec<EventView>, ApiError> {
    let asked = Asked { tenant: Some(tenant.uuid()), event_type: None, user_id: None, limit: count, before: None };
    Ok(find(scope, &asked).await?.events)
}

/// What is in the log about a command, oldest first.
pub(super) async fn of_command(
    scope: &mut InternalScope,
    command: CommandId,
) -> Result<Vec<EventView>, sqlx::Error> {
    let events = sqlx::query_as!(
        EventView,
        "SELECT id, event_type, category, tenant_id, user_id, user_email, resource_type, resource_id, action, status,
                details, ip_address, user_agent, created_at
         FROM operational_events WHERE resource_id = $1 AND resource_type = 'command'
         ORDER BY created_at, id LIMIT 200",
        command.to_string(),
    );
    events.fetch_all(scope.connection()).await
}
