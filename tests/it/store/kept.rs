//! Sessions that are kept between two statements: nobody looks whether they live, and nobody waits for them.

use std::time::Duration;

use futures::future::try_join_all;
use painel_shared::{config::DatabaseConfig, db::Database};
use painel_tests::{exchanges::Exchanges, stack::with_stack};

async fn ask(db: &Database) -> i32 {
    let mut session = db.session().await.unwrap();
    let answer = sqlx::query_scalar("SELECT 1").fetch_one(&mut *session).await;
    session.done(answer).unwrap()
}

#[test]
fn one_that_is_kept_costs_its_statements_alone() {
    with_stack(|stack| async move {
        let (exchanges, url) = Exchanges::before(&stack.vars).await;
        let vars = stack.vars.clone().overridden_by([("PAINEL_DATABASE_URL", url)]);
        let db = Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap();
        let mut least = u64::MAX;
        // On a busy machine some go back to the pool in between.
        for _ in 0..20 {
            let before = exchanges.count();
            for _ in 0..5 {
                ask(&db).await;
            }
            least = least.min(exchanges.count() - before);
        }
        assert_eq!(least, 5);
        db.close().await;
    });
}

#[test]
fn what_is_kept_keeps_nobody_waiting() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_DATABASE_POOL", "4".to_owned()),
            ("PAINEL_DATABASE_TIMEOUT_MS", "30000".to_owned()),
        ]);
        let db = Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap();
        for _ in 0..3 {
            try_join_all((0..4).map(|_| async { Ok::<_, ()>(ask(&db).await) })).await.unwrap();
            // As many transactions as there are connections, which last until the last has begun.
            let all = try_join_all((0..4).map(|_| db.begin())).await.unwrap();
            assert_eq!(all.len(), 4);
        }
        db.close().await;
    });
}

#[test]
fn one_whose_statement_was_given_up_is_not_kept() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_DATABASE_POOL", "2".to_owned())]);
        let db = Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap();
        let given_up = async {
            let mut session = db.session().await.unwrap();
            let answer = sqlx::query_scalar::<_, i32>("SELECT 2 FROM pg_sleep(1)").fetch_one(&mut *session).await;
            session.done(answer)
        };
        assert!(tokio::time::timeout(Duration::from_millis(200), given_up).await.is_err());
        for _ in 0..10 {
            assert_eq!(ask(&db).await, 1);
        }
        db.close().await;
    });
}
