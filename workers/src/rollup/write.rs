//! Writing a day's usage: rows of `tenant_usage_daily`, and the counters of the agents they are about.
//!
//! A day's rows are replaced, and the counters move by the difference: a day that is rolled up again moves
//! nothing twice.

use std::collections::HashMap;

use chrono::NaiveDate;
use painel_shared::{ids::TenantId, time::Timestamp};
use sqlx::PgConnection;

use super::{
    scan::Usage,
    sums::{Done, Sums},
};

/// How many rows one statement writes.
pub(super) const BATCH: usize = 250;

/// The columns of a batch, each a parameter of the statement.
#[derive(Default)]
struct Columns {
    agents: Vec<i32>,
    totals: Vec<i64>,
    failed: Vec<i64>,
    times: Vec<i64>,
    tokens: Vec<i64>,
    last: Vec<Timestamp>,
    /// The histograms one after the other: a parameter cannot be an array of arrays of different lengths.
    buckets: Vec<i16>,
    counts: Vec<i32>,
    /// Where each histogram begins and ends; the first place is 1.
    begins: Vec<i32>,
    ends: Vec<i32>,
}

impl Columns {
    fn of(batch: &[Usage]) -> Self {
        let mut columns = Self::default();
        for usage in batch {
            columns.agents.push(usage.tenant_agent);
            columns.totals.push(usage.total);
            columns.failed.push(usage.failed);
            columns.times.push(usage.time);
            columns.tokens.push(usage.tokens);
            columns.last.push(usage.last_request_at.unwrap_or_default());
            columns.begins.push(place(&columns.buckets) + 1);
            let (buckets, counts) = usage.latency.stored();
            columns.buckets.extend(buckets);
            columns.counts.extend(counts);
            columns.ends.push(place(&columns.buckets));
        }
        columns
    }

    /// The histogram of the agent at that place.
    fn latency(&self, place: usize) -> (&[i16], &[i32]) {
        let edge = |edges: &[i32], less| edges.get(place).and_then(|edge| usize::try_from(edge - less).ok());
        let range = edge(&self.begins, 1).unwrap_or(0)..edge(&self.ends, 0).unwrap_or(0);
        (self.buckets.get(range.clone()).unwrap_or_default(), self.counts.get(range).unwrap_or_default())
    }
}

/// The place of the last bucket so far, as PostgreSQL counts.
pub(super) fn place(buckets: &[i16]) -> i32 {
    i32::try_from(buckets.len()).unwrap_or(i32::MAX)
}

/// What agents' counters move by, column by column.
#[derive(Debug, Default)]
pub(super) struct Moves {
    agents: Vec<i32>,
    totals: Vec<i64>,
    failed: Vec<i64>,
    times: Vec<i64>,
    last: Vec<Option<Timestamp>>,
}

impl Moves {
    /// How many agents they are about.
    pub(super) fn len(&self) -> i64 {
        i64::try_from(self.agents.len()).unwrap_or(i64::MAX)
    }
}

