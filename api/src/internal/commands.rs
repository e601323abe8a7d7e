//! `/internal/operations/commands`: send a command, list commands, look at one.

use std::collections::HashMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_TYPE, LOCATION},
    web::{Bytes, Data, Json, Path},
};
use painel_shared::{
    command::{Command, CommandError, NewCommand, Status},
    command_store::{Cursor, Filter, IdempotencyKey, MAX_OFFSET},
    commands::{CommandType, FieldError, Fields, TenantRule},
    db,
    dispatch::dispatch,
    ids::{CommandId, TenantId},
    stores::Stores,
    time::{Timestamp, millis},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgPool;

use crate::{auth::Caller, observe, problem::ApiError, query::QueryFields};

const LONGEST_REASON: usize = 500;
const LONGEST_KEY: usize = 255;
const PATH: &str = "/internal/operations/commands";

/// A command on the wire.
#[derive(Debug, Serialize)]
pub struct CommandView {
    command_id: CommandId,
    command_type: CommandType,
    status: Status,
    tenant_id: Option<TenantId>,
    tenant_name: Option<String>,
    created_by: String,
    created_by_email: Option<String>,
    #[serde(with = "millis")]
    created_at: Timestamp,
    #[serde(with = "millis::option")]
    started_at: Option<Timestamp>,
    #[serde(with = "millis::option")]
    completed_at: Option<Timestamp>,
    duration_ms: Option<u64>,
    output: Option<String>,
    error_message: Option<String>,
    result: Option<Map<String, Value>>,
    error: Option<CommandError>,
    parameters: Map<String, Value>,
    reason: Option<String>,
    attempt: u32,
    max_attempts: u32,
}

impl CommandView {
    fn of(command: Command, names: &HashMap<TenantId, String>) -> Self {
        // A retry keeps the error of the attempt before it; only a command that ended in ERROR has failed.
        let error = command.error.filter(|_| command.status == Status::Error);
        Self {
            command_id: command.key.command_id,
            command_type: command.command_type,
            status: command.status,
            tenant_id: command.tenant_id,
            tenant_name: command.tenant_id.and_then(|id| names.get(&id).cloned()),
            created_by: command.created_by,
            created_by_email: command.created_by_email,
            created_at: command.key.created_at,
            started_at: command.started_at,
            completed_at: command.completed_at,
            duration_ms: command.duration_ms,
            output: command.result.as_ref().and_then(|result| serde_json::to_string(result).ok()),
            error_message: error.as_ref().map(|error| error.message.clone()),
            result: command.result,
            error,
            parameters: command.parameters,
            reason: command.reason,
            attempt: command.attempt,
            max_attempts: command.max_attempts,
        }
    }
}

#[derive(Debug, Serialize)]
struct Accepted {
    #[serde(flatten)]
    command: CommandView,
    message: &'static str,
}

/// `POST`: 202 with the command; it has been recorded, and a worker will execute it.
pub async fn create(
    caller: Caller,
    request: HttpRequest,
    stores: Data<Stores>,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    caller.require_internal()?;
    let new = read_body(&request, &body, &caller)?;
    let key = idempotency_key(&request, &caller, &new)?;
    let done = dispatch(&stores, new, key.as_ref(), observe::origin(&request)).await?;
    let names = tenant_names(&stores.db, [done.command.tenant_id]).await;
    let mut response = HttpResponse::Accepted();
    response.insert_header((LOCATION, format!("{PATH}/{}", done.command.id())));
    if done.replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    let command = CommandView::of(done.command, &names);
    Ok(response.json(Accepted { command, message: "The command was accepted and will be executed." }))
}

#[derive(Debug, Serialize)]
struct List {
    commands: Vec<CommandView>,
    total: u64,
    total_is_capped: bool,
    next_cursor: Option<String>,
}

/// `GET`: commands, newest first.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    stores: Data<Stores>,
) -> Result<Json<impl Serialize>, ApiError> {
    caller.require_internal()?;
    let asked = ListQuery::read(&request)?;
    let (page, count) = tokio::try_join!(
        stores.commands.list(&asked.filter, asked.cursor, asked.offset, asked.limit),
        stores.commands.count(&asked.filter),
    )?;
    let names = tenant_names(&stores.db, page.commands.iter().map(|command| command.tenant_id)).await;
    Ok(Json(List {
        commands: page.commands.into_iter().map(|command| CommandView::of(command, &names)).collect(),
        total: count.total,
        total_is_capped: count.capped,
        next_cursor: page.next.map(|cursor| cursor.encode(&asked.filter)),
    }))
}

