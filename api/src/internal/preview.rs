//! `POST /internal/operations/commands/preview`: what a command would touch. Nothing is stored.

use actix_web::HttpResponse;
use futures::{StreamExt, TryStreamExt, stream};
use painel_shared::{
    command::{Command, NewCommand, Status},
    command_store::Filter,
    commands::{CommandType, DeadLetters, Target},
    dispatch::check_named,
    ids::{CommandId, TenantId},
    statement,
};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    command_request::{CommandRequest, read_command},
    queues::oldest_dead,
};
use crate::{openapi::WriteProblems, problem::ApiError, state::AppState, time::Time, write::Write};

/// So many open commands are looked through, of each state.
const OPEN_AT_MOST: usize = 100;
/// So many of the dead commands are shown.
const SHOWN: usize = 10;
/// So many parts of a list are looked through for them.
const PAGES: usize = 5;
/// So many commands that are named are looked up at once.
const AT_ONCE: usize = 10;

/// What a command would touch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CommandPreview)]
pub struct Preview {
    #[schema(value_type = String, example = "RESTART_AGENT")]
    pub(crate) command_type: CommandType,
    #[schema(value_type = Option<Uuid>)]
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) tenant_name: Option<String>,
    /// The agent or the integration, as it is now.
    pub(crate) target: Option<TargetView>,
    /// Of REPROCESS_QUEUE: what would move.
    pub(crate) dead_letters: Option<DeadLettersView>,
    /// Commands that touch the same and have not ended; of a type that touches nothing, those of the type.
    pub(crate) open_commands: Vec<ShortCommand>,
    /// What is done then and cannot be undone.
    pub(crate) irreversible: Option<&'static str>,
}

/// What a command names, as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CommandTarget)]
pub struct TargetView {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// The agent's or the integration's.
    pub(crate) status: String,
    /// The agent's last request, or the integration's last synchronisation.
    pub(crate) last_used_at: Option<Time>,
    /// Of an agent.
    pub(crate) requests_last_hour: Option<i64>,
    /// Of an agent.
    pub(crate) requests_last_day: Option<i64>,
}

/// The dead letters of a queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLettersView {
    pub(crate) queue_name: &'static str,
    /// How many there are now, those among them whose message is gone.
    pub(crate) dead_letters: u64,
    /// Since when the oldest is dead.
    pub(crate) oldest_dead_letter_at: Option<Time>,
    /// How many of them would move at most.
    pub(crate) would_move: u64,
    /// How many of the commands that are named would be skipped: they have not died.
    pub(crate) would_be_skipped: u64,
    /// The ten commands that died last, of those that would move; none of rollups.
    pub(crate) commands: Vec<ShortCommand>,
}

/// A command in a few words.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShortCommand {
    #[schema(value_type = Uuid)]
    pub(crate) command_id: CommandId,
    #[schema(value_type = String)]
    pub(crate) status: Status,
    #[schema(value_type = Option<Uuid>)]
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) created_at: Time,
    pub(crate) created_by_email: Option<String>,
    pub(crate) completed_at: Option<Time>,
    pub(crate) error_message: Option<String>,
}

/// `POST`: 200 with what a command with that body would touch.
#[utoipa::path(
    post, path = "/internal/operations/commands/preview", tag = "internal",
    request_body(content = CommandRequest, example = json!({"command_type": "HEALTH_CHECK"})),
    responses((status = 200, body = Preview), WriteProblems),
)]
pub async fn create(write: Write) -> Result<HttpResponse, ApiError> {
    let Write { caller, object, request, state, place: _place } = write;
    let new = read_command(&request, object, &caller)?;
    let _turn = state.turns.wait(caller.rank()).await?;
    Ok(HttpResponse::Ok().json(look(&state, &new).await?))
}

/// What that command would touch; an error where it would not be accepted.
pub(crate) async fn look(state: &AppState, new: &NewCommand) -> Result<Preview, ApiError> {
    let stores = &state.stores;
    let tenant_name = check_named(stores, new).await?;
    let impact = new.command_type.impact(&new.parameters, new.tenant_id).map_err(ApiError::Validation)?;
    let target = async {
        let Some(target) = &impact.target else { return Ok::<_, ApiError>(None) };
        let found = stores.db.step(|| stores.db.ask_as_operator(target)).await?;
        Ok(found.into_iter().next().map(TargetView::from))
    };
    let dead_letters = async {
        match &impact.dead_letters {
            Some(letters) => Ok::<_, ApiError>(Some(dead_letters(state, letters).await?)),
            None => Ok(None),
        }
    };
    let (target, dead_letters, open_commands) = tokio::try_join!(target, dead_letters, open(state, new))?;
    Ok(Preview {
        command_type: new.command_type,
        tenant_id: new.tenant_id,
        tenant_name,
        target,
        dead_letters,
        open_commands,
        irreversible: impact.irreversible,
    })
}

