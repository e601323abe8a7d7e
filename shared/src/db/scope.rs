//! Who is asking, as a type: PostgreSQL itself decides which rows such a question sees.
//!
//! A scope is a read-only transaction under a role that owns nothing. All of its statements see the database at
//! one moment, so that a page and its total agree. Nothing of it outlasts the transaction. What can be asked in one message
//! needs none: [`Database::ask_as_tenant`], [`Database::ask_as_operator`].

use sqlx::{AssertSqlSafe, PgConnection, Postgres, SqlSafeStr, Transaction};

use super::Database;
use crate::ids::TenantId;

/// The role that sees the rows of the tenant that is named.
pub(super) const TENANT: &str = "painel_tenant";
/// The role that sees the rows of all tenants.
pub(super) const INTERNAL: &str = "painel_internal";

/// Sees the rows of all tenants.
#[derive(Debug)]
pub struct InternalScope(Transaction<'static, Postgres>);

impl InternalScope {
    /// The connection to ask on.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// Ends it, so that its connection is free at once; dropped, it ends a little later.
    pub async fn end(self) -> Result<(), sqlx::Error> {
        self.0.rollback().await
    }
}

/// What is known of a user of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The tenant they belong to.
    pub tenant: TenantId,
    /// Whether they may do anything.
    pub active: bool,
}

impl Database {
    /// A scope of an operator.
    pub async fn internal_scope(&self) -> Result<InternalScope, sqlx::Error> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT set_config('role', '{INTERNAL}', true)"
        );
        Ok(InternalScope(self.begin_with(AssertSqlSafe(begin).into_sql_str()).await?))
    }

    /// The tenant that a user of the pool belongs to, before any scope is known.
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
