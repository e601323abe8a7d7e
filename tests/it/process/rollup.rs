//! The rollup worker as a process of its own.

use std::time::Duration;

use chrono::{Days, Utc};
use painel_shared::{
    dispatch,
    rollup::{self, Horizon, RunState},
    trace::TraceContext,
};
use painel_tests::{fleet::Fleet, stack::with_stack_and, wait::eventually};
use sqlx::{Connection, PgConnection};

const WORKER: &str = "painel-metrics-rollup-worker";
const LONG: Duration = Duration::from_secs(120);

#[test]
fn a_rollup_worker_that_is_stopped_loses_its_locks_and_another_does_its_work() {
    with_stack_and(&[("PAINEL_LEASE_SECONDS", "3")], |stack| async move {
        let (pool, day) = (&stack.stores.db.service(), Utc::now().date_naive() - Days::new(1));
        eventually("all of the day to be seen", LONG, || async {
            (rollup::horizon(pool, day).await.unwrap() == Horizon::Passed).then_some(())
        })
        .await;
        // Whoever moves the agents' counters waits for this.
        let mut blocker = PgConnection::connect(stack.vars.text("PAINEL_DATABASE_URL").unwrap()).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT FROM tenant_agents FOR UPDATE").execute(&mut blocker).await.unwrap();
        let mut fleet = Fleet::new(stack);
        fleet.start(WORKER);
        let runs = rollup::request(&stack.stores.db, &[day], None, "test", TraceContext::root()).await.unwrap();
        dispatch::publish_run(&stack.stores, &runs[0]).await;
        eventually("the worker to hold the locks of its day", LONG, || async {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE tenant_agents%'",
            )
            .fetch_one(pool)
            .await
            .unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        fleet.signal(WORKER, "STOP");
        sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();

        stack.reconcile();
        stack.work_rollups();
        let run = eventually("another worker to roll up the day", LONG, || async {
            let run = rollup::find(pool, runs[0].id).await.unwrap().unwrap();
            (run.state == RunState::Succeeded).then_some(run)
        })
        .await;
        assert!(run.attempt > 1);
        fleet.signal(WORKER, "CONT");
    });
}
