//! When all that was inserted on a day can be seen.
//!
//! On the day that is open a request leaves no mark. Whoever inserted one had a transaction id before the day was over. So
//! once it is, a fresh transaction id is taken and noted as the day's horizon: all ids given before are below it. When no
//! transaction below it is left running, all that was inserted without a mark has been committed, or never will be. What
//! is inserted from then on leaves a mark.
//!
//! A snapshot's `xmax` would not do as a horizon: it follows the last transaction that has ended, and not the last id that
//! has been given, so that transactions which run may lie beyond it.

use chrono::NaiveDate;
use sqlx::{PgConnection, PgPool};

/// How a day stands to its horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// The day is not over by PostgreSQL's clock, so that more will come.
    Open,
    /// A transaction is running that may have inserted on the day.
    Ahead,
    /// One has been running for longer than a day's usage is kept waiting for it.
    Stuck,
    /// All that was inserted on the day without a mark can be seen.
    Passed,
}

/// Notes the horizon of a day that is over, if none has been noted, and looks where it is. No transaction is held.
pub async fn horizon(db: &PgPool, day: NaiveDate) -> Result<Horizon, sqlx::Error> {
    let mut connection = db.acquire().await?;
    note_horizons(&mut connection, &[day]).await?;
    let found = sqlx::query!(
        r#"SELECT horizon <= pg_snapshot_xmin(pg_current_snapshot()) AS "passed!",
                  noted_at < now() - interval '1 hour' AS "stuck!"
           FROM rollup_days WHERE day = $1"#,
        day,
    )
    .fetch_optional(&mut *connection)
    .await?;
    Ok(match found {
        None => Horizon::Open,
        Some(found) if found.passed => Horizon::Passed,
        Some(found) if found.stuck => Horizon::Stuck,
        Some(_) => Horizon::Ahead,
    })
}

/// Notes the horizon of each of these days that is over and has none. The caller's transaction must not have written
/// anything before: its id would be too old.
pub(super) async fn note_horizons(db: &mut PgConnection, days: &[NaiveDate]) -> Result<(), sqlx::Error> {
    // The id must be given after the clock has been read: by a statement of its own.
    let over = sqlx::query_scalar!(
        r#"SELECT day AS "day!" FROM unnest($1::date[]) AS asked (day)
           WHERE day < rollup_open_day() AND NOT EXISTS (SELECT FROM rollup_days d WHERE d.day = asked.day)"#,
        days,
    )
    .fetch_all(&mut *db)
    .await?;
    if over.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO rollup_days (day, horizon)
         SELECT day, pg_current_xact_id() FROM unnest($1::date[]) AS over (day)
         ON CONFLICT DO NOTHING",
        &over,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The days that were rolled up before all of their requests could be seen, and can be now.
pub(super) async fn find_unsettled(db: &mut PgConnection) -> Result<Vec<NaiveDate>, sqlx::Error> {
    let days = sqlx::query_scalar!(
        "SELECT day FROM rollup_days d
         WHERE NOT settled AND horizon <= pg_snapshot_xmin(pg_current_snapshot())
           AND EXISTS (SELECT FROM rollup_runs r WHERE r.day = d.day AND r.tenant_id IS NULL AND r.state = 'succeeded')
           AND NOT EXISTS (SELECT FROM rollup_runs r
                           WHERE r.day = d.day AND r.tenant_id IS NULL AND r.state IN ('queued', 'running'))
           AND to_regclass('agent_requests_' || to_char(day, 'YYYYMMDD')) IS NOT NULL
         ORDER BY day"
    );
    days.fetch_all(db).await
}

/// In the transaction of a run of all tenants that began to count when the day's horizon had passed.
pub async fn note_settled(db: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE rollup_days SET settled = true WHERE day = $1 AND NOT settled", day).execute(db).await?;
    Ok(())
}

/// Whether all of a day's requests are in its usage.
pub async fn is_settled(db: &mut PgConnection, day: NaiveDate) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT rollup_day_is_settled($1) AS "settled!""#, day).fetch_one(db).await
}
