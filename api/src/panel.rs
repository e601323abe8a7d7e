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
    /// A scope of that tenant; an error where there is no such tenant.
    pub async fn tenant_scope(&self, tenant: TenantId) -> Result<TenantScope, ApiError> {
        let mut scope = self.stores.db.tenant_scope(tenant).await?;
        let found =
            sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants WHERE id = $1) AS "found!""#, tenant.uuid(),)
                .fetch_one(scope.connection())
                .await?;
        if found { Ok(scope) } else { Err(ApiError::NotFound(None)) }
    }

    /// A scope of an operator.
    pub async fn internal_scope(&self) -> Result<InternalScope, ApiError> {
        Ok(self.stores.db.internal_scope().await?)
    }
}
