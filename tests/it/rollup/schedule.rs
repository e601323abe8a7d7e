//! Which days are rolled up by themselves, and which raw requests are held.

use std::time::Duration;

use painel_shared::{
    dispatch,
    queue::Side,
    rollup::{self, RunState},
};
use painel_tests::{
    stack::{Stack, with_stack, with_stack_and},
    wait::eventually,
};
use painel_workers::rollup::{Limits, Rolled, RollupError, roll_up};

use super::{LONG, all_seen, ask, days_ago, hold, insert, roll, shown};

async fn run_count(stack: &Stack) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM rollup_runs");
    count.fetch_one(&stack.stores.db.service()).await.unwrap()
}

#[test]
fn every_closed_day_is_asked_for_once_however_many_schedulers_there_are() {
    with_stack(|stack| async move {
        let nightly = stack.nightly();
        let nights = futures::future::join_all((0..6).map(|_| nightly.ask_for_missing())).await;
        let asked: usize = nights.into_iter().map(|night| night.unwrap().len()).sum();
        // The demo data holds requests of three closed days.
        assert_eq!(asked, 3);
        stack.work_rollups();
        let succeeded = "SELECT count(*) FROM rollup_runs WHERE state = 'succeeded'";
        eventually("the days to be rolled up", LONG, || async {
            let count: i64 = sqlx::query_scalar(succeeded).fetch_one(&stack.stores.db.service()).await.unwrap();
            (count == 3).then_some(())
        })
        .await;
        assert!(nightly.ask_for_missing().await.unwrap().is_empty(), "what is done is not asked for again");
        assert_eq!(run_count(stack).await, 3);
    });
}

#[test]
fn a_day_that_requests_came_late_for_is_rolled_up_again_for_their_tenants_only() {
    with_stack(|stack| async move {
        let day = days_ago(2);
        roll(stack, day, None).await;
        let before = shown(stack, day).await.unwrap();
        assert!(stack.nightly().catch_up().await.unwrap().is_empty(), "nothing is late");
        insert(stack, day, 7).await;
        // Requests of a day that is not over are not late.
        insert(stack, days_ago(0), 5).await;
        let late = stack.nightly().catch_up().await.unwrap();
        assert_eq!(late.len(), 1);
        assert_eq!((late[0].day, late[0].tenant_id), (day, Some(stack.example.tenant)));
        assert!(stack.nightly().catch_up().await.unwrap().is_empty(), "it has been asked for");
        all_seen(stack, day).await;
        stack.step(&stack.rollup_executor()).await;
        assert_eq!(shown(stack, day).await, Some(before + 7));
        assert!(stack.nightly().catch_up().await.unwrap().is_empty(), "it has been done");
    });
}

#[test]
fn a_run_whose_job_was_lost_is_published_again_and_a_dead_worker_is_replaced() {
    with_stack(|stack| async move {
        let pool = &stack.stores.db.service();
        let day = days_ago(1);
        // Asked for and never published, past its patience.
        let lost = ask(stack, day, None).await;
        sqlx::query("UPDATE rollup_runs SET next_publish_at = now()").execute(pool).await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().runs_republished, 1);
        assert_eq!(stack.reconciler().round().await.unwrap().runs_republished, 0, "its next wait has begun");
        // The worker that takes it dies at once.
        let delivery = stack.next(rollup::QUEUE).await;
        rollup::claim(pool, lost.id, Duration::from_millis(1)).await.unwrap();
        delivery.acknowledge().await.unwrap();
        eventually("the reconciler to see it", Duration::from_secs(5), || async {
            (stack.reconciler().round().await.unwrap().runs_republished == 1).then_some(())
        })
        .await;
        all_seen(stack, day).await;
        stack.step(&stack.rollup_executor()).await;
        let run = rollup::find(pool, lost.id).await.unwrap().unwrap();
        assert_eq!((run.state, run.attempt), (RunState::Succeeded, 2));
        // A duplicate finds it done.
        dispatch::publish_run(&stack.stores, &run).await;
        stack.step(&stack.rollup_executor()).await;
        assert_eq!(stack.stores.queue.depth(rollup::QUEUE).await.unwrap().ready, 0);
    });
}