/// A command that has died and lost its message is given back, too: so more may move than there are messages.
async fn dead_letters(state: &AppState, letters: &DeadLetters) -> Result<DeadLettersView, ApiError> {
    let depth = async {
        let depth = state.stores.queue.depth(letters.queue).await;
        depth.map_err(|error| ApiError::Unavailable(error.to_string()))
    };
    let (depth, died, oldest) = tokio::try_join!(depth, died(state, letters), oldest_dead(state, letters.queue))?;
    let dead = depth.dead.max(died.count);
    Ok(DeadLettersView {
        queue_name: letters.queue.name(),
        dead_letters: dead,
        oldest_dead_letter_at: oldest.map(Time::from),
        would_move: letters.of(if letters.commands.is_some() { died.count } else { dead }),
        would_be_skipped: died.others,
        commands: died.last,
    })
}

/// What has died of what a queue carries.
#[derive(Default)]
struct Died {
    /// How many, of those that are named where any are.
    count: u64,
    /// How many of those that are named have not died, or are of another queue, or nobody's.
    others: u64,
    /// Those that died last.
    last: Vec<ShortCommand>,
}

async fn died(state: &AppState, letters: &DeadLetters) -> Result<Died, ApiError> {
    let store = &state.stores.commands;
    let Some(kind) = CommandType::all().find(|kind| kind.queue() == letters.queue) else {
        let asked = DEAD_RUNS.bind([]);
        let runs = state.stores.db.step(|| state.stores.db.ask_as_operator(&asked)).await?;
        let count = runs.first().and_then(|row| u64::try_from(row.total).ok()).unwrap_or_default();
        return Ok(Died { count, ..Died::default() });
    };
    if let Some(ids) = &letters.commands {
        let found = stream::iter(ids).map(|id| store.get(*id)).buffer_unordered(AT_ONCE);
        let found: Vec<Option<Command>> = found.try_collect().await?;
        let is_dead = |command: &Command| {
            command.status == Status::Error && command.dead_letter && command.command_type == kind
        };
        let mut dead: Vec<Command> = found.into_iter().flatten().filter(is_dead).collect();
        let (count, named) = (dead.len(), ids.len());
        dead.sort_by_key(|command| std::cmp::Reverse(command.completed_at));
        return Ok(Died {
            count: u64::try_from(count).unwrap_or(u64::MAX),
            others: u64::try_from(named.saturating_sub(count)).unwrap_or(u64::MAX),
            last: dead.into_iter().take(SHOWN).map(ShortCommand::from).collect(),
        });
    }
    let filter = Filter { command_type: Some(kind), dead_letter: Some(true), ..Filter::default() };
    let (count, mut page) = tokio::try_join!(store.count(&filter), store.list(&filter, None, 0, SHOWN))?;
    let mut last = page.commands;
    // Where few of many are dead, a page holds less and says where to go on.
    for _ in 0..PAGES {
        let Some(next) = page.next.filter(|_| last.len() < SHOWN) else { break };
        page = store.list(&filter, Some(next), 0, SHOWN - last.len()).await?;
        last.append(&mut page.commands);
    }
    Ok(Died { count: count.total, others: 0, last: last.into_iter().map(ShortCommand::from).collect() })
}

#[derive(FromRow)]
struct Total {
    total: i64,
}

statement!(DEAD_RUNS: Total = r#"SELECT count(*) AS "total!" FROM rollup_runs WHERE dead_letter"#);

/// The commands that touch the same as this one and have not ended.
async fn open(state: &AppState, new: &NewCommand) -> Result<Vec<ShortCommand>, ApiError> {
    let of = |status| {
        let (command_type, tenant_id) = (Some(new.command_type), new.tenant_id);
        Filter { status: Some(status), command_type, tenant_id, ..Filter::default() }
    };
    let (pending, running) = (of(Status::Pending), of(Status::Running));
    let store = &state.stores.commands;
    let (pending, running) =
        tokio::try_join!(store.list(&pending, None, 0, OPEN_AT_MOST), store.list(&running, None, 0, OPEN_AT_MOST))?;
    let target = new.command_type.target();
    let is_same =
        |other: &Command| target.is_none_or(|target| other.parameters.get(target) == new.parameters.get(target));
    let all = running.commands.into_iter().chain(pending.commands);
    Ok(all.filter(is_same).map(ShortCommand::from).collect())
}

impl From<Target> for TargetView {
    fn from(target: Target) -> Self {
        Self {
            id: target.id,
            name: target.name,
            status: target.status,
            last_used_at: target.last_used_at.map(Time::from),
            requests_last_hour: target.requests_last_hour,
            requests_last_day: target.requests_last_day,
        }
    }
}

impl From<Command> for ShortCommand {
    fn from(command: Command) -> Self {
        let error = command.error.filter(|_| command.status == Status::Error);
        Self {
            command_id: command.key.command_id,
            status: command.status,
            tenant_id: command.tenant_id,
            created_at: command.key.created_at.into(),
            created_by_email: command.created_by_email,
            completed_at: command.completed_at.map(Time::from),
            error_message: error.map(|error| error.message),
        }
    }
}
