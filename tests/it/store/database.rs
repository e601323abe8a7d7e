//! The pool of connections to PostgreSQL.

use std::time::Duration;

use futures::future::join_all;
use painel_shared::{
    config::{DatabaseConfig, Vars},
    db::{Database, Statement},
    stores::Stores,
};
use painel_tests::{
    host::Host,
    postgres::Postgres,
    stack::{Stack, with_stack, with_stack_and},
    wait::eventually,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool};

#[derive(FromRow)]
struct Tenants {
    #[expect(dead_code, reason = "that it can be asked says all")]
    count: i64,
}

static TENANTS: Statement<Tenants> = Statement::new("SELECT count(*) AS count FROM tenants");

#[test]
fn a_transaction_whose_beginning_is_cancelled_is_not_left_open() {
    with_stack(|stack| async move {
        let database = &stack.stores.db;
        for round in 0..400_u64 {
            let limit = Duration::from_micros(round * 5);
            // Some are cancelled before, some while, and some after they have begun.
            let _ = tokio::time::timeout(limit, database.begin()).await;
            sqlx::query("SELECT 1").execute(&database.service()).await.unwrap();
        }
        eventually("no transaction to be open", Duration::from_secs(2), || async {
            let open: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
            )
            .fetch_one(&database.service())
            .await
            .unwrap();
            (open == 0).then_some(())
        })
        .await;
    });
}

/// Runs a statement on every session of the pool, which has so many.
async fn on_every_session(pool: &PgPool, sessions: usize, statement: &'static str) {
    let mut all = Vec::new();
    for _ in 0..sessions {
        all.push(pool.acquire().await.unwrap());
    }
    for session in &mut all {
        sqlx::raw_sql(statement).execute(&mut **session).await.unwrap();
    }
}

#[test]
fn sessions_that_a_failover_has_left_read_only_are_let_go() {
    with_stack_and(&[("PAINEL_DATABASE_POOL", "5")], |stack| async move {
        let stores = Stores::from_vars(&stack.vars).await.unwrap();
        let client = stack.serve_on(stores.clone()).await;
        on_every_session(&stores.db.service(), 5, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").await;
        for _ in 0..20 {
            client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        }
    });
}

#[test]
fn a_plan_that_does_not_fit_any_more_is_made_anew() {
    with_stack(|stack| async move {
        let database = &stack.stores.db;
        let pool = &database.service();
        sqlx::raw_sql("CREATE TABLE probe (a integer); INSERT INTO probe VALUES (1)").execute(pool).await.unwrap();
        let ask = || sqlx::query("SELECT * FROM probe").fetch_one(pool);
        database.step(ask).await.unwrap();
        sqlx::raw_sql("ALTER TABLE probe ADD b integer").execute(pool).await.unwrap();
        assert_eq!(sqlx::Row::columns(&database.step(ask).await.unwrap()).len(), 2);
    });
}

/// A host vanishes while its sessions are asked, or are on their way back into the pool.
fn a_host_vanishes(on_the_way_back: bool) {
    with_stack_and(
        &[("PAINEL_DATABASE_POOL", "4"), ("PAINEL_DATABASE_TIMEOUT_MS", "2000")],
        move |stack| async move {
            let (host, stores) = behind_a_host(stack).await;
            let database = &stores.db;
            on_every_session(&database.service(), 4, "SELECT 1").await;
            if !on_the_way_back {
                eventually("all to be given back", Duration::from_secs(30), || async {
                    (database.service().num_idle() == 4).then_some(())
                })
                .await;
            }
            host.be_replaced();
            let impatient = (0..20).map(|_| database.ping(Duration::from_millis(200)));
            assert!(join_all(impatient).await.iter().all(Result::is_err));
            eventually("every connection of the pool to be of use", Duration::from_secs(60), || async {
                let ask = async || database.service().acquire().await;
                let asked = join_all((0..4).map(|_| database.step(ask))).await;
                asked.iter().all(Result::is_ok).then_some(())
            })
            .await;
        },
    );
}

#[test]
fn a_host_that_vanished_does_not_keep_the_pool() {
    a_host_vanishes(false);
}

#[test]
fn a_host_that_vanished_does_not_keep_what_was_on_its_way_back() {
    a_host_vanishes(true);
}

/// Stores whose PostgreSQL is behind a host.
async fn behind_a_host(stack: &Stack) -> (Host, Stores) {
    let url = stack.vars.text("PAINEL_DATABASE_URL").unwrap();
    let server = stack.postgres_address();
    let host = Host::before(server).await;
    let url = url.replace(&server.to_string(), &host.address().to_string());
    let stores =
        Stores::from_vars(&stack.vars.clone().overridden_by([("PAINEL_DATABASE_URL", url)])).await.unwrap();
    (host, stores)
}

/// Runs these statements as that role, each by itself.
async fn run_as(server: &str, role: &str, statements: &[&str]) {
    let url = server.replace("postgres@", &format!("{role}@"));
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe((*statement).to_owned())).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[test]
fn databases_of_one_server_migrate_at_once_under_an_owner_who_may_make_roles_and_no_more() {
    let postgres = Postgres::start();
    let server = postgres.url();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        run_as(
            &server,
            "postgres",
            &["CREATE ROLE owner LOGIN CREATEROLE CREATEDB", "CREATE ROLE other LOGIN CREATEDB"],
        )
        .await;
        let names: Vec<String> = (0..6).map(|n| format!("own_{n}")).collect();
        let databases = names.iter().map(|name| {
            let server = &server;
            async move {
                run_as(server, "owner", &[&format!("CREATE DATABASE {name}")]).await;
                database(server, "owner", name)
            }
        });
        let databases = join_all(databases).await;
        for migrated in join_all(databases.iter().map(Database::migrate)).await {
            migrated.unwrap();
        }
        for database in &databases {
            database.ask_as_tenant(uuid::Uuid::new_v4().into(), &TENANTS.bind([])).await.unwrap();
            database.ask_as_operator(&TENANTS.bind([])).await.unwrap();
        }
        // Whoever may not take the roles is told who can help.
        run_as(&server, "other", &["CREATE DATABASE others"]).await;
        let refused = database(&server, "other", "others").migrate().await.unwrap_err().to_string();
        assert!(refused.contains("GRANT painel_tenant TO the role that connects"), "{refused}");
    });
}

fn database(server: &str, role: &str, name: &str) -> Database {
    let (server, _) = server.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}").replace("postgres@", &format!("{role}@"));
    let vars = Vars::default().overridden_by([("PAINEL_DATABASE_URL", url)]);
    Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap()
}
