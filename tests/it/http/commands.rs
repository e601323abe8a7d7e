//! The whole way of each command type: from the request through queue and worker to the outcome.

use painel_shared::commands::{self, CommandType};
use painel_tests::{
    client::COMMANDS,
    stack::{Stack, with_stack},
};
use painel_workers::commands::{HealthCheck, ReprocessQueue, ResetToken, RestartAgent};
use serde_json::{Value, json};

fn restart(stack: &Stack) -> Value {
    let [agent, _] = stack.example.agents;
    json!({"command_type": "RESTART_AGENT", "tenant_id": stack.example.tenant, "parameters": {"agent_id": agent}})
}

fn reset(stack: &Stack) -> Value {
    json!({
        "command_type": "RESET_TOKEN",
        "tenant_id": stack.example.tenant,
        "parameters": {"integration_id": stack.example.integration},
        "reason": "the customer asked",
    })
}

fn work_all(stack: &Stack) {
    stack.work::<HealthCheck>();
    stack.work::<ResetToken>();
    stack.work::<RestartAgent>();
    stack.work::<ReprocessQueue>();
    stack.reconcile();
}

#[test]
fn each_type_succeeds() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        work_all(stack);
        let bodies = [
            json!({"command_type": "HEALTH_CHECK"}),
            reset(stack),
            restart(stack),
            json!({"command_type": "REPROCESS_QUEUE", "parameters": {"queue_name": "painel.reset-token"}}),
        ];
        for body in bodies {
            let id = client.accepted(&body).await;
            let command = client.until(&id, "SUCCESS").await;
            assert_eq!(command["command_type"], body["command_type"]);
            assert_eq!((&command["attempt"], &command["max_attempts"]), (&json!(1), &json!(5)));
            assert_eq!(command["output"].as_str().unwrap(), command["result"].to_string());
            assert!(command["duration_ms"].is_u64() && command["error"].is_null());
            let events: Vec<&str> = command["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["event_type"].as_str().unwrap())
                .collect();
            assert_eq!(events, ["command.requested", "command.succeeded"]);
        }
        assert_eq!((stack.rotations().await, stack.restarts().len()), (1, 1));
    });
}

#[test]
fn the_answer_to_a_post_is_as_clients_know_it() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let answer = client.post(&reset(stack)).await;
        assert_eq!(answer.status, 202);
        let id = answer.body["command_id"].as_str().unwrap();
        assert_eq!(answer.headers["location"], format!("{COMMANDS}/{id}"));
        assert!(answer.headers.contains_key("x-request-id"));
        let expected = json!({
            "command_id": id,
            "command_type": "RESET_TOKEN",
            "status": "PENDING",
            "tenant_id": stack.example.tenant,
            "tenant_name": "Padaria Pão Quente",
            "created_by": "development-admin",
            "created_by_email": "admin@painel.localhost",
            "created_at": answer.body["created_at"],
            "started_at": null,
            "completed_at": null,
            "duration_ms": null,
            "output": null,
            "error_message": null,
            "result": null,
            "error": null,
            "parameters": {"integration_id": stack.example.integration},
            "reason": "the customer asked",
            "attempt": 0,
            "max_attempts": 5,
            "next_attempt_at": null,
            "dead_letter": false,
            "trace_id": answer.body["trace_id"],
            "message": "The command was accepted and will be executed.",
        });
        assert_eq!(answer.body, expected);
        // RFC 3339 in UTC, to the millisecond.
        let at = answer.body["created_at"].as_str().unwrap();
        assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    });
}

#[test]
fn a_permanent_error_is_shown() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let id = client.accepted(&reset(stack)).await;
        sqlx::query("DELETE FROM tenant_integrations").execute(&stack.stores.db.service()).await.unwrap();
        work_all(stack);
        let command = client.until(&id, "ERROR").await;
        assert_eq!(command["attempt"], 1);
        assert_eq!(command["error_message"], "the integration does not exist");
        let error = json!({"code": "integration_not_found", "message": "the integration does not exist", "retryable": false});
        assert_eq!(command["error"], error);
        assert_eq!(
            stack.stores.queue.depth(CommandType::of::<commands::ResetToken>().queue()).await.unwrap().dead,
            0
        );
    });
}

