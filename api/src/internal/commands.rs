//! `/internal/operations/commands`: send a command, list commands, look at one.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use actix_web::{HttpResponse, http::header::LOCATION};
use painel_shared::{
    command::{Attempt, AttemptOutcome, Command, CommandError, Status},
    command_store::{Cursor, Filter, MAX_OFFSET},
    commands::{CommandType, Fault},
    db::Database,
    ids::{CommandId, TenantId},
    statement,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    command_request::{CommandRequest, CommandTypeName, idempotency_key, read_command, unknown_type},
    events::{self, EventView},
};
use crate::{
    cache::{CacheTag, Lifetime},
    observe,
    openapi::{ReadProblems, WriteProblems},
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
    write::Write,
};

/// How long a page is good on which every command has ended, and another one.
pub(crate) const SETTLED: Lifetime = Lifetime::Revalidated(Duration::from_secs(60));
pub(crate) const UNSETTLED: Lifetime = Lifetime::Revalidated(Duration::from_secs(1));
/// No `sub` is longer (OpenID Connect Core, 2).
const LONGEST_SUB: usize = 255;
const PATH: &str = "/internal/operations/commands";

/// A command on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Command)]
pub struct CommandView {
    #[schema(value_type = Uuid)]
    pub(crate) command_id: CommandId,
    #[schema(value_type = String, example = "RESTART_AGENT")]
    pub(crate) command_type: CommandType,
    /// `PENDING`, `RUNNING`, `SUCCESS` or `ERROR`.
    #[schema(value_type = String, example = "SUCCESS")]
    pub(crate) status: Status,
    #[schema(value_type = Option<Uuid>)]
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) tenant_name: Option<String>,
    pub(crate) created_by: String,
    pub(crate) created_by_email: Option<String>,
    pub(crate) created_at: Time,
    pub(crate) started_at: Option<Time>,
    pub(crate) completed_at: Option<Time>,
    pub(crate) duration_ms: Option<u64>,
    /// The result as JSON text, for people.
    pub(crate) output: Option<String>,
    pub(crate) error_message: Option<String>,
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    pub(crate) result: Option<Map<String, Value>>,
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    pub(crate) error: Option<CommandError>,
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    pub(crate) parameters: Map<String, Value>,
    pub(crate) reason: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    /// When it is tried again; null where it does not wait for that.
    pub(crate) next_attempt_at: Option<Time>,
    /// Whether its message has died, and can be reprocessed.
    pub(crate) dead_letter: bool,
    /// The trace of the request that made it, as logs show it.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    pub(crate) trace_id: String,
}

impl CommandView {
    fn of(command: Command, names: &HashMap<TenantId, String>) -> Self {
        // A retry keeps the error of the attempt before it; only a command that ended in ERROR has failed.
        let error = command.error.filter(|_| command.status == Status::Error);
        let is_retried = command.status == Status::Pending && command.attempt > 0;
        let next_attempt_at = is_retried.then(|| command.not_before.into());
        Self {
            command_id: command.key.command_id,
            command_type: command.command_type,
            status: command.status,
            tenant_id: command.tenant_id,
            tenant_name: command.tenant_id.and_then(|id| names.get(&id).cloned()),
            created_by: command.created_by,
            created_by_email: command.created_by_email,
            created_at: command.key.created_at.into(),
            started_at: command.started_at.map(Time::from),
            completed_at: command.completed_at.map(Time::from),
            duration_ms: command.duration_ms,
            output: command.result.as_ref().and_then(|result| serde_json::to_string(result).ok()),
            error_message: error.as_ref().map(|error| error.message.clone()),
            result: command.result,
            error,
            parameters: command.parameters,
            reason: command.reason,
            attempt: command.attempt,
            max_attempts: command.max_attempts,
            next_attempt_at,
            dead_letter: command.dead_letter,
            trace_id: command.traceparent.trace_id(),
        }
    }
}

/// A command that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    #[serde(flatten)]
    pub(crate) command: CommandView,
    pub(crate) message: &'static str,
}

/// Where a command may stand, or all of that.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CommandStatusFilter {
    /// Waits for a worker.
    Pending,
    /// Is being executed.
    Running,
    /// Took effect.
    Success,
    /// Ended without effect.
    Error,
    /// In any state.
    #[serde(rename = "all")]
    All,
}