/// Writes a batch: replaces the day's rows of these agents, and notes what their counters move by and what they add up to.
pub(super) async fn write(
    db: &mut PgConnection,
    day: NaiveDate,
    batch: &[Usage],
    moves: &mut Moves,
    sums: &mut Sums,
) -> Result<(), sqlx::Error> {
    let columns = Columns::of(batch);
    let moved = sqlx::query!(
        r#"WITH new AS (
             SELECT ta.tenant_id, ta.agent_id, u.*, ($8::smallint[])[u.first:u.final] AS buckets,
                    ($9::integer[])[u.first:u.final] AS counts, COALESCE(d.total_requests, 0) AS old_total,
                    COALESCE(d.failed_requests, 0) AS old_failed,
                    COALESCE(round(d.avg_response_time_ms * d.total_requests), 0)::bigint AS old_time
             FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[],
                         $10::integer[], $11::integer[])
                  AS u (id, total, failed, time, tokens, last, first, final)
             JOIN tenant_agents ta ON ta.id = u.id
             LEFT JOIN tenant_usage_daily d
                 ON d.tenant_id = ta.tenant_id AND d.agent_id = ta.agent_id AND d.date = $1
         ), written AS (
             INSERT INTO tenant_usage_daily AS d (tenant_id, agent_id, date, total_requests, successful_requests,
                 failed_requests, success_rate, avg_response_time_ms, total_tokens_used, latency_buckets, latency_counts)
             SELECT tenant_id, agent_id, $1, total, total - failed, failed, round(100.0 * (total - failed) / total, 2),
                    time::double precision / total, tokens, buckets, counts
             FROM new
             ON CONFLICT (tenant_id, agent_id, date) DO UPDATE
             SET total_requests = excluded.total_requests, successful_requests = excluded.successful_requests,
                 failed_requests = excluded.failed_requests, success_rate = excluded.success_rate,
                 avg_response_time_ms = excluded.avg_response_time_ms, total_tokens_used = excluded.total_tokens_used,
                 latency_buckets = excluded.latency_buckets, latency_counts = excluded.latency_counts
         )
         SELECT id AS "id!", tenant_id, agent_id, total AS "total!", old_total AS "old_total!", failed AS "failed!",
                old_failed AS "old_failed!", time AS "time!", old_time AS "old_time!", last AS "last!"
         FROM new"#,
        day,
        &columns.agents,
        &columns.totals,
        &columns.failed,
        &columns.times,
        &columns.tokens,
        &columns.last,
        &columns.buckets,
        &columns.counts,
        &columns.begins,
        &columns.ends,
    )
    .fetch_all(db)
    .await?;
    let places: HashMap<i32, usize> = columns.agents.iter().copied().zip(0..).collect();
    for row in moved {
        let (buckets, counts) = places.get(&row.id).map(|place| columns.latency(*place)).unwrap_or_default();
        let done = Done { total: row.total, failed: row.failed, time: row.time, buckets, counts };
        sums.add(row.tenant_id, row.agent_id, &done);
        moves.agents.push(row.id);
        moves.totals.push(row.total - row.old_total);
        moves.failed.push(row.failed - row.old_failed);
        moves.times.push(row.time - row.old_time);
        moves.last.push(Some(row.last));
    }
    Ok(())
}

/// Moves the agents' counters. Nothing else that a rollup does keeps others from an agent, so this comes last; and two
/// rollups that did it at once, each in its own order, would wait for each other.
pub(super) async fn move_counters(db: &mut PgConnection, moves: &Moves) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE tenant_agents ta
         SET total_requests = ta.total_requests + u.total, total_errors = ta.total_errors + u.failed,
             total_response_time_ms = ta.total_response_time_ms + u.time,
             last_request_at = GREATEST(ta.last_request_at, u.last), last_used_at = GREATEST(ta.last_used_at, u.last)
         FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
              AS u (id, total, failed, time, last)
         WHERE ta.id = u.id",
        &moves.agents,
        &moves.totals,
        &moves.failed,
        &moves.times,
        &moves.last as &[Option<Timestamp>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes the day's rows that this transaction has not written, and notes that they come off the counters: their agents
/// have no request on it (any more).
pub(super) async fn remove_others(
    db: &mut PgConnection,
    day: NaiveDate,
    tenant: Option<TenantId>,
    moves: &mut Moves,
) -> Result<(), sqlx::Error> {
    let gone = sqlx::query!(
        r#"WITH gone AS (
             DELETE FROM tenant_usage_daily d
             WHERE d.date = $1 AND ($2::uuid IS NULL OR d.tenant_id = $2) AND d.xmin <> pg_current_xact_id()::xid
             RETURNING d.tenant_id, d.agent_id, d.total_requests, d.failed_requests,
                       round(d.avg_response_time_ms * d.total_requests)::bigint AS time
         )
         SELECT ta.id, -gone.total_requests AS "total!", -gone.failed_requests AS "failed!", -gone.time AS "time!"
         FROM gone JOIN tenant_agents ta ON ta.tenant_id = gone.tenant_id AND ta.agent_id = gone.agent_id"#,
        day,
        tenant.map(TenantId::uuid),
    )
    .fetch_all(db)
    .await?;
    for row in gone {
        moves.agents.push(row.id);
        moves.totals.push(row.total);
        moves.failed.push(row.failed);
        moves.times.push(row.time);
        moves.last.push(None);
    }
    Ok(())
}
