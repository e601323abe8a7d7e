//! Questions of a tenant in one message: its role and its tenant are the message's alone.

use futures::future::join_all;
use painel_shared::{db::Statement, stores::Stores};
use painel_tests::{
    exchanges::Exchanges,
    stack::{Stack, with_stack, with_stack_and},
};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Debug, FromRow)]
struct Id {
    id: Uuid,
}

#[derive(Debug, FromRow)]
struct Session {
    role: String,
    tenant: Option<String>,
    read_only: String,
}

static ALL_TENANTS: Statement<Id> = Statement::new("SELECT id FROM tenants");
static WRITE: Statement<Id> = Statement::new("UPDATE tenants SET name = 'another' RETURNING id");
static FAIL: Statement<Id> = Statement::new("SELECT id FROM tenants WHERE 1 / (length(name) - length(name)) = 1");
static SESSION: Statement<Session> = Statement::new(
    r#"SELECT current_user::text AS "role!", NULLIF(current_setting('painel.tenant_id', true), '') AS tenant,
              current_setting('transaction_read_only') AS "read_only!""#,
);
static SLOW: Statement<Id> = Statement::new("SELECT id FROM tenants, pg_sleep(0.05)");

/// What is left on every session of the pool.
async fn nothing_is_left(stack: &Stack) {
    let pool = stack.stores.db.service();
    let mut sessions = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        sessions.push(pool.acquire().await.unwrap());
    }
    for session in &mut sessions {
        let ask =
            "SELECT current_user::text AS role, NULLIF(current_setting('painel.tenant_id', true), '') AS tenant,
                          current_setting('transaction_read_only') AS read_only";
        let left: Session = sqlx::query_as(ask).fetch_one(&mut **session).await.unwrap();
        assert!(left.role != "painel_tenant" && left.tenant.is_none() && left.read_only == "off", "{left:?}");
    }
}

#[test]
fn a_tenant_sees_its_own_rows_whatever_is_asked_and_writes_none() {
    with_stack_and(&[("PAINEL_DATABASE_POOL", "3")], |stack| async move {
        let (db, tenant) = (&stack.stores.db, stack.example.tenant);
        let (session, seen) = db.ask_as_tenant(tenant, &(SESSION.bind([]), ALL_TENANTS.bind([]))).await.unwrap();
        assert_eq!((session[0].role.as_str(), session[0].read_only.as_str()), ("painel_tenant", "on"));
        assert_eq!(session[0].tenant, Some(tenant.to_string()));
        assert_eq!(
            seen.iter().map(|row| row.id).collect::<Vec<_>>(),
            [tenant.uuid()],
            "a forgotten WHERE leaks nothing"
        );
        nothing_is_left(stack).await;
        for refused in [&WRITE, &FAIL] {
            db.ask_as_tenant(tenant, &refused.bind([])).await.unwrap_err();
            nothing_is_left(stack).await;
        }
        let renamed: i64 = sqlx::query_scalar("SELECT count(*) FROM tenants WHERE name = 'another'")
            .fetch_one(&db.service())
            .await
            .unwrap();
        assert_eq!(renamed, 0);
    });
}

#[test]
fn many_tenants_at_once_get_each_their_own_and_who_gives_up_is_in_nobodys_way() {
    for connections in ["1", "4"] {
        with_stack_and(&[("PAINEL_DATABASE_POOL", connections)], |stack| async move {
            let db = &stack.stores.db;
            let tenants: Vec<Uuid> =
                sqlx::query_scalar("SELECT id FROM tenants").fetch_all(&db.service()).await.unwrap();
            let asked = (0..300).map(|n| {
                let tenant = tenants[n % tenants.len()];
                async move {
                    let (batch, own) = ((ALL_TENANTS.bind([]), SESSION.bind([])), tenant.into());
                    if n % 5 == 0 {
                        let hurried = std::time::Duration::from_micros(n as u64 * 7);
                        let _ = tokio::time::timeout(hurried, db.ask_as_tenant(own, &SLOW.bind([]))).await;
                    }
                    let (seen, session) = db.ask_as_tenant(own, &batch).await.unwrap();
                    assert_eq!(seen.iter().map(|row| row.id).collect::<Vec<_>>(), [tenant]);
                    assert_eq!(session[0].tenant, Some(tenant.to_string()));
                }
            });
            join_all(asked).await;
            nothing_is_left(stack).await;
        });
    }
}

#[test]
fn a_statement_is_prepared_anew_where_its_session_is_new() {
    with_stack(|stack| async move {
        let (db, tenant) = (&stack.stores.db, stack.example.tenant);
        for _ in 0..5 {
            assert_eq!(db.ask_as_tenant(tenant, &ALL_TENANTS.bind([])).await.unwrap().len(), 1);
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .execute(&db.service())
            .await
            .unwrap();
        }
    });
}

#[test]
fn what_a_session_has_is_not_prepared_again() {
    with_stack(|stack| async move {
        let (exchanges, url) = Exchanges::before(&stack.vars).await;
        let vars = stack
            .vars
            .clone()
            .overridden_by([("PAINEL_DATABASE_URL", url), ("PAINEL_DATABASE_POOL", "1".to_owned())]);
        let (db, tenant) = (Stores::from_vars(&vars).await.unwrap().db, stack.example.tenant);
        db.ask_as_tenant(tenant, &ALL_TENANTS.bind([])).await.unwrap();
        exchanges.take_texts();
        // One that it has, and one that it has not, twice.
        let batch = (ALL_TENANTS.bind([]), SESSION.bind([]), SESSION.bind([]));
        db.ask_as_tenant(tenant, &batch).await.unwrap();
        let texts = exchanges.take_texts();
        let prepared = texts.iter().map(|text| text.matches("PREPARE ").count());
        assert_eq!(prepared.sum::<usize>(), 1, "{texts:?}");
    });
}
