//! RESET_TOKEN: a new random secret for an integration, sealed; the old one is gone.

use std::sync::Arc;

use painel_shared::{
    commands,
    config::{ConfigError, CredentialsConfig, Vars},
    db::Session,
    secrets::{self, Keyring, SecretError},
    stores::Stores,
    time::{now, to_text},
};
use serde_json::json;

use crate::{
    effects::{self, Record, Success},
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
        let (tenant, integration) = (attempt.tenant()?, parameters.integration_id);
        let token = secrets::random_token().map_err(no_cipher)?;
        let sealed = self.keyring.seal(&token, tenant, integration).map_err(no_cipher)?;
        let fingerprint = secrets::fingerprint(&token);
        let rotated_at = now();
        let result = json!({"token_fingerprint": fingerprint, "rotated_at": to_text(rotated_at)});
        let result = result.as_object().cloned().unwrap_or_default();
        // Its old secret is overwritten, so it must connect anew: `pending`.
        let rotate = async |mut session: Session, record: Record| {
            let statement = sqlx::query_scalar!(
                r#"WITH integration AS (
                       -- It stays until it has been rotated.
                       SELECT name FROM tenant_integrations WHERE id = $1 AND tenant_id = $2 FOR NO KEY UPDATE
                   ), recorded AS (
                       SELECT success.taken, success.standing FROM integration, record_success($3, $4,
                           $5::jsonb || jsonb_build_object('integration_name', integration.name), $6) AS success
                   ), rotated AS (
                       UPDATE tenant_integrations
                       SET credentials = $7, credentials_nonce = $8, credentials_key_id = $9,
                           token_fingerprint = $10, token_rotated_at = $11, token_rotations = token_rotations + 1,
                           status = 'pending', last_error = NULL
                       WHERE id = $1 AND tenant_id = $2 AND (SELECT taken FROM recorded)
                   )
                   SELECT standing FROM recorded"#,
                integration.uuid(),
                tenant.uuid(),
                record.command,
                record.fence,
                record.result,
                record.event,
                sealed.ciphertext,
                sealed.nonce,
                sealed.key_id,
                fingerprint,
                rotated_at,
            );
            let standing = statement.fetch_optional(&mut *session).await;
            session.done(standing)
        };
        let db = &self.stores.db;
        if let Some(success) = effects::make(db, attempt, result, rotate).await? {
            return Ok(success);
        }
        // It may have been taken away after it was rotated.
        let gone = || HandlerError::permanent("integration_not_found", "the integration does not exist");
        effects::find_standing(db, attempt).await?.ok_or_else(gone)
    }
}

fn no_cipher(error: SecretError) -> HandlerError {
    HandlerError::retryable("encryption_failed", "the new secret could not be sealed").because(error)
}