#[test]
fn a_worker_that_lost_its_lease_writes_nothing() {
    with_stack(|stack| async move {
        let pool = &stack.stores.db.service();
        let day = days_ago(1);
        let before = shown(stack, day).await;
        insert(stack, day, 3).await;
        let asked = ask(stack, day, None).await;
        let rollup::RunClaim::Held(run, zombie) =
            rollup::claim(pool, asked.id, Duration::from_millis(1)).await.unwrap()
        else {
            panic!("not claimed")
        };
        eventually("the lease to pass", Duration::from_secs(5), || async {
            let claimed = rollup::claim(pool, asked.id, LONG).await.unwrap();
            matches!(claimed, rollup::RunClaim::Held(..)).then_some(())
        })
        .await;
        assert_eq!(roll_up(&stack.stores.db, &run, zombie, Limits::of(LONG)).await.unwrap(), Rolled::LostLease);
        assert_eq!(shown(stack, day).await, before);
    });
}

#[test]
fn old_raw_requests_are_detached_once_rolled_up_and_never_counted_to_zero() {
    with_stack_and(&[("PAINEL_RAW_RETENTION_DAYS", "10")], |stack| async move {
        let pool = &stack.stores.db.service();
        let (old, late) = (days_ago(20), days_ago(19));
        hold(stack, late, late).await;
        hold(stack, old, old).await;
        insert(stack, old, 4).await;
        insert(stack, late, 4).await;
        let held = || async { rollup::days_held(&mut pool.acquire().await.unwrap()).await.unwrap() };
        stack.nightly().keep_partitions().await.unwrap();
        assert!(held().await.contains(&old), "it has not been rolled up");
        roll(stack, old, None).await;
        roll(stack, late, None).await;
        // These came late: they must be counted first.
        insert(stack, late, 1).await;
        stack.nightly().keep_partitions().await.unwrap();
        assert!(!held().await.contains(&old));
        assert!(held().await.contains(&late));
        // What is gone cannot be counted, and stays as it was counted.
        let usage = shown(stack, old).await;
        let asked = ask(stack, old, None).await;
        let rollup::RunClaim::Held(run, holder) = rollup::claim(pool, asked.id, LONG).await.unwrap() else {
            panic!("not claimed")
        };
        assert!(
            matches!(roll_up(&stack.stores.db, &run, holder, Limits::of(LONG)).await, Err(RollupError::NoPartition(day)) if day == old)
        );
        assert_eq!(shown(stack, old).await, usage);
    });
}

#[test]
fn a_run_of_a_day_that_is_gone_fails_for_good_and_is_no_dead_letter() {
    with_stack(|stack| async move {
        let run = ask(stack, days_ago(300), None).await;
        dispatch::publish_run(&stack.stores, &run).await;
        all_seen(stack, run.day).await;
        stack.step(&stack.rollup_executor()).await;
        let run = rollup::find(&stack.stores.db.service(), run.id).await.unwrap().unwrap();
        assert_eq!((run.state, run.attempt), (RunState::Failed, 1));
        let mut dead = stack.receiver(rollup::QUEUE, Side::DeadLetters).await;
        assert!(dead.receive(1, Duration::from_millis(300)).await.unwrap().is_empty());
    });
}

#[test]
fn partitions_are_made_ahead_and_requests_go_through_the_table_only() {
    with_stack(|stack| async move {
        let pool = &stack.stores.db.service();
        stack.nightly().keep_partitions().await.unwrap();
        let held = rollup::days_held(&mut pool.acquire().await.unwrap()).await.unwrap();
        let ahead = chrono::Utc::now().date_naive() + chrono::Days::new(7);
        assert_eq!(held.last(), Some(&ahead));
        let refused = [
            (format!("INSERT INTO {} (tenant_agent_id, response_time_ms, status, created_at) VALUES (1, 1, 'success', now())", rollup::partition(days_ago(0))), "42501"),
            ("INSERT INTO agent_requests (tenant_agent_id, response_time_ms, status) VALUES (1, -1, 'success')".to_owned(), "23514"),
            ("INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status) VALUES (1, 1, -1, 'success')".to_owned(), "23514"),
            ("INSERT INTO agent_requests (tenant_agent_id, response_time_ms, status) VALUES (1, 1, 'lost')".to_owned(), "22P02"),
            ("INSERT INTO agent_requests (tenant_agent_id, response_time_ms, status) VALUES (0, 1, 'success')".to_owned(), "23503"),
        ];
        for (statement, code) in refused {
            let error = sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(pool).await.unwrap_err();
            let found = error.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
            assert_eq!(found, code, "{statement}: {error}");
        }
    });
}
