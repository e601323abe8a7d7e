//! Rollup runs. The table `rollup_runs` is the truth about rollup jobs, as the command store is about commands.
//!
//! ```text
//! queued --claim--> running --succeed--> succeeded
//!    ^                 | |
//!    +----- retry -----+ +--- fail, expire ---> failed --requeue--> queued
//! ```
//!
//! Each transition is one conditional statement; time is PostgreSQL's, so that no two clocks are compared. Whoever
//! holds a run proves it by its fence and owner, as with commands.

mod horizon;
mod partitions;
mod schedule;

use std::time::Duration;

use chrono::NaiveDate;
use sqlx::{PgConnection, PgPool, error::DatabaseError, postgres::types::PgInterval};

pub use self::{
    horizon::{Horizon, horizon, is_settled, note_settled},
    partitions::{days_held, days_to_detach, detach, ensure_partition, partition},
    schedule::{lag_days, request_late, request_missing},
};
use crate::{
    command::{Holder, PUBLISH_AGAIN, PUBLISH_PATIENCE, PUBLISH_PATIENCE_CAP, TAKE_OVER_PATIENCE},
    db::Database,
    ids::{LeaseOwner, RunId, TenantId},
    retry::RetryPolicy,
    time::Timestamp,
    trace::TraceContext,
    work_queue::WorkQueue,
};

/// The queue that carries rollup jobs.
pub const QUEUE: WorkQueue = WorkQueue::METRICS_ROLLUP;
/// The kind of a rollup job, as its envelope names it.
pub const KIND: &str = "METRICS_ROLLUP";
/// The longest time one attempt may take.
pub const TIMEOUT: Duration = Duration::from_secs(3600);
/// How a run is retried.
pub const RETRY: RetryPolicy = RetryPolicy::DEFAULT;

/// Days that are to be rolled up, already checked for their order and number.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// Only this tenant.
    pub tenant_id: Option<TenantId>,
    /// The `sub` of who asks.
    pub requested_by: String,
    /// Their address, where it is known.
    pub requested_by_email: Option<String>,
    /// The trace of the request.
    pub traceparent: TraceContext,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Asked for, and waiting for a worker.
    Queued,
    /// Claimed by a worker.
    Running,
    /// Its day equals a recount as of its end.
    Succeeded,
    /// Given up; its day is as it was.
    Failed,
}

impl RunState {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// A stored run.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupRun {
    /// Its id.
    pub id: RunId,
    /// The UTC day that is rolled up.
    pub day: NaiveDate,
    /// The one tenant it is about; none for all of them.
    pub tenant_id: Option<TenantId>,
    /// Where it stands.
    pub state: RunState,
    /// How many attempts have begun since it was asked for.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// The fencing token: grows with every change of hands.
    pub fence: u64,
    /// Who holds it.
    pub lease_owner: Option<LeaseOwner>,
    /// How long until it is due; zero where it is.
    pub due_in: Duration,
    /// Whether it is held and its lease has passed.
    pub lease_expired: bool,
    /// How many raw requests were read.
    pub rows_read: Option<u64>,
    /// How many rows of daily usage were written.
    pub groups_written: Option<u64>,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Why it failed, or why its last attempt did.
    pub error: Option<String>,
    /// Whether its message belongs in the dead-letter queue.
    pub dead_letter: bool,
    /// The `sub` of who asked for it, or `scheduler`.
    pub requested_by: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its latest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it succeeded or failed.
    pub finished_at: Option<Timestamp>,
    /// The trace of what asked for it.
    pub traceparent: TraceContext,
}

