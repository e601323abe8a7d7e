//! `GET /internal/operations/queues`: how full each queue is, and how many jobs have died.

use std::time::Duration;

use actix_web::HttpResponse;
use futures::future::try_join_all;
use painel_shared::{commands::CommandType, statement, time::Timestamp, work_queue::WorkQueue};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::{
    cache::{CacheTag, Lifetime},
    openapi::ReadProblems,
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
};

/// How long an answer is good: many who look are one look at the queue.
const BRIEFLY: Lifetime = Lifetime::Revalidated(Duration::from_secs(1));

/// The queues.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queues {
    pub(crate) queues: Vec<Queue>,
}

/// A work queue, and its dead-letter queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queue {
    /// Such as `painel.health-check`.
    pub(crate) name: &'static str,
    /// Jobs that wait.
    pub(crate) waiting: u64,
    /// Jobs that were delivered and are not settled; null where the transport does not know.
    pub(crate) in_flight: Option<u64>,
    /// Jobs that have died, and can be reprocessed.
    pub(crate) dead_letters: u64,
    /// Since when the oldest of them is dead; null where there is none, or none was found soon.
    pub(crate) oldest_dead_letter_at: Option<Time>,
    /// How many workers listen; null where the transport does not know.
    pub(crate) consumers: Option<u64>,
}

/// The queues.
#[utoipa::path(
    get, path = "/internal/operations/queues", tag = "internal",
    responses((status = 200, body = Queues), ReadProblems),
)]
pub async fn list(read: Read<QueuesQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// All queues.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueuesQuery;

impl Query for QueuesQuery {
    type Answer = Queues;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        asked.by_operator().map(|_| Self)
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Commands
    }

    fn lifetime(_: &Queues) -> Lifetime {
        BRIEFLY
    }

    async fn compute(&self, state: &AppState) -> Result<Queues, ApiError> {
        let depths = WorkQueue::all().map(|queue| async move {
            let depth = state.stores.queue.depth(queue).await;
            let depth = depth.map_err(|error| ApiError::Unavailable(error.to_string()))?;
            let oldest = match depth.dead {
                0 => None,
                _ => oldest_dead(state, queue).await?,
            };
            Ok::<_, ApiError>(Queue {
                name: queue.name(),
                waiting: depth.ready,
                in_flight: depth.in_flight,
                dead_letters: depth.dead,
                oldest_dead_letter_at: oldest.map(Time::from),
                consumers: depth.consumers,
            })
        });
        Ok(Queues { queues: try_join_all(depths).await? })
    }
}

#[derive(FromRow)]
struct Oldest {
    at: Option<Timestamp>,
}

statement!(OLDEST_RUN: Oldest = "SELECT min(finished_at) AS at FROM rollup_runs WHERE dead_letter");

/// Since when the oldest is dead of what that queue carries.
pub(crate) async fn oldest_dead(state: &AppState, queue: WorkQueue) -> Result<Option<Timestamp>, ApiError> {
    let Some(kind) = CommandType::all().find(|kind| kind.queue() == queue) else {
        let asked = OLDEST_RUN.bind([]);
        let found = state.stores.db.step(|| state.stores.db.ask_as_operator(&asked)).await?;
        return Ok(found.into_iter().next().and_then(|row| row.at));
    };
    Ok(state.stores.commands.oldest_dead(kind).await?)
}
