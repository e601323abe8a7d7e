//! What a first start fills the database with: twelve tenants, ninety days of usage, three days of requests.

use painel_shared::{
    config::CredentialsConfig,
    db::Database,
    ids::{AgentId, IntegrationId, TenantId},
    secrets::{Keyring, fingerprint, sha256_hex},
};
use secrecy::SecretString;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::services::login_site::Customer;

/// What `pg_temp.id('tenant 1')` of the SQL gives.
const FIRST_TENANT: u128 = 0x2d9dd75d4ccc31e62d044ae59f12ee3e;

/// Fills an empty database; whether it was empty.
pub async fn load(db: &Database, credentials: &CredentialsConfig) -> anyhow::Result<bool> {
    let mut transaction = db.begin().await?;
    let known = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants) AS "known!""#);
    if known.fetch_one(&mut *transaction).await? {
        return Ok(false);
    }
    sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
    sqlx::raw_sql(include_str!("demo_data.sql")).execute(&mut *transaction).await?;
    seal_credentials(&mut transaction, &credentials.keyring()?).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn seal_credentials(db: &mut PgConnection, keyring: &Keyring) -> anyhow::Result<()> {
    let integrations = sqlx::query!("SELECT id, tenant_id FROM tenant_integrations").fetch_all(&mut *db).await?;
    for row in integrations {
        let token = SecretString::from(sha256_hex(row.id.as_bytes()));
        let sealed = keyring.seal(&token, TenantId::from(row.tenant_id), IntegrationId::from(row.id))?;
        sqlx::query!(
            "UPDATE tenant_integrations
             SET credentials = $2, credentials_nonce = $3, credentials_key_id = $4, token_fingerprint = $5,
                 token_rotated_at = created_at
             WHERE id = $1",
            row.id,
            sealed.ciphertext,
            sealed.nonce,
            sealed.key_id,
            fingerprint(&token),
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// The active tenants, by name.
pub async fn customers(db: &PgPool) -> anyhow::Result<Vec<Customer>> {
    let rows = sqlx::query!("SELECT id, name FROM tenants WHERE status = 'active' ORDER BY name LIMIT 100");
    let rows = rows.fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| Customer { id: row.id.into(), name: row.name }).collect())
}

/// The first tenant of the demo data, whose id is the same everywhere.
pub fn first_tenant() -> TenantId {
    TenantId::from(Uuid::from_u128(FIRST_TENANT))
}

/// A tenant to show things with, two of its agents and one of its integrations.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The tenant.
    pub tenant: TenantId,
    /// Two active agents.
    pub agents: [AgentId; 2],
    /// An integration.
    pub integration: IntegrationId,
}

/// The first tenant, with two of its agents and one of its integrations.
pub async fn example(db: &PgPool) -> anyhow::Result<Example> {
    let tenant = first_tenant();
    let row = sqlx::query!(
        r#"SELECT min(agent_id::text)::uuid AS "first!", max(agent_id::text)::uuid AS "last!",
                  (SELECT min(id::text)::uuid FROM tenant_integrations WHERE tenant_id = $1) AS "integration!"
           FROM tenant_agents WHERE tenant_id = $1 AND status = 'active'"#,
        tenant.uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(Example {
        tenant,
        agents: [AgentId::from(row.first), AgentId::from(row.last)],
        integration: IntegrationId::from(row.integration),
    })
}
