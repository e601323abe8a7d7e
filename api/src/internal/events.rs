//! `GET /internal/operations/events`: the audit log, newest first.

use std::time::Duration;

use actix_web::HttpResponse;
use chrono::{DateTime, NaiveDate, Utc};
use painel_shared::{
    ids::{CommandId, TenantId},
    statement,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    cache::{CacheTag, Lifetime},
    openapi::ReadProblems,
    problem::ApiError,
    query::{List, cut},
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// How long an answer is good.
const ONE_MINUTE: Lifetime = Lifetime::Private(Duration::from_secs(60));
const PAGE: u32 = 50;

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Events {
    pub(crate) events: Vec<EventView>,
    /// Where the next page begins; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// Something that somebody did, or that came of it.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct EventView {
    pub(crate) id: i64,
    pub(crate) event_type: String,
    pub(crate) category: String,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) user_id: Option<String>,
    pub(crate) user_email: Option<String>,
    pub(crate) resource_type: Option<String>,
    pub(crate) resource_id: Option<String>,
    pub(crate) action: String,
    pub(crate) status: String,
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    pub(crate) details: Value,
    pub(crate) ip_address: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) created_at: Time,
}

/// A place in the log: the last event of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "(i64, i64)")]
struct Cursor {
    at: DateTime<Utc>,
    id: i64,
}

impl Cursor {
    /// The place of that event.
    fn at(event: &EventView) -> (i64, i64) {
        (event.created_at.micros(), event.id)
    }
}

impl TryFrom<(i64, i64)> for Cursor {
    type Error = &'static str;

    fn try_from((at, id): (i64, i64)) -> Result<Self, Self::Error> {
        // PostgreSQL knows fewer years than chrono.
        let at = DateTime::from_timestamp_micros(at).filter(|at| (0..32_503_680_000).contains(&at.timestamp()));
        Ok(Self { at: at.ok_or("no event is of that time")?, id })
    }
}

/// The audit log.
#[utoipa::path(
    get, path = "/internal/operations/events", tag = "internal",
    params(
        ("tenant_id" = Option<Uuid>, Query, description = "Only of this tenant."),
        ("event_type" = Option<String>, Query, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Such as command.requested."),
        ("user_id" = Option<String>, Query, min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", description = "Only what this user did."),
        ("from" = Option<NaiveDate>, Query, description = "Only of this day, in UTC, and later ones."),
        ("to" = Option<NaiveDate>, Query, description = "Only of this day and earlier ones."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("cursor" = Option<String>, Query, description = "The next_cursor of an earlier answer to the same question."),
    ),
    responses((status = 200, body = Events), ReadProblems),
)]
pub async fn list(read: Read<EventsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of the events that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventsQuery {
    tenant: Option<TenantId>,
    command: Option<CommandId>,
    event_type: Option<String>,
    user_id: Option<String>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    limit: u32,
    before: Option<Cursor>,
}

impl EventsQuery {
    fn list(&self) -> List {
        let asked = (self.tenant, &self.event_type, &self.user_id);
        match (self.from, self.to) {
            // Cursors of builds that knew no days lead on.
            (None, None) => List::new("events", &asked),
            days => List::new("events", &(asked, days)),
        }
    }
}

impl Query for EventsQuery {
    type Answer = Events;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let fields = asked.by_operator()?;
        let (from, to) = fields.days();
        let mut asked = Self {
            tenant: fields.uuid("tenant_id").map(TenantId::from),
            command: None,
            event_type: fields.text("event_type", 100),
            user_id: fields.text("user_id", 255),
            from,
            to,
            limit: fields.number("limit", 1..=100, PAGE),
            before: None,
        };
        asked.before = asked.list().place(fields);
        Ok(asked)
    }

    fn tag(&self) -> CacheTag {
        CacheTag::AuditLog
    }

    fn lifetime(_: &Events) -> Lifetime {
        ONE_MINUTE
    }

    async fn compute(&self, state: &AppState) -> Result<Events, ApiError> {
        let mut events = find(state, self, i64::from(self.limit) + 1).await?;
        let next_cursor = cut(&mut events, self.limit as usize, Cursor::at).map(|at| self.list().cursor(&at));
        Ok(Events { events, next_cursor })
    }
}

statement!(
    EVENTS: EventView =
        r#"SELECT id, event_type, category, tenant_id, user_id, user_email, resource_type, resource_id, action, status,
                  details, ip_address, user_agent, created_at AS "created_at: Time"
           FROM operational_events
           WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR event_type = $2)
             AND ($3::text IS NULL OR user_id = $3)
             AND ($4::uuid IS NULL OR (resource_id = $4::text AND resource_type = 'command'))
             AND ($5::bigint IS NULL OR (created_at, id) < (timestamptz 'epoch' + $5 * interval '1 microsecond', $6))
             AND created_at >= COALESCE($8::date::timestamp AT TIME ZONE 'UTC', '-infinity')
             AND created_at < COALESCE(($9::date + 1)::timestamp AT TIME ZONE 'UTC', 'infinity')
           ORDER BY created_at DESC, id DESC LIMIT $7"#,
    None::<Uuid>,
    None::<String>,
    None::<String>,
    None::<Uuid>,
    None::<i64>,
    None::<i64>,
    0,
    None::<NaiveDate>,
    None::<NaiveDate>,
);

/// The newest that fit.
async fn find(state: &AppState, asked: &EventsQuery, count: i64) -> Result<Vec<EventView>, sqlx::Error> {
    let events = EVENTS.bind([
        asked.tenant.into(),
        asked.event_type.clone().into(),
        asked.user_id.clone().into(),
        asked.command.map(CommandId::uuid).into(),
        asked.before.map(|cursor| cursor.at.timestamp_micros()).into(),
        asked.before.map(|cursor| cursor.id).into(),
        count.into(),
        asked.from.into(),
        asked.to.into(),
    ]);
    state.stores.db.ask_as_operator(&events).await
}

/// A tenant's newest events.
pub(super) async fn recent_of_tenant(
    state: &AppState,
    tenant: TenantId,
    count: i64,
) -> Result<Vec<EventView>, sqlx::Error> {
    find(state, &EventsQuery { tenant: Some(tenant), ..EventsQuery::default() }, count).await
}

/// How many events of a command are shown.
const OF_COMMAND: i64 = 200;

/// What is in the log about a command, oldest first.
pub(super) async fn of_command(state: &AppState, command: CommandId) -> Result<Vec<EventView>, sqlx::Error> {
    let asked = EventsQuery { command: Some(command), ..EventsQuery::default() };
    let mut events = find(state, &asked, OF_COMMAND).await?;
    events.reverse();
    Ok(events)
}
