//! A day that is rolled up while the storm goes on, and requests that come late for it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use chrono::{Days, NaiveDate, Utc};
use reqwest::Method;
use serde_json::json;

use super::CALM;
use crate::{client::Client, stack::Stack, wait::eventually};

/// How many requests the day holds at first, a command of the storm.
const REQUESTS_A_COMMAND: usize = 100;
/// How often more requests come, and the day is asked for.
const TIMES: usize = 20;

fn day() -> NaiveDate {
    Utc::now().date_naive() - Days::new(1)
}

/// So many requests of all agents, spread over the day; whether they were inserted.
async fn insert(stack: &Stack, day: NaiveDate, count: usize) -> bool {
    let inserted = sqlx::query(
        "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at)
         SELECT (ARRAY(SELECT id FROM tenant_agents))[1 + n % (SELECT count(*) FROM tenant_agents)],
                n * 7919 % 9973, n % 997, (ARRAY['success', 'error', 'timeout'])[1 + n % 3]::request_status,
                $1::date + make_interval(secs => n % 86400)
         FROM generate_series(1, $2) n",
    )
    .bind(day)
    .bind(i64::try_from(count).unwrap())
    .execute(&stack.stores.db.service())
    .await;
    inserted.is_ok()
}

/// Makes the day large enough for a blow to fall into its rollup.
pub(super) async fn fill(stack: &Stack, commands: usize) {
    // In pieces, each within the limit of a statement.
    for _ in 0..REQUESTS_A_COMMAND {
        assert!(insert(stack, day(), commands).await);
    }
}

/// Asks for the day over and over while the commands are sent, with requests that come late for it.
pub(super) async fn ask(stack: &Stack, client: &Client, posted: &AtomicUsize, total: usize) {
    for time in 0..TIMES {
        let due = total * time / TIMES;
        eventually("the sending to come so far", CALM, || async {
            (posted.load(Ordering::SeqCst) >= due).then_some(())
        })
        .await;
        // Where a store is away, the next ones come.
        insert(stack, day(), 100).await;
        ask_once(client).await;
    }
}

async fn ask_once(client: &Client) {
    let asked = json!({"from": day(), "to": day()});
    let request = client.request(Method::POST, "/internal/operations/aggregations").json(&asked);
    let _ = request.timeout(Duration::from_secs(5)).send().await;
}

/// How many rows of usage differ from a recount, once all that was asked for is done.
pub(super) async fn wrong(stack: &Stack, client: &Client, limit: Duration) -> usize {
    ask_once(client).await;
    let undone = "SELECT (SELECT count(*) FROM rollup_runs WHERE state IN ('queued', 'running'))
                       + (SELECT count(*) FROM rollup_marks WHERE day < (now() AT TIME ZONE 'UTC')::date)
                       + (SELECT count(*) FROM (SELECT DISTINCT ON (day) state FROM rollup_runs WHERE tenant_id IS NULL
                                                ORDER BY day, created_at DESC) AS last WHERE state <> 'succeeded')";
    let deadline = std::time::Instant::now() + limit;
    eventually("the rollups to be done", limit * 2, || async {
        let open: i64 = sqlx::query_scalar(undone).fetch_one(&stack.stores.db.service()).await.ok()?;
        (open == 0 || std::time::Instant::now() > deadline).then_some(())
    })
    .await;
    let wrong: i64 = sqlx::query_scalar(
        "WITH recount AS (
             SELECT ta.tenant_id, ta.agent_id, (r.created_at AT TIME ZONE 'UTC')::date AS date, count(*) AS total,
                    count(*) FILTER (WHERE r.status = 'success') AS good, sum(r.tokens_used)::bigint AS tokens,
                    avg(r.response_time_ms)::float8 AS time
             FROM agent_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
             WHERE r.created_at < (now() AT TIME ZONE 'UTC')::date::timestamp AT TIME ZONE 'UTC'
             GROUP BY 1, 2, 3
         )
         SELECT count(*)
         FROM recount FULL JOIN (
             SELECT * FROM tenant_usage_daily
             WHERE date IN (SELECT date FROM recount)
         ) AS d USING (tenant_id, agent_id, date)
         WHERE (d.total_requests, d.successful_requests, d.total_tokens_used)
                   IS DISTINCT FROM (recount.total, recount.good, recount.tokens)
            OR abs(d.avg_response_time_ms - recount.time) > 1e-6",
    )
    .fetch_one(&stack.stores.db.service())
    .await
    .unwrap();
    usize::try_from(wrong).unwrap()
}
