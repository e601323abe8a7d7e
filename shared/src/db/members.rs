//! Whose user somebody is, before it is known as whom they may ask.

use super::Database;
use crate::ids::TenantId;

/// What is known of a user of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The tenant they belong to.
    pub tenant: TenantId,
    /// Whether they may do anything.
    pub active: bool,
}

impl Database {
    /// The tenant that a user of the pool belongs to, before anything is asked as that tenant.
    pub async fn find_member(&self, sub: &str) -> Result<Option<Member>, sqlx::Error> {
        let find = async || {
            sqlx::query!(r#"SELECT tenant_id AS "tenant_id!", status AS "status!" FROM find_member($1)"#, sub)
                .fetch_optional(&self.service())
                .await
        };
        let row = self.step(find).await?;
        Ok(row.map(|row| Member { tenant: TenantId::from(row.tenant_id), active: row.status == "active" }))
    }
}