impl RollupRun {
    /// Who holds it, if anyone does.
    pub fn holder(&self) -> Option<Holder> {
        let owner = self.lease_owner.filter(|_| self.state == RunState::Running)?;
        Some(Holder { fence: self.fence, owner })
    }
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum RunClaim {
    /// The run is the caller's, who is its holder.
    Held(RollupRun, Holder),
    /// It is not to be had; this is how it stands.
    Refused(RollupRun),
    /// There is no such run.
    Missing,
}

/// A row, as every statement here gives it.
struct Row {
    id: uuid::Uuid,
    day: NaiveDate,
    tenant_id: Option<uuid::Uuid>,
    state: String,
    attempt: i32,
    max_attempts: i32,
    fence: i64,
    lease_owner: Option<uuid::Uuid>,
    due_in_ms: i64,
    lease_expired: bool,
    rows_read: Option<i64>,
    groups_written: Option<i64>,
    duration_ms: Option<i64>,
    error: Option<String>,
    dead_letter: bool,
    requested_by: Option<String>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    traceparent: Option<String>,
}

impl From<Row> for RollupRun {
    fn from(row: Row) -> Self {
        let state = match row.state.as_str() {
            "queued" => RunState::Queued,
            "running" => RunState::Running,
            "succeeded" => RunState::Succeeded,
            // The table's CHECK leaves no other.
            _ => RunState::Failed,
        };
        Self {
            id: row.id.into(),
            day: row.day,
            tenant_id: row.tenant_id.map(TenantId::from),
            state,
            attempt: row.attempt.unsigned_abs(),
            max_attempts: row.max_attempts.unsigned_abs(),
            fence: row.fence.unsigned_abs(),
            lease_owner: row.lease_owner.map(LeaseOwner::from),
            due_in: Duration::from_millis(row.due_in_ms.max(0).unsigned_abs()),
            lease_expired: row.lease_expired,
            rows_read: row.rows_read.map(i64::unsigned_abs),
            groups_written: row.groups_written.map(i64::unsigned_abs),
            duration_ms: row.duration_ms.map(i64::unsigned_abs),
            error: row.error,
            dead_letter: row.dead_letter,
            requested_by: row.requested_by,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            traceparent: row.traceparent.and_then(|text| text.parse().ok()).unwrap_or_else(TraceContext::root),
        }
    }
}

/// Asks for a run a day, of one tenant or of all. A day whose run is still open gets no second one: what stands
/// for each day is returned, oldest day first.
pub async fn request(
    db: &Database,
    days: &[NaiveDate],
    tenant: Option<TenantId>,
    requested_by: &str,
    trace: TraceContext,
) -> Result<Vec<RollupRun>, sqlx::Error> {
    let mut transaction = db.begin().await?;
    let ids: Vec<uuid::Uuid> = days.iter().map(|_| uuid::Uuid::now_v7()).collect();
    sqlx::query!(
        "INSERT INTO rollup_runs (id, day, tenant_id, requested_by, traceparent, next_publish_at)
         SELECT asked.id, asked.day, $3, $4, $5, now() + $6 FROM unnest($1::uuid[], $2::date[]) AS asked (id, day)
         ON CONFLICT (day, tenant_id) WHERE state IN ('queued', 'running') DO NOTHING",
        &ids,
        days,
        tenant.map(TenantId::uuid),
        requested_by,
        trace.to_string(),
        interval(PUBLISH_PATIENCE),
    )
    .execute(&mut *transaction)
    .await?;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, day, tenant_id, state, attempt, max_attempts, fence, lease_owner,
                  ceil(extract(epoch FROM not_before - now()) * 1000)::bigint AS "due_in_ms!",
                  (state = 'running' AND lease_expires_at <= now()) AS "lease_expired!",
                  rows_read, groups_written, duration_ms, error, dead_letter, requested_by, created_at, started_at, finished_at,
                  traceparent
           FROM rollup_runs
           WHERE day = ANY($1) AND tenant_id IS NOT DISTINCT FROM $2 AND state IN ('queued', 'running')
           ORDER BY day"#,
        days,
        tenant.map(TenantId::uuid),
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(rows.into_iter().map(RollupRun::from).collect())
}

/// The run of that id.
pub async fn find(db: &PgPool, id: RunId) -> Result<Option<RollupRun>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, day, tenant_id, state, attempt, max_attempts, fence, lease_owner,
                  ceil(extract(epoch FROM not_before - now()) * 1000)::bigint AS "due_in_ms!",
                  (state = 'running' AND lease_expires_at <= now()) AS "lease_expired!",
                  rows_read, groups_written, duration_ms, error, dead_letter, requested_by, created_at, started_at, finished_at,
                  traceparent
           FROM rollup_runs WHERE id = $1"#,
        id.uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(RollupRun::from))
}

/// **claim** under a fresh owner: queued and due, or running with an expired lease and an attempt left.
pub async fn claim(db: &PgPool, id: RunId, lease: Duration) -> Result<RunClaim, sqlx::Error> {
    let owner = LeaseOwner::fresh();
    let row = sqlx::query_as!(
        Row,
        r#"UPDATE rollup_runs
           SET state = 'running', attempt = attempt + 1, fence = fence + 1, lease_owner = $2,
               lease_expires_at = now() + $3, started_at = now(), next_publish_at = NULL, republished = 0
           WHERE id = $1 AND attempt < max_attempts
             AND ((state = 'queued' AND not_before <= now()) OR (state = 'running' AND lease_expires_at <= now()))
           RETURNING id, day, tenant_id, state, attempt, max_attempts, fence, lease_owner,
                  ceil(extract(epoch FROM not_before - now()) * 1000)::bigint AS "due_in_ms!",
                  (state = 'running' AND lease_expires_at <= now()) AS "lease_expired!",
                  rows_read, groups_written, duration_ms, error, dead_letter, requested_by, created_at, started_at, finished_at,
                  traceparent"#,
        id.uuid(),
        owner.uuid(),
        interval(lease),
    );
    if let Some(run) = row.fetch_optional(db).await?.map(RollupRun::from)
        && let Some(holder) = run.holder()
    {
        return Ok(RunClaim::Held(run, holder));
    }
    Ok(find(db, id).await?.map_or(RunClaim::Missing, RunClaim::Refused))
}