/// `GET /{command_id}`: one command and its events.
pub async fn show(
    caller: Caller,
    request: HttpRequest,
    stores: Data<Stores>,
    path: Path<String>,
) -> Result<Json<impl Serialize>, ApiError> {
    caller.require_internal()?;
    QueryFields::of(&request)?.finish()?;
    let id = path
        .parse::<CommandId>()
        .ok()
        .filter(|_| path.len() == 36)
        .ok_or_else(|| ApiError::field("command_id", "must be a UUID"))?;
    let command = stores.commands.get(id).await?.ok_or(ApiError::NotFound(None))?;
    let names = tenant_names(&stores.db, [command.tenant_id]).await;
    let events = db::within_limit(events_of(&stores.db, id)).await;
    if let Err(error) = &events {
        tracing::warn!(%error, "the events are left out: PostgreSQL did not answer");
    }
    Ok(Json(Shown { command: CommandView::of(command, &names), events: events.ok() }))
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    command: CommandView,
    /// Null where PostgreSQL did not answer: the command itself can be seen all the same.
    events: Option<Vec<EventView>>,
}

#[derive(Debug, Serialize)]
struct EventView {
    event_type: String,
    status: String,
    user_id: Option<String>,
    user_email: Option<String>,
    details: Value,
    #[serde(with = "millis")]
    created_at: Timestamp,
}

async fn events_of(db: &PgPool, command: CommandId) -> Result<Vec<EventView>, sqlx::Error> {
    sqlx::query_as!(
        EventView,
        "SELECT event_type, status, user_id, user_email, details, created_at
         FROM operational_events WHERE resource_id = $1 AND resource_type = 'command'
         ORDER BY created_at, id LIMIT 200",
        command.to_string(),
    )
    .fetch_all(db)
    .await
}

/// The names of these tenants, in one statement. None where PostgreSQL does not answer: what is known of
/// a command is shown without, and an accepted command is never answered as if it were not.
async fn tenant_names(
    db: &PgPool,
    tenants: impl IntoIterator<Item = Option<TenantId>>,
) -> HashMap<TenantId, String> {
    let mut ids: Vec<_> = tenants.into_iter().flatten().map(TenantId::uuid).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return HashMap::new();
    }
    let asked = sqlx::query!("SELECT id, name FROM tenants WHERE id = ANY($1)", &ids).fetch_all(db);
    match db::within_limit(asked).await {
        Ok(rows) => rows.into_iter().map(|row| (TenantId::from(row.id), row.name)).collect(),
        Err(error) => {
            tracing::warn!(%error, "the tenants' names are left out: PostgreSQL did not answer");
            HashMap::new()
        }
    }
}

/// What a list is asked for.
struct ListQuery {
    filter: Filter,
    limit: usize,
    offset: usize,
    cursor: Option<Cursor>,
}

impl ListQuery {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let mut fields = QueryFields::of(request)?;
        let statuses = "PENDING, RUNNING, SUCCESS, ERROR or all";
        let status = fields.optional("status", statuses, |text| match text {
            "all" => Some(None),
            name => Status::ALL.into_iter().find(|status| status.as_str() == name).map(Some),
        });
        let types = format!("one of {}", CommandType::names());
        let filter = Filter {
            status: status.flatten(),
            command_type: fields.optional("command_type", types, CommandType::named),
            tenant_id: fields
                .optional("tenant_id", "a UUID", |text| text.parse().ok().filter(|_| text.len() == 36)),
        };
        let limit = fields.number("limit", 1..=100, 50);
        let offset = fields.number("offset", 0..=MAX_OFFSET, 0);
        let cursor = fields.optional("cursor", "a cursor", |text| Some(Cursor::decode(text, &filter)));
        if let Some(Err(error)) = &cursor {
            fields.refuse("cursor", error.to_string());
        }
        let cursor = cursor.and_then(Result::ok);
        if cursor.is_some() && offset > 0 {
            fields.refuse("offset", "must not stand beside cursor");
        }
        fields.finish()?;
        Ok(Self { filter, limit: limit as usize, offset: offset as usize, cursor })
    }
}

