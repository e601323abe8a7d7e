//! RESET_TOKEN: revoke an integration's secret and store a new random one.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgConnection;

use super::{Fault, FieldError, Fields, Parameters, TenantRule};
use crate::{
    ids::{IntegrationId, TenantId},
    work_queue::WorkQueue,
};

/// Which integration.
#[derive(Debug, Serialize)]
pub struct ResetToken {
    /// An integration of the command's tenant.
    pub integration_id: IntegrationId,
}

impl Parameters for ResetToken {
    const NAME: &'static str = "RESET_TOKEN";
    const QUEUE: WorkQueue = WorkQueue::new("painel.reset-token");
    const TENANT: TenantRule = TenantRule::Required;
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { integration_id: fields.required("integration_id")? })
    }

    async fn find_missing(
        &self,
        tenant: Option<TenantId>,
        db: &mut PgConnection,
    ) -> Result<Option<FieldError>, sqlx::Error> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM tenant_integrations WHERE id = $1 AND tenant_id = $2) AS "found!""#,
            self.integration_id.uuid(),
            tenant.map(TenantId::uuid),
        )
        .fetch_one(db)
        .await?;
        Ok((!found).then(|| {
            FieldError::new("parameters.integration_id", Fault::NotFound { what: "integration of this tenant" })
        }))
    }
}