#[test]
fn a_retry_then_a_success() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        stack.refuse_restarts(2).await;
        work_all(stack);
        let id = client.accepted(&restart(stack)).await;
        let command = client.until(&id, "SUCCESS").await;
        assert_eq!(command["attempt"], 3);
        assert!(
            command["error"].is_null() && command["error_message"].is_null(),
            "what was overcome is not an error"
        );
        assert_eq!(stack.restarts().len(), 1);
    });
}

#[test]
fn retries_used_up_then_reprocessed_to_success() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        stack.refuse_restarts(5).await;
        work_all(stack);
        let id = client.accepted(&restart(stack)).await;
        let dead = client.until(&id, "ERROR").await;
        assert_eq!((&dead["attempt"], &dead["error"]["code"]), (&json!(5), &json!("agent_runtime_unavailable")));

        let body = json!({"command_type": "REPROCESS_QUEUE", "parameters": {"queue_name": "painel.restart-agent"}});
        let reprocess = client.accepted(&body).await;
        let reprocessed = client.until(&reprocess, "SUCCESS").await;
        assert_eq!(reprocessed["result"]["moved"], 1);
        let command = client.until(&id, "SUCCESS").await;
        assert_eq!(command["attempt"], 1);
        assert_eq!(stack.restarts().len(), 1);
        let events: Vec<&str> = command["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["event_type"].as_str().unwrap())
            .collect();
        assert_eq!(events, ["command.requested", "command.failed", "command.reprocessed", "command.succeeded"]);
    });
}

#[test]
fn one_key_makes_one_command() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let body = reset(stack);
        let (a, b) = tokio::join!(client.post_once(&body, "k-1"), client.post_once(&body, "k-1"));
        assert_eq!((a.status.as_u16(), b.status.as_u16()), (202, 202), "{} {}", a.body, b.body);
        assert_eq!(a.body["command_id"], b.body["command_id"]);
        let again = client.post_once(&body, "k-1").await;
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.body["command_id"], a.body["command_id"]);

        // The tenant may stand inside of parameters: it is the same request.
        let inside = json!({
            "command_type": "RESET_TOKEN",
            "parameters": {"integration_id": stack.example.integration, "tenant_id": stack.example.tenant},
            "reason": "the customer asked",
        });
        assert_eq!(client.post_once(&inside, "k-1").await.body["command_id"], a.body["command_id"]);

        let other = client.post_once(&json!({"command_type": "HEALTH_CHECK"}), "k-1").await;
        assert_eq!((other.status.as_u16(), other.fields()), (422, vec!["Idempotency-Key"]));
        assert_eq!(client.get(COMMANDS).await.body["total"], 1);
    });
}

#[test]
fn the_trace_of_the_request_goes_through_the_job() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = client.request(reqwest::Method::POST, COMMANDS).header("traceparent", traceparent);
        let answer = client.send(request.json(&json!({"command_type": "HEALTH_CHECK"}))).await;
        assert_eq!(answer.status, 202);
        let delivery = stack.next(CommandType::of::<commands::HealthCheck>().queue()).await;
        let job = painel_shared::job::Job::decode(&delivery.body).unwrap();
        assert_eq!(job.traceparent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    });
}

#[test]
fn duplicates_and_a_purged_queue_change_nothing() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let id = client.accepted(&restart(stack)).await;
        // The job is lost, and then comes twice.
        let queue = CommandType::of::<commands::RestartAgent>().queue();
        let lost = stack.next(queue).await;
        let job = painel_shared::job::Job::decode(&lost.body).unwrap();
        lost.acknowledge().await.unwrap();
        stack.stores.queue.publish(&job).await.unwrap();
        stack.stores.queue.publish(&job).await.unwrap();
        work_all(stack);
        client.until(&id, "SUCCESS").await;
        assert_eq!(stack.restarts().len(), 1);
    });
}
