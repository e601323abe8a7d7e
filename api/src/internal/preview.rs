//! `POST /internal/operations/commands/preview`: what a command would touch. Nothing is stored.

use actix_web::HttpResponse;
use painel_shared::{
    command::{Command, NewCommand, Status},
    command_store::Filter,
    commands::{CommandType, DeadLetters, Target},
    dispatch::check_named,
    ids::{CommandId, TenantId},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::command_request::{CommandRequest, read_command};
use crate::{openapi::WriteProblems, problem::ApiError, state::AppState, time::Time, write::Write};

/// So many open commands are looked through, of each state.
const OPEN_AT_MOST: usize = 100;
/// So many of the dead commands are shown.
const SHOWN: usize = 10;

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
    /// How many there are now.
    pub(crate) dead_letters: u64,
    /// How many of them would move at most.
    pub(crate) would_move: u64,
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

async fn dead_letters(state: &AppState, letters: &DeadLetters) -> Result<DeadLettersView, ApiError> {
    let depth = async {
        let depth = state.stores.queue.depth(letters.queue).await;
        depth.map_err(|error| ApiError::Unavailable(error.to_string()))
    };
    let (depth, commands) = tokio::try_join!(depth, dead_commands(state, letters))?;
    Ok(DeadLettersView {
        queue_name: letters.queue.name(),
        dead_letters: depth.dead,
        would_move: letters.of(depth.dead),
        commands,
    })
}

/// The commands of that queue that died last.
async fn dead_commands(state: &AppState, letters: &DeadLetters) -> Result<Vec<ShortCommand>, ApiError> {
    let Some(command_type) = CommandType::all().find(|kind| kind.queue() == letters.queue) else {
        return Ok(Vec::new());
    };
    let filter = Filter { command_type: Some(command_type), dead_letter: Some(true), ..Filter::default() };
    let asked = if letters.commands.is_some() { OPEN_AT_MOST } else { SHOWN };
    let found = state.stores.commands.list(&filter, None, 0, asked).await?.commands;
    let named = |command: &Command| letters.commands.as_ref().is_none_or(|ids| ids.contains(&command.id()));
    Ok(found.into_iter().filter(named).take(SHOWN).map(ShortCommand::from).collect())
}

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
