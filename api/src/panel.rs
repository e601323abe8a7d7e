//! What the endpoints stand on: the stores, the answers that are kept, and the scopes in which they ask.

use painel_shared::{
    db::{InternalScope, TenantScope},
    ids::TenantId,
    stores::Stores,
};

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
    /// Asks in a scope of that tenant; an error where there is no such tenant.
    pub async fn in_tenant<T>(
        &self,
        tenant: TenantId,
        ask: impl AsyncFnOnce(&mut TenantScope) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut scope = self.stores.db.tenant_scope(tenant).await?;
        require(&mut scope).await?;
        let answer = ask(&mut scope).await?;
        scope.end().await?;
        Ok(answer)
    }

    /// Asks in a scope of an operator.
    pub async fn in_internal<T>(
        &self,
        ask: impl AsyncFnOnce(&mut InternalScope) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut scope = self.stores.db.internal_scope().await?;
        let answer = ask(&mut scope).await?;
        scope.end().await?;
        Ok(answer)
    }
}

/// An error where the scope's tenant does not exist.
async fn require(scope: &mut TenantScope) -> Result<(), ApiError> {
    let tenant = scope.tenant().uuid();
    let found = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants WHERE id = $1) AS "found!""#, tenant)
        .fetch_one(scope.connection())
        .await?;
    if found { Ok(()) } else { Err(ApiError::NotFound(None)) }
}
