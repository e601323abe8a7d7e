//! A large day, read in pieces over two connections, and the same day over one.

use std::time::Duration;

use painel_shared::rollup;
use painel_tests::{
    stack::{Stack, with_stack, with_stack_and},
    wait::eventually,
};
use painel_workers::rollup::{Limits, Rolled};
use sqlx::AssertSqlSafe;

use super::{LONG, days_ago, insert, roll, roll_within};

/// Enough for many pages.
const REQUESTS: i64 = 300_000;

/// The day's usage of all agents, as text, beside a recount by a statement of its own.
async fn compare(stack: &Stack, day: chrono::NaiveDate) {
    let wrong: i64 = sqlx::query_scalar(
        "WITH recount AS (
             SELECT ta.tenant_id, ta.agent_id, count(*) AS total, count(*) FILTER (WHERE r.status = 'success') AS good,
                    avg(r.response_time_ms)::float8 AS time, sum(r.tokens_used)::bigint AS tokens
             FROM agent_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
             WHERE (r.created_at AT TIME ZONE 'UTC')::date = $1 GROUP BY 1, 2
         ), buckets AS (
             SELECT tenant_id, agent_id, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(n::integer ORDER BY bucket) AS counts
             FROM (SELECT ta.tenant_id, ta.agent_id, latency_bucket(r.response_time_ms) AS bucket, count(*) AS n
                   FROM agent_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
                   WHERE (r.created_at AT TIME ZONE 'UTC')::date = $1 GROUP BY 1, 2, 3) AS counted
             GROUP BY 1, 2
         )
         SELECT count(*)
         FROM (recount JOIN buckets USING (tenant_id, agent_id))
             FULL JOIN (SELECT * FROM tenant_usage_daily WHERE date = $1) AS d USING (tenant_id, agent_id)
         WHERE (d.total_requests, d.successful_requests, d.total_tokens_used, d.latency_buckets, d.latency_counts)
                   IS DISTINCT FROM (recount.total, recount.good, recount.tokens, buckets.buckets, buckets.counts)
            OR abs(d.avg_response_time_ms - recount.time) > 1e-6",
    )
    .bind(day)
    .fetch_one(&stack.stores.db.service())
    .await
    .unwrap();
    assert_eq!(wrong, 0, "rows that differ from a recount");
}

async fn fill(stack: &Stack, day: chrono::NaiveDate) {
    let mut connection = stack.stores.db.service().acquire().await.unwrap().detach();
    // On a busy disk this may take longer than a statement of the product may.
    sqlx::query("SET statement_timeout = 0").execute(&mut connection).await.unwrap();
    sqlx::query(
        "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at)
         SELECT (ARRAY(SELECT id FROM tenant_agents))[1 + n % (SELECT count(*) FROM tenant_agents)],
                (n * 7919 % 100003) ^ 2 / 5e5, n % 997,
                (ARRAY['success', 'success', 'success', 'error', 'timeout'])[1 + n % 5]::request_status,
                $1::date + make_interval(secs => n % 86400)
         FROM generate_series(1, $2) n",
    )
    .bind(day)
    .bind(REQUESTS)
    .execute(&mut connection)
    .await
    .unwrap();
}

#[test]
fn a_large_day_read_in_pieces_equals_a_recount() {
    with_stack(|stack| async move {
        let day = days_ago(0);
        fill(stack, day).await;
        let rolled = roll(stack, day, None).await;
        assert!(
            matches!(rolled, Rolled::Done { rows_read: REQUESTS, groups_written } if groups_written > 30),
            "{rolled:?}"
        );
        compare(stack, day).await;
    });
}

#[test]
fn a_day_that_vacuum_has_been_at_is_read_from_its_index_and_equals_a_recount() {
    with_stack(|stack| async move {
        let (db, day) = (&stack.stores.db.service(), days_ago(0));
        fill(stack, day).await;
        let partition = rollup::partition(day);
        sqlx::query(AssertSqlSafe(format!("VACUUM {partition}"))).execute(db).await.unwrap();
        let scans = async || -> (i64, i64) {
            sqlx::query_as(
                "SELECT sum(seq_scan)::bigint, sum(idx_scan)::bigint FROM pg_stat_user_tables
                 WHERE relname LIKE $1 || '\\__'",
            )
            .bind(&partition)
            .fetch_one(db)
            .await
            .unwrap()
        };
        let (read_whole, read_by_index) = scans().await;
        assert!(matches!(roll(stack, day, None).await, Rolled::Done { rows_read: REQUESTS, .. }));
        // A connection tells what it did when it is closed.
        let (whole, by_index) = eventually("the index to have been read", Duration::from_secs(10), || async {
            let now = scans().await;
            (now != (read_whole, read_by_index)).then_some(now)
        })
        .await;
        assert_eq!(whole, read_whole, "no table was read");
        assert!(by_index > read_by_index);
        compare(stack, day).await;
    });
}

#[test]
fn one_connection_gives_the_same() {
    with_stack_and(&[("PAINEL_DATABASE_POOL", "1")], |stack| async move {
        let day = days_ago(0);
        fill(stack, day).await;
        assert!(matches!(roll(stack, day, None).await, Rolled::Done { rows_read: REQUESTS, .. }));
        compare(stack, day).await;
        // One tenant's part of it changes nothing.
        roll(stack, day, Some(stack.example.tenant)).await;
        compare(stack, day).await;
    });
}

#[test]
fn agents_with_very_many_requests_are_read_in_parts_and_equal_a_recount() {
    for connections in ["10", "1"] {
        with_stack_and(&[("PAINEL_DATABASE_POOL", connections)], |stack| async move {
            let day = days_ago(0);
            fill(stack, day).await;
            insert(stack, day, 20_000).await;
            // The others have fewer.
            let limits = Limits { at_once: 15_000, ..Limits::of(LONG) };
            let rolled = roll_within(stack, day, None, limits).await;
            assert!(
                matches!(rolled, Rolled::Done { rows_read, .. } if rows_read == REQUESTS + 20_000),
                "{rolled:?}"
            );
            compare(stack, day).await;
            // Now all of them have more.
            let limits = Limits { at_once: 1_000, ..limits };
            roll_within(stack, day, None, limits).await;
            compare(stack, day).await;
            roll_within(stack, day, Some(stack.example.tenant), limits).await;
            compare(stack, day).await;
        });
    }
}
