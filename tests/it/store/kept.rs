//! Sessions that are kept between two statements: nobody looks whether they live, and nobody waits for them.

use std::time::Duration;

use futures::future::{join, join_all, try_join_all};
use painel_shared::{
    config::DatabaseConfig,
    db::{Database, Session, Statement},
};
use painel_tests::{
    exchanges::Exchanges,
    host::Host,
    stack::{Stack, with_stack},
};
use sqlx::FromRow;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Debug, FromRow)]
struct Id {
    #[expect(dead_code, reason = "it is asked for, and not looked at")]
    id: Uuid,
}

static ALL_TENANTS: Statement<Id> = Statement::new("SELECT id FROM tenants");

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

/// Has a session be kept, ends it, and has the next statement be carried out.
async fn ask_after(db: &Database, end: impl AsyncFn(i32)) {
    let pid = async |mut session: Session| {
        let pid = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&mut *session).await;
        session.done(pid)
    };
    // On a busy machine some go back to the pool in between.
    for _ in 0..20 {
        let before = db.statement(pid).await.unwrap();
        end(before).await;
        assert_ne!(db.statement(pid).await.unwrap(), before);
    }
}

#[test]
fn one_that_has_ended_while_it_was_kept_costs_no_statement() {
    with_stack(|stack| async move {
        let (host, url) = Host::before_the_one_in(&stack.vars, "PAINEL_DATABASE_URL").await;
        let vars = stack.vars.clone().overridden_by([("PAINEL_DATABASE_URL", url)]);
        let db = Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap();
        let service = stack.stores.db.service();
        let with_a_word = async |pid: i32| {
            let end = sqlx::query_scalar::<_, bool>("SELECT pg_terminate_backend($1, 10000)").bind(pid);
            assert!(end.fetch_one(&service).await.unwrap());
        };
        ask_after(&db, with_a_word).await;
        let without = async |_| host.cut();
        ask_after(&db, without).await;
        db.close().await;
    });
}

/// Statements and questions that follow each other on as many sessions as there are.
async fn busy(db: &Database, stop: &CancellationToken) {
    let statements = (0..8).map(async |_| {
        while !stop.is_cancelled() {
            ask(db).await;
        }
    });
    let questions = (0..8).map(async |_| {
        while !stop.is_cancelled() {
            db.ask_as_operator(&ALL_TENANTS.bind([])).await.unwrap();
        }
    });
    join(join_all(statements), join_all(questions)).await;
}

/// As many transactions as there are connections, while others ask without a pause.
async fn all_transactions_beside_others(stack: &Stack, connections: usize) {
    let vars = stack.vars.clone().overridden_by([
        ("PAINEL_DATABASE_POOL", connections.to_string()),
        ("PAINEL_DATABASE_TIMEOUT_MS", "60000".to_owned()),
    ]);
    let db = Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap();
    let stop = CancellationToken::new();
    let transactions = async {
        let all = try_join_all((0..connections).map(|_| db.begin())).await;
        stop.cancel();
        all.unwrap().len()
    };
    assert_eq!(join(busy(&db, &stop), transactions).await.1, connections);
    db.close().await;
}

#[test]
fn whoever_asks_the_pool_itself_comes_too_though_the_others_never_pause() {
    with_stack(|stack| async move {
        for connections in [2, 8] {
            all_transactions_beside_others(stack, connections).await;
        }
    });
}
