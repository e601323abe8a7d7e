//! HEALTH_CHECK.

use painel_shared::{
    command::{EVENT_PATIENCE, Status},
    commands,
    stores::Stores,
    time::{now, to_text},
};
use painel_tests::{stack::with_stack, wait::eventually};
use painel_workers::{command_work::Executor, commands::HealthCheck, handler::AnyHandler};
use serde_json::json;
use std::time::Duration;

#[test]
fn everything_is_asked_and_reported() {
    with_stack(|stack| async move {
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        stack.step(&stack.executor::<HealthCheck>()).await;
        let result = stack.stored(&command).await.result.unwrap();
        assert_eq!(result["status"], "healthy");
        for name in ["postgresql", "dynamodb", "queue"] {
            let dependency = &result["dependencies"][name];
            assert_eq!(dependency["status"], "healthy", "{name}");
            assert!(dependency["latency_ms"].is_u64() && dependency.get("detail").is_some());
        }
        let own = &result["dependencies"]["queue"]["detail"]["painel.health-check"];
        assert_eq!((&own["ready"], &own["dead"]), (&json!(0), &json!(0)));
        // SQS tells what is delivered but not its consumers; RabbitMQ the other way round.
        assert!(
            own["in_flight"] == 1 && own["consumers"].is_null()
                || own["in_flight"].is_null() && own["consumers"].is_u64(),
            "{own}"
        );
    });
}

#[test]
fn it_finishes_when_postgresql_is_what_is_down_and_its_event_comes_later() {
    with_stack(|stack| async move {
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        // Nothing listens there.
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel".to_owned()),
            ("PAINEL_DATABASE_TIMEOUT_MS", "500".to_owned()),
        ]);
        let without = Stores::from_vars(&vars).await.unwrap();
        let handler = AnyHandler::build::<HealthCheck>(&vars, &without).unwrap();
        stack.step(&Executor::new(without, handler)).await;

        let stored = stack.stored(&command).await;
        assert_eq!(stored.status, Status::Success);
        let result = stored.result.clone().unwrap();
        assert_eq!(result["status"], "down");
        assert_eq!(result["dependencies"]["postgresql"]["status"], "down");
        assert_eq!(result["dependencies"]["dynamodb"]["status"], "healthy");
        assert_eq!(stack.events(&command, "command.succeeded").await, 0);

        // The worker tried to write it, and could not: the delivery waits, and the reconciler comes first.
        assert!(stored.owes_event);
        let long_ago = to_text(now() - EVENT_PATIENCE);
        stack.damage(&command, "SET #x = :x, completed_at = :x", "due_at", json!({"S": long_ago})).await;
        let reconciler = stack.reconciler();
        assert_eq!(reconciler.round().await.unwrap().audited, 1);
        assert_eq!(stack.events(&command, "command.succeeded").await, 1);
        assert_eq!(reconciler.round().await.unwrap().audited, 0);
    });
}

#[test]
fn an_answer_that_was_shared_is_soon_asked_for_anew() {
    with_stack(|stack| async move {
        let (dynamodb, commands) = stack.behind_a_proxy().await;
        let behind = Stores { commands, ..stack.stores.clone() };
        let handler = AnyHandler::build::<HealthCheck>(&stack.vars, &behind).unwrap();
        let executor = Executor::new(stack.stores.clone(), handler);
        let found = async || {
            let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
            stack.step(&executor).await;
            stack.stored(&command).await.result.unwrap()["dependencies"]["dynamodb"]["status"].clone()
        };
        assert_eq!(found().await, "healthy");
        dynamodb.deny(Some("DescribeTable"));
        let down = || async { (found().await == "down").then_some(()) };
        eventually("the outage to be seen", Duration::from_secs(60), down).await;
    });
}
