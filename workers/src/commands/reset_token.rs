//! RESET_TOKEN: a new random secret for an integration, sealed; the old one is gone.

use std::sync::Arc;

use painel_shared::{
    commands,
    config::{ConfigError, CredentialsConfig, Vars},
    secrets::{self, Keyring, SecretError},
    stores::Stores,
    time::{now, to_text},
};
use serde_json::json;

use crate::{
    effects::{self, Begun, Success},
    handler::{Attempt, Handler, HandlerError},
};

/// The handler.
pub struct ResetToken {
    stores: Stores,
    keyring: Arc<Keyring>,
}

impl Handler for ResetToken {
    type Parameters = commands::ResetToken;

    fn build(vars: &Vars, stores: &Stores) -> Result<Self, ConfigError> {
        let keyring = CredentialsConfig::from_vars(vars)?.keyring()?;
        Ok(Self { stores: stores.clone(), keyring: Arc::new(keyring) })
    }

    async fn handle(&self, attempt: &Attempt, parameters: commands::ResetToken) -> Result<Success, HandlerError> {
        let tenant = attempt.tenant()?;
        let mut effect = match effects::begin(&self.stores.db, attempt).await? {
            Begun::Done(success) => return Ok(success),
            Begun::Fresh(effect) => effect,
        };
        let integration = parameters.integration_id;
        let token = secrets::random_token().map_err(no_cipher)?;
        let sealed = self.keyring.seal(&token, tenant, integration).map_err(no_cipher)?;
        let fingerprint = secrets::fingerprint(&token);
        let rotated_at = now();
        // Its old secret is overwritten, so it must connect anew: `pending`.
        let name = sqlx::query_scalar!(
            "UPDATE tenant_integrations
             SET credentials = $3, credentials_nonce = $4, credentials_key_id = $5, token_fingerprint = $6,
                 token_rotated_at = $7, token_rotations = token_rotations + 1, status = 'pending', last_error = NULL
             WHERE id = $1 AND tenant_id = $2
             RETURNING name",
            integration.uuid(),
            tenant.uuid(),
            sealed.ciphertext,
            sealed.nonce,
            sealed.key_id,
            fingerprint,
            rotated_at,
        )
        .fetch_optional(effect.connection())
        .await?
        .ok_or_else(|| HandlerError::permanent("integration_not_found", "the integration does not exist"))?;
        let result = json!({
            "integration_name": name,
            "token_fingerprint": fingerprint,
            "rotated_at": to_text(rotated_at),
        });
        effect.commit(attempt, result.as_object().cloned().unwrap_or_default()).await
    }
}

fn no_cipher(error: SecretError) -> HandlerError {
    HandlerError::retryable("encryption_failed", "the new secret could not be sealed").because(error)
}
