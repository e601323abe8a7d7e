//! What the endpoints stand on: the stores, and the answers that are kept.

use actix_web::{HttpRequest, web::Data};
use painel_shared::{
    changes::{Change, Subject},
    command::NewCommand,
    command_store::IdempotencyKey,
    db::{Batch, Known},
    dispatch::{Dispatched, dispatch, dispatch_aggregation},
    events::Origin,
    ids::TenantId,
    rollup::{Aggregation, RollupRun},
    statement,
    stores::Stores,
};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    cache::{CacheTag, QueryCache},
    in_flight::InFlight,
    problem::ApiError,
    turns::{Rank, Turns},
};

/// The state of the API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The stores.
    pub stores: Stores,
    /// The answers that are kept.
    pub cache: QueryCache,
    /// The requests that are under way.
    pub in_flight: InFlight,
    /// Whose turn it is to be worked for.
    pub turns: Turns,
}

impl AppState {
    /// The one of the server that has the request.
    pub fn of(request: &HttpRequest) -> Result<Data<Self>, ApiError> {
        request.app_data().cloned().ok_or_else(|| ApiError::Failed("the server has no state".to_owned()))
    }

    /// Accepts a command, and drops the answers that it makes stale: whoever sends one sees it at once, before the log has
    /// been followed so far. Of a replayed one, too, whose first request may have gone to another process.
    pub async fn accept(
        &self,
        new: NewCommand,
        key: Option<IdempotencyKey>,
        origin: Origin,
    ) -> Result<Dispatched, ApiError> {
        let (state, turn) = (self.clone(), self.turns.wait(Rank::Command).await?);
        carry_through(async move {
            let _turn = turn;
            let done = dispatch(&state.stores, new, key.as_ref(), origin).await?;
            let change = Change { subject: Subject::Command, tenant: done.command.tenant_id };
            state.cache.raise(CacheTag::stale_by(change));
            Ok(done)
        })
        .await
    }

    /// Accepts an aggregation, and drops the answers that it makes stale.
    pub async fn accept_aggregation(&self, asked: Aggregation, origin: Origin) -> Result<Vec<RollupRun>, ApiError> {
        let (state, turn) = (self.clone(), self.turns.wait(Rank::Command).await?);
        carry_through(async move {
            let _turn = turn;
            let runs = dispatch_aggregation(&state.stores, &asked, origin).await?;
            let change = Change { subject: Subject::Aggregation, tenant: asked.tenant_id };
            state.cache.raise(CacheTag::stale_by(change));
            Ok(runs)
        })
        .await
    }

    /// Asks as that tenant, in one exchange; an error where there is no such tenant.
    pub async fn ask_as_tenant<B: Batch>(&self, tenant: TenantId, batch: B) -> Result<B::Answers, ApiError> {
        let (found, answers) = self.stores.db.ask_as_tenant(tenant, &(TENANT.bind([tenant.into()]), batch)).await?;
        if found.is_empty() { Err(ApiError::NotFound(None)) } else { Ok(answers) }
    }
}

/// Carries through what has begun, also when the request is given up: at its time limit, or with its connection.
pub(crate) async fn carry_through<T: 'static>(
    work: impl Future<Output = Result<T, ApiError>> + 'static,
) -> Result<T, ApiError> {
    let done = actix_web::rt::spawn(work.in_current_span()).await;
    done.map_err(|error| ApiError::Failed(error.to_string()))?
}

statement!(TENANT: Known = "SELECT id FROM tenants WHERE id = $1", Uuid::nil());
