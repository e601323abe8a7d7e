//! What the endpoints stand on: the stores, the answers that are kept, and the scopes in which they ask.

use painel_shared::{
    command::NewCommand,
    command_store::IdempotencyKey,
    db::{Batch, InternalScope},
    dispatch::{Dispatched, dispatch, dispatch_aggregation},
    events::Origin,
    ids::TenantId,
    rollup::{Aggregation, RollupRun},
    statement,
    stores::Stores,
};
use sqlx::FromRow;
use tracing::Instrument;
use uuid::Uuid;

use crate::{caching::Answers, problem::ApiError};

/// The state of the API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Panel {
    /// The stores.
    pub stores: Stores,
    /// The answers that are kept.
    pub answers: Answers,
}

impl Panel {
    /// Accepts a command, and drops the answers that it makes stale; of a replayed one, too, whose first request may
    /// have gone to another process.
    pub async fn accept(
        &self,
        new: NewCommand,
        key: Option<IdempotencyKey>,
        origin: Origin,
    ) -> Result<Dispatched, ApiError> {
        let panel = self.clone();
        carry_through(async move {
            let done = dispatch(&panel.stores, new, key.as_ref(), origin).await?;
            panel.answers.command_accepted(&done.command);
            Ok(done)
        })
        .await
    }

    /// Accepts an aggregation, and drops the answers that it makes stale.
    pub async fn accept_aggregation(&self, asked: Aggregation, origin: Origin) -> Result<Vec<RollupRun>, ApiError> {
        let panel = self.clone();
        carry_through(async move {
            let runs = dispatch_aggregation(&panel.stores, &asked, origin).await?;
            panel.answers.runs_accepted();
            Ok(runs)
        })
        .await
    }

    /// Asks as that tenant, in one exchange; an error where there is no such tenant.
    pub async fn ask_as_tenant<B: Batch>(&self, tenant: TenantId, batch: B) -> Result<B::Answers, ApiError> {
        let (found, answers) = self.stores.db.ask_as_tenant(tenant, &(TENANT.bind([tenant.into()]), batch)).await?;
        if found.is_empty() { Err(ApiError::NotFound(None)) } else { Ok(answers) }
    }

    /// Asks in a scope of an operator.
    pub async fn in_internal<T>(
        &self,
        ask: impl AsyncFn(&mut InternalScope) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.ask(async || {
            let mut scope = self.stores.db.internal_scope().await?;
            let answer = ask(&mut scope).await?;
            scope.end().await?;
            Ok(answer)
        })
        .await
    }

    /// Asks once more where the session turns out to be useless.
    async fn ask<T>(&self, ask: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
        match self.stores.db.watch(ask()).await {
            Err(ApiError::Database(error)) if self.stores.db.learn(&error) => self.stores.db.watch(ask()).await,
            answer => answer,
        }
    }
}

/// Carries through what has begun, also when the request is given up: at its time limit, or with its connection.
async fn carry_through<T: 'static>(
    work: impl Future<Output = Result<T, ApiError>> + 'static,
) -> Result<T, ApiError> {
    let done = actix_web::rt::spawn(work.in_current_span()).await;
    done.map_err(|error| ApiError::Failed(error.to_string()))?
}

#[derive(FromRow)]
struct Found {
    #[expect(dead_code, reason = "that there is one says all")]
    id: Uuid,
}

statement!(TENANT: Found = "SELECT id FROM tenants WHERE id = $1", Uuid::nil());
