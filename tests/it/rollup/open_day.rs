//! On the open day a request leaves no mark, and none is lost all the same.

use chrono::NaiveDate;
use painel_shared::{
    dispatch,
    rollup::{self, Horizon, RunState},
};
use painel_tests::{
    postgres::Postgres,
    stack::{POSTGRES_VARIABLE, Stack, with_stack, with_stack_and},
    wait::eventually,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{LONG, all_seen, ask, days_ago, insert, shown};

/// Makes PostgreSQL's clock say that this day is open.
async fn open(stack: &Stack, day: NaiveDate) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION rollup_open_day() RETURNS date LANGUAGE sql AS $$ SELECT date '{day}' $$"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&stack.stores.db.service()).await.unwrap();
}

async fn marks(stack: &Stack) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM rollup_marks").fetch_one(&stack.stores.db.service()).await.unwrap()
}

/// A transaction that has inserted three requests on that day, and is still open.
async fn inserting(stack: &Stack, day: NaiveDate) -> PgConnection {
    let mut connection = PgConnection::connect(stack.vars.text("PAINEL_DATABASE_URL").unwrap()).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
    sqlx::query(
        "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at)
         SELECT ta.id, 100, 10, 'success', $3::date + interval '23 hours'
         FROM tenant_agents ta, generate_series(1, 3) WHERE ta.tenant_id = $1 AND ta.agent_id = $2",
    )
    .bind(stack.example.tenant.uuid())
    .bind(stack.example.agents[0].uuid())
    .bind(day)
    .execute(&mut connection)
    .await
    .unwrap();
    connection
}

async fn commit(mut connection: PgConnection) {
    sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
}

#[test]
fn a_request_leaves_a_mark_on_a_closed_day_only() {
    with_stack(|stack| async move {
        let (closed, today) = (days_ago(1), days_ago(0));
        open(stack, today).await;
        let before = marks(stack).await;
        for _ in 0..20 {
            insert(stack, today, 1).await;
        }
        assert_eq!(marks(stack).await, before);
        insert(stack, closed, 5).await;
        assert_eq!(marks(stack).await, before + 1);
    });
}

#[test]
fn a_request_leaves_a_mark_on_a_day_that_is_over_though_the_clock_was_set_back() {
    with_stack(|stack| async move {
        let (day, pool) = (days_ago(1), &stack.stores.db.service());
        open(stack, days_ago(0)).await;
        rollup::horizon(pool, day).await.unwrap();
        open(stack, day).await;
        let before = marks(stack).await;
        insert(stack, day, 1).await;
        assert_eq!(marks(stack).await, before + 1);
    });
}

#[test]
fn what_was_inserted_before_midnight_and_is_committed_later_is_waited_for_and_counted() {
    with_stack(|stack| async move {
        let (day, pool) = (days_ago(1), &stack.stores.db.service());
        let marked = marks(stack).await;
        open(stack, day).await;
        let late = inserting(stack, day).await;
        assert_eq!(marks(stack).await, marked, "the day was open");
        // Midnight.
        open(stack, days_ago(0)).await;
        let run = ask(stack, day, None).await;
        dispatch::publish_run(&stack.stores, &run).await;
        stack.step(&stack.rollup_executor()).await;
        let put_off = rollup::find(pool, run.id).await.unwrap().unwrap();
        assert_eq!((put_off.state, put_off.attempt), (RunState::Queued, 0), "waiting costs no attempt");
        assert!(!put_off.due_in.is_zero());
        commit(late).await;
        stack.work_rollups();
        eventually("the run to be done", LONG, || async {
            let run = rollup::find(pool, run.id).await.unwrap().unwrap();
            (run.state == RunState::Succeeded).then_some(())
        })
        .await;
        assert_eq!(shown(stack, day).await.unwrap(), recount(stack, day).await);
        assert!(rollup::is_settled(&mut pool.acquire().await.unwrap(), day).await.unwrap());
        assert!(stack.nightly().catch_up().await.unwrap().is_empty());
    });
}

