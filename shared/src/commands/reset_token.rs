//! RESET_TOKEN: revoke an integration's secret and store a new random one.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{Fault, FieldError, Fields, Parameters, Reference, TenantRule};
use crate::{
    db::Known,
    ids::{IntegrationId, TenantId},
    statement,
    work_queue::WorkQueue,
};

/// Which integration.
#[derive(Debug, Serialize)]
pub struct ResetToken {
    /// An integration of the command's tenant.
    pub integration_id: IntegrationId,
}

statement!(
    INTEGRATION: Known = "SELECT id FROM tenant_integrations WHERE id = $1 AND tenant_id = $2",
    Uuid::nil(),
    Uuid::nil(),
);

impl Parameters for ResetToken {
    const NAME: &'static str = "RESET_TOKEN";
    const QUEUE: WorkQueue = WorkQueue::new("painel.reset-token");
    const TENANT: TenantRule = TenantRule::Required;
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { integration_id: fields.required("integration_id")? })
    }

    fn reference(&self, tenant: TenantId) -> Option<Reference> {
        Some(Reference {
            known: INTEGRATION.bind([self.integration_id.uuid().into(), tenant.into()]),
            missing: FieldError::new(
                "parameters.integration_id",
                Fault::NotFound { what: "integration of this tenant" },
            ),
        })
    }
}
