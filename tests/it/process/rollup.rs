//! The rollup worker as a process of its own.

use std::time::Duration;

use chrono::{Days, Utc};
use painel_shared::{
    dispatch,
    rollup::{self, Horizon, RunState},
    trace::TraceContext,
};
use painel_tests::{
    fleet::Fleet,
    host::Host,
    stack::{Stack, with_stack_and},
    wait::eventually,
};
use sqlx::{Connection, PgConnection};

const WORKER: &str = "painel-metrics-rollup-worker";
const LONG: Duration = Duration::from_secs(120);
const SHORT: [(&str, &str); 2] = [("PAINEL_LEASE_SECONDS", "3"), ("PAINEL_DATABASE_TIMEOUT_MS", "1000")];
/// Long enough for the worker to find the other host while it still holds its lease.
const LONGER: [(&str, &str); 2] = [("PAINEL_LEASE_SECONDS", "12"), ("PAINEL_DATABASE_TIMEOUT_MS", "1000")];

/// What befalls the worker while it holds the locks of its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// It is stopped, and another one is there.
    Stopped,
    /// PostgreSQL's host vanishes for it, and another takes its place.
    HostReplaced,
}

async fn a_day_is_rolled_up_all_the_same(stack: &'static Stack, blow: Blow) {
    let (pool, day) = (&stack.stores.db.service(), Utc::now().date_naive() - Days::new(1));
    eventually("all of the day to be seen", LONG, || async {
        (rollup::horizon(pool, day).await.unwrap() == Horizon::Passed).then_some(())
    })
    .await;
    // Whoever moves the agents' counters waits for this.
    let url = stack.vars.text("PAINEL_DATABASE_URL").unwrap();
    let mut blocker = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM tenant_agents FOR UPDATE").execute(&mut blocker).await.unwrap();
    let host = Host::before(stack.postgres_address()).await;
    let mut fleet = Fleet::new(stack);
    let behind = url.replace(&stack.postgres_address().to_string(), &host.address().to_string());
    fleet.set("PAINEL_DATABASE_URL", &behind);
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
    match blow {
        Blow::Stopped => {
            fleet.signal(WORKER, "STOP");
            stack.work_rollups();
        }
        Blow::HostReplaced => host.be_replaced(),
    }
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    stack.reconcile();
    let run = eventually("the day to be rolled up", LONG, || async {
        let run = rollup::find(pool, runs[0].id).await.unwrap().unwrap();
        (run.state == RunState::Succeeded).then_some(run)
    })
    .await;
    assert!(run.attempt > 1);
    if blow == Blow::Stopped {
        fleet.signal(WORKER, "CONT");
    }
}

#[test]
fn a_rollup_worker_that_is_stopped_loses_its_locks_and_another_does_its_work() {
    with_stack_and(&SHORT, |stack| a_day_is_rolled_up_all_the_same(stack, Blow::Stopped));
}

#[test]
fn a_rollup_worker_whose_databases_host_vanished_does_its_work_anew() {
    with_stack_and(&LONGER, |stack| a_day_is_rolled_up_all_the_same(stack, Blow::HostReplaced));
}
