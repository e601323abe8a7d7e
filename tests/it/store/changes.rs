//! Whoever follows what is recorded misses nothing and is told nothing twice, in whatever order it is committed.

use painel_shared::changes::{self, Change, Snapshot, Subject};
use painel_tests::stack::{Stack, with_stack};
use sqlx::PgConnection;
use uuid::Uuid;

async fn record(connection: &mut PgConnection, stack: &Stack, resource_type: &str) {
    sqlx::query(
        "INSERT INTO operational_events (event_type, category, tenant_id, resource_type, resource_id, action, status)
         VALUES ('test.recorded', 'test', $1, $2, 'x', 'test', 'success')",
    )
    .bind(stack.example.tenant.uuid())
    .bind(resource_type)
    .execute(connection)
    .await
    .unwrap();
}

/// Those since `seen`, which goes on.
async fn told(stack: &Stack, seen: &mut Option<Snapshot>) -> Vec<Change> {
    let (snapshot, changes) = changes::since(&stack.stores.db, seen.as_ref()).await.unwrap();
    *seen = Some(snapshot);
    changes
}

#[test]
fn what_is_committed_late_is_told_and_what_was_told_is_not_told_again() {
    with_stack(|stack| async move {
        let db = &stack.stores.db;
        let change = |subject| Change { subject, tenant: Some(stack.example.tenant) };
        let mut seen = None;
        assert_eq!(told(stack, &mut seen).await, [], "what was before is nobody's news");
        let mut early = db.begin().await.unwrap();
        record(&mut early, stack, "command").await;
        let mut late = db.begin().await.unwrap();
        record(&mut late, stack, "aggregation").await;
        assert_eq!(told(stack, &mut seen).await, [], "nothing of it is committed");
        late.commit().await.unwrap();
        assert_eq!(told(stack, &mut seen).await, [change(Subject::Aggregation)]);
        assert_eq!(told(stack, &mut seen).await, [], "told once");
        // Begun before the other, and committed after it was told.
        early.commit().await.unwrap();
        assert_eq!(told(stack, &mut seen).await, [change(Subject::Command)]);
        assert_eq!(told(stack, &mut seen).await, []);
    });
}

#[test]
fn what_was_rolled_back_is_not_told_and_many_at_once_are_told_once() {
    with_stack(|stack| async move {
        let db = &stack.stores.db;
        let mut seen = None;
        told(stack, &mut seen).await;
        let mut given_up = db.begin().await.unwrap();
        record(&mut given_up, stack, "command").await;
        given_up.rollback().await.unwrap();
        let mut many = db.begin().await.unwrap();
        for _ in 0..50 {
            record(&mut many, stack, "list").await;
        }
        many.commit().await.unwrap();
        let told_of = told(stack, &mut seen).await;
        assert_eq!(told_of, [Change { subject: Subject::Other, tenant: Some(stack.example.tenant) }]);
        let mut one = db.begin().await.unwrap();
        record(&mut one, stack, "ticket").await;
        one.commit().await.unwrap();
        let told_of = told(stack, &mut seen).await;
        assert_eq!(told_of, [Change { subject: Subject::Ticket, tenant: Some(stack.example.tenant) }]);
    });
}

#[test]
fn a_run_is_told_when_it_begins_and_its_usage_when_it_has_succeeded() {
    with_stack(|stack| async move {
        let pool = stack.stores.db.service();
        let mut seen = None;
        told(stack, &mut seen).await;
        let id = Uuid::now_v7();
        let insert = "INSERT INTO rollup_runs (id, day, tenant_id) VALUES ($1, '2026-01-01', NULL)";
        sqlx::query(insert).bind(id).execute(&pool).await.unwrap();
        assert_eq!(told(stack, &mut seen).await, [Change { subject: Subject::Run, tenant: None }]);
        sqlx::query("UPDATE rollup_runs SET state = 'succeeded' WHERE id = $1")
            .bind(id)
            .execute(&pool)
            .await
            .unwrap();
        assert_eq!(told(stack, &mut seen).await, [Change { subject: Subject::Usage, tenant: None }]);
        assert_eq!(told(stack, &mut seen).await, []);
    });
}
