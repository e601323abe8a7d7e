//! The roles under which people's questions are asked.
//!
//! They belong to the whole server, and a migration to one database: another's may be making them at this moment. Whoever
//! migrates needs CREATEROLE and nothing more. Since PostgreSQL 16 who creates a role is its member and may still not take
//! it, so that is granted, too.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::sqlstate;

/// The role that sees the rows of the tenant that is named.
pub(super) const TENANT: &str = "painel_tenant";
/// The role that sees the rows of all tenants.
pub(super) const INTERNAL: &str = "painel_internal";
const ROLES: [&str; 2] = [TENANT, INTERNAL];
/// How often it is looked again after another migration was in the way.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Makes the roles that are missing, and has the connected role take them.
pub(super) async fn ensure(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    for role in ROLES {
        let mut tries = 1;
        while let Err(error) = ensure_one(db, role).await {
            if tries == TRIES || !is_of_another(&error) {
                return Err(explained(error, role));
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

async fn ensure_one(db: &mut PgConnection, role: &'static str) -> Result<(), sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(&mut *db)
        .await?;
    if !exists {
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE ROLE {role} NOLOGIN"))).execute(&mut *db).await?;
    }
    let may_take = "SELECT pg_has_role(current_user, $1, CASE
                        WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)";
    if !sqlx::query_scalar::<_, bool>(may_take).bind(role).fetch_one(&mut *db).await? {
        sqlx::raw_sql(AssertSqlSafe(format!("GRANT {role} TO CURRENT_USER"))).execute(&mut *db).await?;
    }
    Ok(())
}

/// Whether another session has made the same change at the same time.
fn is_of_another(error: &sqlx::Error) -> bool {
    const DUPLICATE_OBJECT: &str = "42710";
    const UNIQUE_VIOLATION: &str = "23505";
    // "tuple concurrently updated"
    const INTERNAL_ERROR: &str = "XX000";
    matches!(sqlstate(error).as_deref(), Some(DUPLICATE_OBJECT | UNIQUE_VIOLATION | INTERNAL_ERROR))
}

fn explained(error: sqlx::Error, role: &str) -> sqlx::Error {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    if sqlstate(&error).as_deref() != Some(INSUFFICIENT_PRIVILEGE) {
        return error;
    }
    let said = format!(
        "{error}: whoever migrates needs CREATEROLE, and where another has made the role {role}, it must be granted \
         by that one or by a superuser: GRANT {role} TO the role that connects"
    );
    sqlx::Error::Configuration(said.into())
}
