//! The partitions that a day's raw requests are in: made ahead, and taken out of the table when they are old.
//!
//! Whoever inserts a request never waits for this: what has to lock the table of all requests waits for its lock no longer
//! than inserts may wait behind it, and is tried again later.

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::horizon::is_settled;
use crate::db::Database;

/// The days whose raw requests are held, oldest first: each has a partition.
pub async fn days_held(db: &mut PgConnection) -> Result<Vec<NaiveDate>, sqlx::Error> {
    let days = sqlx::query_scalar!(
        r#"SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS "day!"
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'agent_requests'::regclass ORDER BY 1"#,
    );
    days.fetch_all(db).await
}

/// Makes the partition of a day where it is missing, in a transaction of its own; whether it is there: another scheduler
/// may be at it. That, and an error where those who use the tables were in the way, have to be looked at again.
pub async fn ensure_partition(db: &Database, day: NaiveDate) -> Result<bool, sqlx::Error> {
    let mut transaction = db.begin().await?;
    wait_shortly(&mut transaction).await?;
    let made =
        sqlx::query_scalar("SELECT ensure_agent_requests_partition($1)").bind(day).fetch_one(&mut *transaction);
    let made = made.await?;
    transaction.commit().await?;
    Ok(made)
}

/// The days before `oldest` whose raw requests are still held and have been rolled up.
pub async fn days_to_detach(db: &Database, oldest: NaiveDate) -> Result<Vec<NaiveDate>, sqlx::Error> {
    let mut connection = db.service().acquire().await?;
    let mut settled = Vec::new();
    for day in days_held(&mut connection).await?.into_iter().filter(|day| *day < oldest) {
        if is_settled(&mut connection, day).await? {
            settled.push(day);
        }
    }
    Ok(settled)
}

/// Takes a day's raw requests out of the table, if it is still rolled up when nobody can add to it any more: whether it
/// was. An error where those who use the table were in the way: it has to be tried again.
pub async fn detach(db: &Database, day: NaiveDate) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT detach_agent_requests($1) AS "detached!""#, day).fetch_one(&db.service()).await
}

/// Who waits for a lock on the table has all that insert wait behind it.
async fn wait_shortly(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SET LOCAL lock_timeout = '30ms'").execute(db).await?;
    Ok(())
}

/// The name of a day's partition, as the migrations make it.
pub fn partition(day: NaiveDate) -> String {
    format!("agent_requests_{}", day.format("%Y%m%d"))
}