/// `POST`: 202 with the command; it has been recorded, and a worker will execute it.
#[utoipa::path(
    post, path = "/internal/operations/commands", tag = "internal",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "The same key with the same request makes one command, for 24 hours.")),
    request_body(content = CommandRequest, example = json!({"command_type": "HEALTH_CHECK", "reason": "before a deploy"})),
    responses(
        (status = 202, body = Accepted, headers(("Location" = String, description = "Where the command is."))),
        WriteProblems,
    ),
)]
pub async fn create(write: Write) -> Result<HttpResponse, ApiError> {
    let Write { caller, object, request, state, place: _place } = write;
    let new = read_command(&request, object, &caller)?;
    let key = idempotency_key(&request, &caller, &new)?;
    let done = state.accept(new, key, observe::origin(&request)).await?;
    let names = done.command.tenant_id.zip(done.tenant_name).into_iter().collect();
    let mut response = HttpResponse::Accepted();
    response.insert_header((LOCATION, format!("{PATH}/{}", done.command.id())));
    if done.replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    let command = CommandView::of(done.command, &names);
    Ok(response.json(Accepted { command, message: "The command was accepted and will be executed." }))
}

/// A page of commands.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Commands)]
pub struct List {
    pub(crate) commands: Vec<CommandView>,
    /// How many there are on all pages; exact where no more than 10,000 commands had to be looked at.
    pub(crate) total: u64,
    /// Whether there may be more than `total`.
    pub(crate) total_is_capped: bool,
    /// Where the next page begins; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// `GET`: commands, newest first.
#[utoipa::path(
    get, path = "/internal/operations/commands", tag = "internal",
    params(
        ("status" = Option<CommandStatusFilter>, Query, description = "By default all."),
        ("command_type" = Option<CommandTypeName>, Query, description = "Only of this type."),
        ("tenant_id" = Option<Uuid>, Query, description = "Only of this tenant."),
        ("created_by" = Option<String>, Query, min_length = 1, max_length = 255, pattern = r"^\P{Cc}+$",
            description = "Only those that this user has sent, by the `sub` of their token."),
        ("dead_letter" = Option<bool>, Query, description = "Only those whose message has died, or only the others."),
        ("from" = Option<NaiveDate>, Query, description = "Only of this day, in UTC, and later ones."),
        ("to" = Option<NaiveDate>, Query, description = "Only of this day and earlier ones."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000, description = "By default 0; beyond 1,000 follow next_cursor."),
        ("cursor" = Option<String>, Query, description = "The next_cursor of an earlier answer to the same filter."),
    ),
    responses((status = 200, body = List), ReadProblems),
)]
pub async fn list(read: Read<CommandsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of the commands that fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandsQuery {
    filter: Filter,
    limit: usize,
    offset: usize,
    cursor: Option<Cursor>,
}

impl Query for CommandsQuery {
    type Answer = List;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let fields = asked.by_operator()?;
        let statuses = || Fault::not_one_of(Status::ALL.map(Status::as_str).into_iter().chain(["all"]));
        let status = fields.optional("status", statuses, |text| match text {
            "all" => Some(None),
            name => Status::ALL.into_iter().find(|status| status.as_str() == name).map(Some),
        });
        let (from, to) = fields.days();
        let filter = Filter {
            status: status.flatten(),
            command_type: fields.optional("command_type", unknown_type, CommandType::named),
            tenant_id: fields.uuid("tenant_id").map(TenantId::from),
            created_by: fields.text("created_by", LONGEST_SUB),
            dead_letter: fields.word("dead_letter", &[("true", true), ("false", false)]),
            from,
            to,
        };
        let limit = fields.number("limit", 1..=100, 50);
        let offset = fields.number("offset", 0..=MAX_OFFSET, 0);
        let cursor = fields.optional("cursor", || Fault::BadCursor, |text| Cursor::decode(text, &filter).ok());
        if cursor.is_some() && offset > 0 {
            fields.refuse("offset", Fault::NotBeside { other: "cursor" });
        }
        Ok(Self { filter, limit: limit as usize, offset: offset as usize, cursor })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Commands
    }

    fn lifetime(answer: &List) -> Lifetime {
        // What is not there yet may come without a word in the log: a command that is claimed, or retried.
        let settled = !answer.commands.is_empty() && answer.commands.iter().all(|one| one.status.is_final());
        if settled { SETTLED } else { UNSETTLED }
    }

    async fn compute(&self, state: &AppState) -> Result<List, ApiError> {
        let count = async { Ok(state.stores.commands.count(&self.filter).await?) };
        let (rows, count) = tokio::try_join!(self.rows(state), count)?;
        Ok(List { total: count.total, total_is_capped: count.capped, ..rows })
    }
}

/// A part of a list that is written into a file: nobody looks at its total, and it is asked for once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandRowsQuery(CommandsQuery);

impl Query for CommandRowsQuery {
    type Answer = List;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        CommandsQuery::read(asked).map(Self)
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Commands
    }

    fn lifetime(_: &List) -> Lifetime {
        Lifetime::NotStored
    }

    async fn compute(&self, state: &AppState) -> Result<List, ApiError> {
        self.0.rows(state).await
    }
}

