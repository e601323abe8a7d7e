//! The pool of connections to PostgreSQL.

use std::time::Duration;

use painel_shared::db;
use painel_tests::{stack::with_stack, wait::eventually};

#[test]
fn a_transaction_whose_beginning_is_cancelled_is_not_left_open() {
    with_stack(|stack| async move {
        let database = &stack.stores.db;
        for round in 0..400_u64 {
            let limit = Duration::from_micros(round * 5);
            // Some are cancelled before, some while, and some after they have begun.
            let _ = tokio::time::timeout(limit, db::begin(database.service())).await;
            let _ = tokio::time::timeout(limit, database.tenant_scope(stack.example.tenant)).await;
            let role: String =
                sqlx::query_scalar("SELECT current_user::text").fetch_one(database.service()).await.unwrap();
            assert_ne!(role, "painel_tenant", "round {round}: somebody left a scope open");
        }
        eventually("no transaction to be open", Duration::from_secs(2), || async {
            let open: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
            )
            .fetch_one(database.service())
            .await
            .unwrap();
            (open == 0).then_some(())
        })
        .await;
    });
}
