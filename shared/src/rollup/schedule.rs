//! Which days are to be rolled up by themselves.
//!
//! Several schedulers may ask at the same time: each looks and stores in one transaction under a lock.

use chrono::NaiveDate;
use sqlx::{PgConnection, PgPool};

use super::{
    RollupRun, Row,
    horizon::{find_unsettled, note_horizons},
    interval,
    partitions::days_held,
};
use crate::{command::PUBLISH_PATIENCE, db::Database};

/// Asks for a run of every closed day that has raw requests and no finished run, once, however many ask.
pub async fn request_missing(db: &Database, today: NaiveDate) -> Result<Vec<RollupRun>, sqlx::Error> {
    let mut transaction = db.begin().await?;
    lock_schedule(&mut transaction).await?;
    let held = days_held(&mut transaction).await?;
    let missing = sqlx::query_scalar!(
        r#"SELECT day AS "day!" FROM unnest($1::date[]) AS held (day)
           WHERE day < $2 AND NOT EXISTS (
               SELECT FROM rollup_runs r
               WHERE r.day = held.day AND r.tenant_id IS NULL AND r.state IN ('queued', 'running', 'succeeded'))
           ORDER BY day"#,
        &held,
        today,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let asked = missing.into_iter().map(|day| (day, None)).collect();
    let runs = insert_scheduled(&mut transaction, asked).await?;
    transaction.commit().await?;
    Ok(runs)
}

/// Past so many tenants of a day, the whole day is rolled up instead of each.
const LATE_TENANTS: i64 = 100;

/// Asks for a run of what requests came late for: closed days that have been rolled up before and have marks, or that were
/// rolled up before all of their requests could be seen. The cost is that of the marks, whatever the number of requests.
pub async fn request_late(db: &Database, today: NaiveDate) -> Result<Vec<RollupRun>, sqlx::Error> {
    let mut transaction = db.begin().await?;
    lock_schedule(&mut transaction).await?;
    let held = days_held(&mut transaction).await?;
    note_horizons(&mut transaction, &held).await?;
    let late = sqlx::query!(
        r#"WITH late AS (
               SELECT DISTINCT m.day, m.tenant_id FROM rollup_marks m
               WHERE m.day < $1 AND EXISTS (SELECT FROM rollup_runs r WHERE r.day = m.day AND r.tenant_id IS NULL
                                                AND r.state = 'succeeded')
                 AND to_regclass('agent_requests_' || to_char(m.day, 'YYYYMMDD')) IS NOT NULL
           ), counted AS (
               SELECT day, tenant_id, count(*) OVER (PARTITION BY day) AS tenants FROM late
           )
           SELECT DISTINCT day AS "day!", CASE WHEN tenants <= $2 THEN tenant_id END AS tenant_id FROM counted
           WHERE NOT EXISTS (SELECT FROM rollup_runs r
                             WHERE r.day = counted.day AND r.state IN ('queued', 'running')
                               AND (r.tenant_id IS NULL OR r.tenant_id = counted.tenant_id))
           ORDER BY 1"#,
        today,
        LATE_TENANTS,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let unsettled = find_unsettled(&mut transaction).await?;
    let marked = late.into_iter().map(|row| (row.day, row.tenant_id));
    let asked = marked.filter(|(day, _)| !unsettled.contains(day));
    let asked = asked.chain(unsettled.iter().map(|day| (*day, None))).collect();
    let runs = insert_scheduled(&mut transaction, asked).await?;
    transaction.commit().await?;
    Ok(runs)
}

/// One scheduler at a time looks and stores.
async fn lock_schedule(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('painel rollup schedule', 0))").execute(db).await?;
    Ok(())
}

async fn insert_scheduled(
    db: &mut PgConnection,
    asked: Vec<(NaiveDate, Option<uuid::Uuid>)>,
) -> Result<Vec<RollupRun>, sqlx::Error> {
    let ids: Vec<uuid::Uuid> = asked.iter().map(|_| uuid::Uuid::now_v7()).collect();
    let (days, tenants): (Vec<NaiveDate>, Vec<Option<uuid::Uuid>>) = asked.into_iter().unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"INSERT INTO rollup_runs (id, day, tenant_id, requested_by, next_publish_at)
           SELECT asked.id, asked.day, asked.tenant, 'scheduler', now() + $4
           FROM unnest($1::uuid[], $2::date[], $3::uuid[]) AS asked (id, day, tenant)
           ON CONFLICT (day, tenant_id) WHERE state IN ('queued', 'running') DO NOTHING
           RETURNING id, day, tenant_id, state, attempt, max_attempts, fence, lease_owner,
                  0::bigint AS "due_in_ms!", false AS "lease_expired!",
                  rows_read, groups_written, duration_ms, error, dead_letter, requested_by, created_at, started_at, finished_at,
                  traceparent"#,
        &ids,
        &days,
        &tenants as &[Option<uuid::Uuid>],
        interval(PUBLISH_PATIENCE),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(RollupRun::from).collect())
}

/// How many closed days with raw requests have no finished run.
pub async fn lag_days(db: &PgPool, today: NaiveDate) -> Result<i64, sqlx::Error> {
    let lag = sqlx::query_scalar!(
        r#"SELECT count(*) AS "lag!"
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
                LATERAL (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day) AS held
           WHERE i.inhparent = 'agent_requests'::regclass AND held.day < $1
             AND NOT EXISTS (SELECT FROM rollup_runs r
                             WHERE r.day = held.day AND r.tenant_id IS NULL AND r.state = 'succeeded')"#,
        today,
    );
    lag.fetch_one(db).await
}