impl CommandsQuery {
    /// The page, without how many there are on all of them.
    async fn rows(&self, state: &AppState) -> Result<List, ApiError> {
        let page = state.stores.commands.list(&self.filter, self.cursor, self.offset, self.limit).await?;
        let names = tenant_names(&state.stores.db, page.commands.iter().map(|command| command.tenant_id)).await;
        Ok(List {
            commands: page.commands.into_iter().map(|command| CommandView::of(command, &names)).collect(),
            next_cursor: page.next.map(|cursor| cursor.encode(&self.filter)),
            ..List::default()
        })
    }
}

/// `GET /{command_id}`: one command and its events.
#[utoipa::path(
    get, path = "/internal/operations/commands/{command_id}", tag = "internal",
    params(("command_id" = Uuid, Path, description = "The command.")),
    responses((status = 200, body = Shown), ReadProblems),
)]
pub async fn show(read: Read<CommandQuery>) -> Result<HttpResponse, ApiError> {
    read.fresh().answer().await
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandQuery {
    id: CommandId,
}

impl Query for CommandQuery {
    type Answer = Shown;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (id, _) = asked.by_operator_about("command_id")?;
        Ok(Self { id: id.into() })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Commands
    }

    fn lifetime(_: &Shown) -> Lifetime {
        Lifetime::NotStored
    }

    async fn compute(&self, state: &AppState) -> Result<Shown, ApiError> {
        let db = &state.stores.db;
        let command = state.stores.commands.get(self.id).await?.ok_or(ApiError::NotFound(None))?;
        let (names, events) =
            tokio::join!(tenant_names(db, [command.tenant_id]), db.step(|| events::of_command(state, self.id)),);
        if let Err(error) = &events {
            tracing::warn!(%error, "the events are left out: PostgreSQL did not answer");
        }
        let attempts = command.told_attempts().into_iter().map(AttemptView::of).collect();
        Ok(Shown { command: CommandView::of(command, &names), attempts, events: events.ok() })
    }
}

/// A command and what is in the audit log about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CommandWithEvents)]
pub struct Shown {
    #[serde(flatten)]
    pub(crate) command: CommandView,
    /// The latest 20, the oldest first, those before it was reprocessed among them.
    pub(crate) attempts: Vec<AttemptView>,
    /// Null where PostgreSQL did not answer: the command itself can be seen all the same.
    pub(crate) events: Option<Vec<EventView>>,
}

/// An attempt at a command.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView {
    pub(crate) started_at: Time,
    /// Null where it runs, or its worker was not heard of any more.
    pub(crate) ended_at: Option<Time>,
    pub(crate) duration_ms: Option<u64>,
    /// `SUCCESS`, `ERROR`, `RETRY` (it failed, and another one follows), `RELEASED` (its worker was stopped) or
    /// `LEASE_LOST` (its worker was not heard of any more); null where it runs.
    #[schema(value_type = Option<String>, example = "SUCCESS")]
    pub(crate) outcome: Option<AttemptOutcome>,
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    pub(crate) error: Option<CommandError>,
}

impl AttemptView {
    fn of(attempt: Attempt) -> Self {
        let took = attempt.ended_at.map(|at| (at - attempt.started_at).num_milliseconds().max(0).unsigned_abs());
        Self {
            started_at: attempt.started_at.into(),
            ended_at: attempt.ended_at.map(Time::from),
            duration_ms: took,
            outcome: attempt.outcome,
            error: attempt.error,
        }
    }
}

#[derive(FromRow)]
struct Named {
    id: Uuid,
    name: String,
}

statement!(
    NAMES: Named = "SELECT id, name FROM tenants WHERE id = ANY (string_to_array($1::text, ',')::uuid[])",
    "",
);

/// The names of these tenants. None where PostgreSQL does not answer: what is known of a command is shown without, and an
/// accepted command is never answered as if it were not.
async fn tenant_names(
    db: &Database,
    tenants: impl IntoIterator<Item = Option<TenantId>>,
) -> HashMap<TenantId, String> {
    let ids: BTreeSet<String> = tenants.into_iter().flatten().map(|tenant| tenant.to_string()).collect();
    if ids.is_empty() {
        return HashMap::new();
    }
    let ids = ids.into_iter().collect::<Vec<_>>().join(",");
    let named = db.step(async || db.ask_as_operator(&NAMES.bind([ids.clone().into()])).await).await;
    let named = named.unwrap_or_else(|error| {
        tracing::warn!(%error, "the tenants' names are left out: PostgreSQL did not answer");
        Vec::new()
    });
    named.into_iter().map(|row| (TenantId::from(row.id), row.name)).collect()
}