/// Nothing else is done on this server: the late transaction's id is the last one that was given.
#[test]
fn a_transaction_that_is_the_last_to_have_begun_before_midnight_is_waited_for() {
    let postgres = Postgres::start();
    let url = postgres.url();
    with_stack_and(&[(POSTGRES_VARIABLE, url.as_str())], |stack| async move {
        let (day, pool) = (days_ago(1), &stack.stores.db.service());
        // A clock that is moved without a transaction id: it is midnight as soon as somebody holds this lock.
        let sql = format!(
            "CREATE OR REPLACE FUNCTION rollup_open_day() RETURNS date LANGUAGE sql AS $$
             SELECT date '{day}' + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2400)::int $$"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
        let late = inserting(stack, day).await;
        let mut clock = PgConnection::connect(stack.vars.text("PAINEL_DATABASE_URL").unwrap()).await.unwrap();
        sqlx::raw_sql("SELECT pg_advisory_lock(2400)").execute(&mut clock).await.unwrap();
        for _ in 0..3 {
            assert_eq!(rollup::horizon(pool, day).await.unwrap(), Horizon::Ahead);
        }
        commit(late).await;
        assert_eq!(rollup::horizon(pool, day).await.unwrap(), Horizon::Passed);
    });
}

#[test]
fn what_is_committed_after_a_run_that_could_not_wait_is_counted_by_the_next() {
    with_stack(|stack| async move {
        let (day, pool) = (days_ago(1), &stack.stores.db.service());
        open(stack, day).await;
        let late = inserting(stack, day).await;
        open(stack, days_ago(0)).await;
        rollup::horizon(pool, day).await.unwrap();
        sqlx::query("UPDATE rollup_days SET noted_at = now() - interval '61 minutes'").execute(pool).await.unwrap();
        let run = ask(stack, day, None).await;
        dispatch::publish_run(&stack.stores, &run).await;
        stack.step(&stack.rollup_executor()).await;
        let run = rollup::find(pool, run.id).await.unwrap().unwrap();
        assert_eq!(run.state, RunState::Succeeded, "no day's usage is kept waiting for ever");
        assert!(!rollup::is_settled(&mut pool.acquire().await.unwrap(), day).await.unwrap());
        let without = shown(stack, day).await.unwrap_or(0);

        commit(late).await;
        all_seen(stack, day).await;
        let again = stack.nightly().catch_up().await.unwrap();
        assert_eq!(again.iter().map(|run| (run.day, run.tenant_id)).collect::<Vec<_>>(), [(day, None)]);
        stack.step(&stack.rollup_executor()).await;
        assert_eq!(shown(stack, day).await, Some(without + 3));
        assert_eq!(shown(stack, day).await.unwrap(), recount(stack, day).await);
        assert!(rollup::is_settled(&mut pool.acquire().await.unwrap(), day).await.unwrap());
        assert!(stack.nightly().catch_up().await.unwrap().is_empty());
    });
}

#[test]
fn a_run_of_the_open_day_is_made_good_once_the_day_is_over() {
    with_stack(|stack| async move {
        let (day, pool) = (days_ago(1), &stack.stores.db.service());
        open(stack, day).await;
        let run = ask(stack, day, None).await;
        dispatch::publish_run(&stack.stores, &run).await;
        stack.step(&stack.rollup_executor()).await;
        assert_eq!(rollup::find(pool, run.id).await.unwrap().unwrap().state, RunState::Succeeded);
        insert(stack, day, 4).await;
        open(stack, days_ago(0)).await;
        all_seen(stack, day).await;
        let again = stack.nightly().catch_up().await.unwrap();
        assert_eq!(again.iter().map(|run| (run.day, run.tenant_id)).collect::<Vec<_>>(), [(day, None)]);
        stack.step(&stack.rollup_executor()).await;
        assert_eq!(shown(stack, day).await.unwrap(), recount(stack, day).await);
    });
}

/// How many requests of the example's first agent that day holds.
async fn recount(stack: &Stack, day: NaiveDate) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM agent_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
         WHERE ta.tenant_id = $1 AND ta.agent_id = $2 AND (r.created_at AT TIME ZONE 'UTC')::date = $3",
    )
    .bind(stack.example.tenant.uuid())
    .bind(stack.example.agents[0].uuid())
    .bind(day)
    .fetch_one(&stack.stores.db.service())
    .await
    .unwrap()
}
