//! What the endpoints stand on: the stores, the answers that are kept, and the scopes in which they ask.

use painel_shared::{
    command::NewCommand,
    command_store::IdempotencyKey,
    db::{InternalScope, TenantScope},
    dispatch::{Dispatched, dispatch, dispatch_aggregation},
    events::Origin,
    ids::TenantId,
    rollup::{Aggregation, RollupRun},
    stores::Stores,
};
use tracing::Instrument;

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

    /// Asks in a scope of that tenant; an error where there is no such tenant.
    pub async fn in_tenant<T>(
        &self,
        tenant: TenantId,
        ask: impl AsyncFn(&mut TenantScope) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.ask(async || {
            let mut scope = self.stores.db.tenant_scope(tenant).await?;
            require(&mut scope).await?;
            let answer = ask(&mut scope).await?;
            scope.end().await?;
            Ok(answer)
        })
        .await
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

/// An error where the scope's tenant does not exist.
async fn require(scope: &mut TenantScope) -> Result<(), ApiError> {
    let tenant = scope.tenant().uuid();
    let found = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants WHERE id = $1) AS "found!""#, tenant)
        .fetch_one(scope.connection())
        .await?;
    if found { Ok(()) } else { Err(ApiError::NotFound(None)) }
}
