//! The night's work beside those who read and insert requests.

use painel_shared::rollup;
use painel_tests::{stack::with_stack_and, wait::eventually};
use sqlx::Connection;

use super::{LONG, days_ago, hold, insert, roll};

#[test]
fn inserting_requests_never_waits_for_the_nights_work() {
    with_stack_and(&[("PAINEL_RAW_RETENTION_DAYS", "10")], |stack| async move {
        let pool = &stack.stores.db.service();
        let old = days_ago(20);
        hold(stack, old, old).await;
        insert(stack, old, 4).await;
        roll(stack, old, None).await;
        let held = || async { rollup::days_held(&mut pool.acquire().await.unwrap()).await.unwrap() };
        // The demo data has none for the days to come.
        let ahead = days_ago(0) + chrono::Days::new(7);
        assert!(!held().await.contains(&ahead));

        let url = stack.vars.text("PAINEL_DATABASE_URL").unwrap();
        let mut reader = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM agent_requests").execute(&mut reader).await.unwrap();
        let mut writer = sqlx::PgConnection::connect(url).await.unwrap();
        // Many times what the night's work may wait for its locks, and less than it would wait for the reader.
        sqlx::raw_sql("SET lock_timeout = '4s'").execute(&mut writer).await.unwrap();
        let nightly = stack.nightly();
        let night = nightly.keep_partitions();
        let inserting = async {
            loop {
                let single = "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, status)
                              SELECT min(id), 1, 'success' FROM tenant_agents";
                sqlx::query(single).execute(&mut writer).await.unwrap();
            }
        };
        let outcome = tokio::select! {
            outcome = night => outcome,
            () = inserting => unreachable!("it goes on and on"),
        };
        // Neither is the making of partitions kept up by the detaching of one, nor are the runs.
        let code = outcome.unwrap_err().as_database_error().and_then(|error| error.code()).unwrap().into_owned();
        assert_eq!(code, "55P03", "the reader holds what is to be detached");
        assert!(held().await.contains(&ahead) && held().await.contains(&old));
        assert!(!nightly.ask_for_missing().await.unwrap().is_empty());

        sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
        // Others that look at the tables for a moment may still be in the way.
        eventually("the old day to be detached", LONG, || async {
            nightly.keep_partitions().await.ok()?;
            (!held().await.contains(&old)).then_some(())
        })
        .await;
    });
}

#[test]
fn several_schedulers_make_the_same_partitions() {
    with_stack_and(&[], |stack| async move {
        let nightly = stack.nightly();
        futures::future::join_all((0..6).map(|_| nightly.keep_partitions())).await;
        eventually("the partitions", LONG, || async { nightly.keep_partitions().await.ok() }).await;
        let held = rollup::days_held(&mut stack.stores.db.service().acquire().await.unwrap()).await.unwrap();
        assert_eq!(held.last(), Some(&(days_ago(0) + chrono::Days::new(7))));
    });
}