/// **renew**: the holder keeps its lease for longer; false where it has lost it.
pub async fn renew(db: &PgPool, id: RunId, holder: Holder, lease: Duration) -> Result<bool, sqlx::Error> {
    let renewed = sqlx::query!(
        "UPDATE rollup_runs SET lease_expires_at = now() + $4
         WHERE id = $1 AND state = 'running' AND fence = $2 AND lease_owner = $3",
        id.uuid(),
        signed(holder.fence),
        holder.owner.uuid(),
        interval(lease),
    );
    Ok(renewed.execute(db).await?.rows_affected() == 1)
}

/// **succeed**, in the transaction that wrote the day: false where the holder has lost it, and must roll back.
pub async fn succeed(
    db: &mut PgConnection,
    id: RunId,
    holder: Holder,
    rows_read: i64,
    groups_written: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE rollup_runs
         SET state = 'succeeded', rows_read = $4, groups_written = $5, error = NULL, finished_at = clock_timestamp(),
             duration_ms = (extract(epoch FROM clock_timestamp() - started_at) * 1000)::bigint,
             lease_owner = NULL, lease_expires_at = NULL, next_publish_at = NULL
         WHERE id = $1 AND state = 'running' AND fence = $2 AND lease_owner = $3",
        id.uuid(),
        signed(holder.fence),
        holder.owner.uuid(),
        rows_read,
        groups_written,
    );
    Ok(done.execute(db).await?.rows_affected() == 1)
}

/// **retry**: the holder gives it back to be tried again after `delay`.
pub async fn retry(
    db: &PgPool,
    id: RunId,
    holder: Holder,
    error: &str,
    delay: Duration,
) -> Result<bool, sqlx::Error> {
    let given = sqlx::query!(
        "UPDATE rollup_runs
         SET state = 'queued', error = $4, not_before = now() + $5, next_publish_at = now() + $5 + $6,
             lease_owner = NULL, lease_expires_at = NULL, republished = 0
         WHERE id = $1 AND state = 'running' AND fence = $2 AND lease_owner = $3 AND attempt < max_attempts",
        id.uuid(),
        signed(holder.fence),
        holder.owner.uuid(),
        error,
        interval(delay),
        interval(PUBLISH_PATIENCE),
    );
    Ok(given.execute(db).await?.rows_affected() == 1)
}

/// **release**: a holder that drains gives it back, or one that has to wait before it can begin; the attempt does not
/// count.
pub async fn release(db: &PgPool, id: RunId, holder: Holder, delay: Duration) -> Result<bool, sqlx::Error> {
    let given = sqlx::query!(
        "UPDATE rollup_runs
         SET state = 'queued', attempt = attempt - 1, not_before = now() + $4, next_publish_at = now() + $4 + $5,
             lease_owner = NULL, lease_expires_at = NULL, republished = 0
         WHERE id = $1 AND state = 'running' AND fence = $2 AND lease_owner = $3",
        id.uuid(),
        signed(holder.fence),
        holder.owner.uuid(),
        interval(delay),
        interval(PUBLISH_PATIENCE),
    );
    Ok(given.execute(db).await?.rows_affected() == 1)
}

/// **fail**: the holder gives it up. `dead_letter` where more attempts might have helped.
pub async fn fail(
    db: &PgPool,
    id: RunId,
    holder: Holder,
    error: &str,
    dead_letter: bool,
) -> Result<bool, sqlx::Error> {
    let failed = sqlx::query!(
        "UPDATE rollup_runs
         SET state = 'failed', error = $4, finished_at = now(), lease_owner = NULL, lease_expires_at = NULL,
             duration_ms = (extract(epoch FROM now() - started_at) * 1000)::bigint, next_publish_at = NULL,
             dead_letter = $5
         WHERE id = $1 AND state = 'running' AND fence = $2 AND lease_owner = $3",
        id.uuid(),
        signed(holder.fence),
        holder.owner.uuid(),
        error,
        dead_letter,
    );
    Ok(failed.execute(db).await?.rows_affected() == 1)
}

