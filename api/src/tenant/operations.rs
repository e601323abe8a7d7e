//! `GET /tenant/operations`: what the operators did to the tenant, and what came of it. Neither who did it nor why.

use actix_web::HttpResponse;
use painel_shared::{
    command::{Command, Status},
    command_store::{Cursor, Filter},
    commands::{CommandType, Fault},
    db::{Bound, Known},
    ids::{CommandId, TenantId},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    cache::{CacheTag, Lifetime},
    internal::commands::{SETTLED, UNSETTLED},
    openapi::ReadProblems,
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

const PAGE: u32 = 20;

/// A page of what was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Operations {
    /// Newest first.
    pub(crate) operations: Vec<Operation>,
    /// Where the next page begins; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// Something that was done, or is to be.
#[derive(Debug, Serialize, ToSchema)]
pub struct Operation {
    #[schema(value_type = Uuid)]
    pub(crate) operation_id: CommandId,
    #[schema(value_type = String, example = "RESTART_AGENT")]
    pub(crate) command_type: CommandType,
    /// `PENDING`, `RUNNING`, `SUCCESS` or `ERROR`.
    #[schema(value_type = String, example = "SUCCESS")]
    pub(crate) status: Status,
    pub(crate) created_at: Time,
    pub(crate) completed_at: Option<Time>,
    /// What came of it, in words; null where it has not ended.
    pub(crate) outcome: Option<&'static str>,
}

/// What was done to the tenant.
#[utoipa::path(
    get, path = "/tenant/operations", tag = "tenant",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 20."),
        ("cursor" = Option<String>, Query, description = "The next_cursor of an earlier answer to the same question."),
        ("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one."),
    ),
    responses((status = 200, body = Operations), ReadProblems),
)]
pub async fn list(read: Read<OperationsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of what was done to a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OperationsQuery {
    tenant: TenantId,
    limit: usize,
    cursor: Option<Cursor>,
}

impl OperationsQuery {
    fn filter(tenant: TenantId) -> Filter {
        Filter { tenant_id: Some(tenant), ..Filter::default() }
    }
}

impl Query for OperationsQuery {
    type Answer = Operations;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, fields) = asked.of_tenant()?;
        let filter = Self::filter(tenant);
        let limit = fields.number("limit", 1..=100, PAGE) as usize;
        let cursor = fields.optional("cursor", || Fault::BadCursor, |text| Cursor::decode(text, &filter).ok());
        Ok(Self { tenant, limit, cursor })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Commands
    }

    fn lifetime(answer: &Operations) -> Lifetime {
        let settled = !answer.operations.is_empty() && answer.operations.iter().all(|one| one.status.is_final());
        if settled { SETTLED } else { UNSETTLED }
    }

    async fn compute(&self, state: &AppState) -> Result<Operations, ApiError> {
        let filter = Self::filter(self.tenant);
        // A tenant that is none has no list, not an empty one.
        let known = state.ask_as_tenant(self.tenant, None::<Bound<Known>>);
        let found = async { Ok(state.stores.commands.list(&filter, self.cursor, 0, self.limit).await?) };
        let (_, page) = tokio::try_join!(known, found)?;
        Ok(Operations {
            operations: page.commands.into_iter().map(Operation::from).collect(),
            next_cursor: page.next.map(|cursor| cursor.encode(&filter)),
        })
    }
}

impl From<Command> for Operation {
    fn from(command: Command) -> Self {
        let words = command.command_type.outcome();
        let outcome = match command.status {
            Status::Success => Some(words.done),
            Status::Error => Some(words.not_done),
            Status::Pending | Status::Running => None,
        };
        Self {
            operation_id: command.key.command_id,
            command_type: command.command_type,
            status: command.status,
            created_at: command.key.created_at.into(),
            completed_at: command.completed_at.map(Time::from),
            outcome,
        }
    }
}
