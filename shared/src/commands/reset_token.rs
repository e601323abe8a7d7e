//! RESET_TOKEN: revoke an integration's secret and store a new random one.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{Fault, FieldError, Fields, Impact, Outcome, Parameters, Reference, Target, TenantRule};
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

statement!(
    INTEGRATION_NOW: Target =
        r#"SELECT id, name, status, last_sync_at AS last_used_at, NULL::bigint AS requests_last_hour,
                  NULL::bigint AS requests_last_day
           FROM tenant_integrations WHERE id = $1 AND tenant_id = $2"#,
    Uuid::nil(),
    Uuid::nil(),
);

impl Parameters for ResetToken {
    const NAME: &'static str = "RESET_TOKEN";
    const QUEUE: WorkQueue = WorkQueue::new("painel.reset-token");
    const TENANT: TenantRule = TenantRule::Required;
    const TIMEOUT: Duration = Duration::from_secs(30);
    const TARGET: Option<&'static str> = Some("integration_id");
    const OUTCOME: Outcome = Outcome {
        done: "The integration's token was renewed; it must be connected again.",
        not_done: "The integration's token was not renewed.",
    };

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

    fn impact(&self, tenant: Option<TenantId>) -> Impact {
        Impact {
            target: tenant.map(|tenant| INTEGRATION_NOW.bind([self.integration_id.uuid().into(), tenant.into()])),
            irreversible: Some(
                "The token in use is revoked at once; the integration stands still until it is connected again.",
            ),
            ..Impact::default()
        }
    }
}