/// **expire**: the lease of the last attempt has passed.
pub async fn expire(db: &PgPool, id: RunId) -> Result<bool, sqlx::Error> {
    let expired = sqlx::query!(
        "UPDATE rollup_runs
         SET state = 'failed', fence = fence + 1, finished_at = now(), lease_owner = NULL, lease_expires_at = NULL,
             error = 'lease_lost: the worker stopped during the last attempt', next_publish_at = NULL,
             dead_letter = true
         WHERE id = $1 AND state = 'running' AND lease_expires_at <= now() AND attempt >= max_attempts",
        id.uuid(),
    );
    Ok(expired.execute(db).await?.rows_affected() == 1)
}

/// **requeue**: a failed run gets new attempts, unless its day has an open run already.
pub async fn requeue(db: &PgPool, id: RunId) -> Result<bool, sqlx::Error> {
    let queued = sqlx::query!(
        "UPDATE rollup_runs AS dead
         SET state = 'queued', attempt = 0, fence = fence + 1, error = NULL, finished_at = NULL, not_before = now(),
             next_publish_at = now() + $2, republished = 0, dead_letter = false
         WHERE id = $1 AND state = 'failed'
           AND NOT EXISTS (SELECT FROM rollup_runs other
                           WHERE other.day = dead.day AND other.tenant_id IS NOT DISTINCT FROM dead.tenant_id
                             AND other.state IN ('queued', 'running'))",
        id.uuid(),
        interval(PUBLISH_PATIENCE),
    );
    match queued.execute(db).await {
        Ok(done) => Ok(done.rows_affected() == 1),
        // Somebody has asked for the day at this moment.
        Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes at most `limit` runs that have waited too long, so that of several replicas one publishes each: running ones
/// whose lease has passed, then queued ones, the longest due first. The next wait of each is twice as long, up to five
/// minutes.
pub async fn take_overdue(db: &PgPool, limit: i64) -> Result<Vec<RollupRun>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"UPDATE rollup_runs
           SET next_publish_at = now() + LEAST((CASE state WHEN 'running' THEN $4::interval ELSE $1::interval END)
                                               * (2 ^ LEAST(republished + 1, 16)), $2::interval),
               republished = republished + 1
           WHERE id IN (
               SELECT id FROM rollup_runs
               WHERE state IN ('queued', 'running') AND (next_publish_at IS NULL OR next_publish_at <= now())
                 AND (state = 'queued' OR lease_expires_at <= now())
               ORDER BY state DESC, next_publish_at LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING id, day, tenant_id, state, attempt, max_attempts, fence, lease_owner,
                  ceil(extract(epoch FROM not_before - now()) * 1000)::bigint AS "due_in_ms!",
                  (state = 'running' AND lease_expires_at <= now()) AS "lease_expired!",
                  rows_read, groups_written, duration_ms, error, dead_letter, requested_by, created_at, started_at, finished_at,
                  traceparent"#,
        interval(PUBLISH_PATIENCE),
        interval(PUBLISH_PATIENCE_CAP),
        limit,
        interval(TAKE_OVER_PATIENCE),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(RollupRun::from).collect())
}

/// **publish failed**: the queue did not take what was published again; it is tried again soon.
pub async fn publish_failed(db: &PgPool, ids: &[RunId]) -> Result<(), sqlx::Error> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "UPDATE rollup_runs SET next_publish_at = now() + $2, republished = republished - 1
         WHERE id = ANY($1) AND state IN ('queued', 'running') AND republished > 0",
        &ids,
        interval(PUBLISH_AGAIN),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Of the failed runs whose messages were dead-lettered before `before`, the last one of each day that has no open run;
/// oldest first, at most `limit`.
pub async fn find_dead(db: &PgPool, before: Timestamp, limit: i64) -> Result<Vec<RunId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM (
             SELECT DISTINCT ON (day, tenant_id) id, finished_at FROM rollup_runs dead
             WHERE dead_letter AND finished_at < $1
               AND NOT EXISTS (SELECT FROM rollup_runs other
                               WHERE other.day = dead.day AND other.tenant_id IS NOT DISTINCT FROM dead.tenant_id
                                 AND other.state IN ('queued', 'running'))
             ORDER BY day, tenant_id, finished_at DESC
         ) AS last ORDER BY finished_at LIMIT $2",
        before,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(RunId::from).collect())
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}

/// PostgreSQL's integers are signed; a fence never comes near their end.
fn signed(fence: u64) -> i64 {
    i64::try_from(fence).unwrap_or(i64::MAX)
}
