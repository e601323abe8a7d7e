//! A store that is away: what is accepted, what is not, and who says so.

use painel_shared::command_store::Filter;
use painel_tests::{client::COMMANDS, stack::with_stack};
use painel_workers::commands::HealthCheck;
use serde_json::json;

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn without_the_queue_a_command_is_accepted_and_succeeds_later() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_SQS_ENDPOINT", NOWHERE.to_owned()),
            ("PAINEL_QUEUE_TIMEOUT_MS", "500".to_owned()),
        ]);
        let client = stack.serve_with(&vars).await;
        let id = client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        let ready = client.get("/health/ready").await;
        assert_eq!((ready.status.as_u16(), &ready.body["queue"]), (200, &json!("down")));
        assert_eq!((&ready.body["postgresql"], &ready.body["dynamodb"]), (&json!("up"), &json!("up")));

        // The queue is back for the others: the reconciler publishes once the command has waited.
        stack.reconcile();
        stack.work::<HealthCheck>();
        let command = client.until(&id, "SUCCESS").await;
        assert_eq!(command["attempt"], 1);
    });
}

#[test]
fn without_postgresql_no_command_is_accepted() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel".to_owned()),
            ("PAINEL_DATABASE_TIMEOUT_MS", "300".to_owned()),
        ]);
        let client = stack.serve_with(&vars).await;
        let answer = client.post(&json!({"command_type": "HEALTH_CHECK"})).await;
        assert_eq!((answer.status.as_u16(), &answer.body["error"]), (503, &json!("SERVICE_UNAVAILABLE")));
        assert!(!answer.body.to_string().contains("127.0.0.1"), "causes are not sent: {}", answer.body);
        assert_eq!(stack.stores.commands.count(&Filter::default()).await.unwrap().total, 0);
        let ready = client.get("/health/ready").await;
        assert_eq!((ready.status.as_u16(), &ready.body["postgresql"]), (503, &json!("down")));
        assert_eq!(client.get("/health/live").await.status, 200);
    });
}

#[test]
fn without_dynamodb_no_command_is_accepted() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_DYNAMODB_ENDPOINT", NOWHERE.to_owned())]);
        let client = stack.serve_with(&vars).await;
        assert_eq!(client.post(&json!({"command_type": "HEALTH_CHECK"})).await.status, 503);
        assert_eq!(client.get(COMMANDS).await.status, 503);
        assert_eq!(client.get("/health/ready").await.body["dynamodb"], "down");
    });
}

#[test]
fn without_postgresql_an_outcome_can_be_seen_all_the_same() {
    with_stack(|stack| async move {
        let with = stack.serve().await;
        let body = json!({"command_type": "HEALTH_CHECK", "tenant_id": stack.example.tenant});
        let id = with.accepted(&body).await;
        stack.step(&stack.executor::<HealthCheck>()).await;
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel".to_owned()),
            ("PAINEL_DATABASE_TIMEOUT_MS", "300".to_owned()),
        ]);
        let without = stack.serve_with(&vars).await;
        let command = without.command(&id).await;
        assert_eq!(
            (&command["status"], &command["events"], &command["tenant_name"]),
            (&json!("SUCCESS"), &json!(null), &json!(null))
        );
        assert_eq!(without.get(COMMANDS).await.body["commands"][0]["command_id"], json!(id));
    });
}
