//! The rollup: right to the last request, whatever happens meanwhile.

mod night;
mod open_day;
mod operators;
mod oracle;
mod pieces;
mod removal;
mod schedule;

use chrono::{Days, NaiveDate, Utc};
use painel_shared::{
    ids::TenantId,
    rollup::{self, Horizon, RollupRun, RunClaim},
    trace::TraceContext,
};
use painel_tests::{stack::Stack, wait::eventually};
use painel_workers::rollup::{Limits, Rolled, roll_up};
use sqlx::{Connection, PgConnection};
use std::time::Duration;

/// A lease that no test outlasts.
const LONG: Duration = Duration::from_secs(600);

fn days_ago(count: u64) -> NaiveDate {
    Utc::now().date_naive() - Days::new(count)
}

/// Makes partitions for these days, however long it takes.
async fn hold(stack: &Stack, first: NaiveDate, last: NaiveDate) {
    let mut unlimited = PgConnection::connect(stack.vars.text("PAINEL_DATABASE_URL").unwrap()).await.unwrap();
    sqlx::query("SELECT ensure_agent_requests_partitions($1, $2)")
        .bind(first)
        .bind(last)
        .execute(&mut unlimited)
        .await
        .unwrap();
}

/// So many requests of the example's first agent at noon of that day.
async fn insert(stack: &Stack, day: NaiveDate, count: i32) {
    sqlx::query(
        "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at)
         SELECT ta.id, 100, 10, 'success', $3::date + interval '12 hours'
         FROM tenant_agents ta, generate_series(1, $4)
         WHERE ta.tenant_id = $1 AND ta.agent_id = $2",
    )
    .bind(stack.example.tenant.uuid())
    .bind(stack.example.agents[0].uuid())
    .bind(day)
    .bind(count)
    .execute(&stack.stores.db.service())
    .await
    .unwrap();
}

/// How many requests the usage of the example's first agent shows on that day.
async fn shown(stack: &Stack, day: NaiveDate) -> Option<i64> {
    sqlx::query_scalar(
        "SELECT total_requests FROM tenant_usage_daily WHERE tenant_id = $1 AND agent_id = $2 AND date = $3",
    )
    .bind(stack.example.tenant.uuid())
    .bind(stack.example.agents[0].uuid())
    .bind(day)
    .fetch_optional(&stack.stores.db.service())
    .await
    .unwrap()
}

async fn ask(stack: &Stack, day: NaiveDate, tenant: Option<TenantId>) -> RollupRun {
    let runs = rollup::request(&stack.stores.db, &[day], tenant, "test", TraceContext::root()).await.unwrap();
    runs.into_iter().next().unwrap()
}

/// Waits until all that was inserted on a day can be seen: other tests' transactions may be in the way.
async fn all_seen(stack: &Stack, day: NaiveDate) {
    eventually("all of the day to be seen", LONG, || async {
        let horizon = rollup::horizon(&stack.stores.db.service(), day).await.unwrap();
        matches!(horizon, Horizon::Open | Horizon::Passed).then_some(())
    })
    .await;
}

/// Asks for a run of that day, claims it and carries it out.
async fn roll(stack: &Stack, day: NaiveDate, tenant: Option<TenantId>) -> Rolled {
    roll_within(stack, day, tenant, Limits::of(LONG)).await
}

async fn roll_within(stack: &Stack, day: NaiveDate, tenant: Option<TenantId>, limits: Limits) -> Rolled {
    all_seen(stack, day).await;
    let pool = &stack.stores.db.service();
    let asked = ask(stack, day, tenant).await;
    match rollup::claim(pool, asked.id, LONG).await.unwrap() {
        RunClaim::Held(run, holder) => roll_up(&stack.stores.db, &run, holder, limits).await.unwrap(),
        other => panic!("{other:?}"),
    }
}