/// Reads the body of a `POST`; every field that is wrong is named.
fn read_body(request: &HttpRequest, body: &Bytes, caller: &Caller) -> Result<NewCommand, ApiError> {
    let json = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = json.and_then(|value| value.split(';').next()).map(str::trim);
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::NotJson);
    }
    let object: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| ApiError::field("body", format!("must be a JSON object: {error}")))?;
    let mut fields = Fields::of("", object);
    let command_type = command_type(&mut fields);
    let outer_tenant = fields.optional::<TenantId>("tenant_id");
    let mut parameters: Map<String, Value> = fields.optional("parameters").unwrap_or_default();
    let reason = fields.optional::<String>("reason");
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
        fields.refuse("reason", format!("must be at most {LONGEST_REASON} characters"));
    }
    let inner_tenant = parameters.remove("tenant_id");
    let (command_type, tenant_id, parameters, mut errors) = match fields.finish(command_type) {
        Ok(command_type) => match command_type.normalise(parameters) {
            Ok(parameters) => (command_type, outer_tenant, parameters, Vec::new()),
            Err(errors) => (command_type, outer_tenant, Map::new(), errors),
        },
        Err(errors) => return Err(ApiError::Validation(errors)),
    };
    let tenant_id = agreed_tenant(command_type, tenant_id, inner_tenant, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::Validation(errors));
    }
    Ok(NewCommand {
        command_type,
        tenant_id,
        parameters,
        reason,
        created_by: caller.sub.clone(),
        created_by_email: caller.email.clone(),
        traceparent: observe::trace(request),
    })
}

fn command_type(fields: &mut Fields) -> Option<CommandType> {
    let name = fields.required::<String>("command_type")?;
    let known = CommandType::named(&name);
    if known.is_none() {
        fields.refuse("command_type", format!("must be one of {}", CommandType::names()));
    }
    known
}

/// The tenant, which may stand beside `parameters` or inside: both must agree, and with the type's rule.
fn agreed_tenant(
    kind: CommandType,
    outer: Option<TenantId>,
    inner: Option<Value>,
    errors: &mut Vec<FieldError>,
) -> Option<TenantId> {
    let inner = match inner {
        None | Some(Value::Null) => None,
        Some(value) => match <TenantId as painel_shared::commands::Field>::from_value(&value) {
            Some(tenant) => Some(tenant),
            None => {
                errors.push(FieldError::new("parameters.tenant_id", "must be a UUID"));
                return outer;
            }
        },
    };
    if let (Some(outer), Some(inner)) = (outer, inner)
        && outer != inner
    {
        errors.push(FieldError::new("parameters.tenant_id", "must agree with tenant_id"));
    }
    let tenant = outer.or(inner);
    match (kind.tenant_rule(), tenant) {
        (TenantRule::Required, None) => {
            errors.push(FieldError::new("tenant_id", format!("is required by {kind} and must be a UUID")));
        }
        (TenantRule::Absent, Some(_)) => {
            errors.push(FieldError::new("tenant_id", format!("must be absent: {kind} is platform-wide")));
        }
        _ => {}
    }
    tenant
}

/// The `Idempotency-Key`, bound to its caller and to what the request asks for.
fn idempotency_key(
    request: &HttpRequest,
    caller: &Caller,
    new: &NewCommand,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| {
            let expected = format!("must be 1 to {LONGEST_KEY} visible ASCII characters");
            ApiError::field("Idempotency-Key", expected)
        })?;
    let asked = json!({
        "command_type": new.command_type,
        "tenant_id": new.tenant_id,
        "parameters": new.parameters,
        "reason": new.reason,
    });
    Ok(Some(IdempotencyKey::new(&caller.sub, key, asked.to_string().as_bytes())))
}
