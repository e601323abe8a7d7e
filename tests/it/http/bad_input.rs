//! Bad input: each its own status and a problem that names the field; nothing stored, nothing published.

use painel_shared::{command_store::Filter, queue::WorkQueue};
use painel_tests::{
    client::{Answer, COMMANDS},
    stack::{Stack, with_stack},
};
use reqwest::Method;
use serde_json::{Value, json};

const NOBODY: &str = "5f0e1a54-7d0e-4b53-8a4b-0d9e3f6f8a11";

async fn assert_nothing_happened(stack: &Stack) {
    assert_eq!(stack.stores.commands.count(&Filter::default()).await.unwrap().total, 0);
    for queue in WorkQueue::all() {
        assert_eq!(stack.stores.queue.depth(queue).await.unwrap().ready, 0);
    }
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM operational_events")
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
    assert_eq!(events, 0);
}

/// The members that every problem has (RFC 9457, and those of the clients).
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["error"], code, "{}", answer.body);
    for member in ["type", "title", "detail", "instance", "message"] {
        assert!(answer.body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {}", answer.body);
    }
    assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
}

/// An integration and an agent that belong to somebody else than the example's tenant.
async fn foreign(stack: &Stack) -> (String, String) {
    let other: String = sqlx::query_scalar("SELECT min(id::text) FROM tenant_integrations WHERE tenant_id <> $1")
        .bind(stack.example.tenant.uuid())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
    let agent: String = sqlx::query_scalar(
        "SELECT min(id::text) FROM agents WHERE id NOT IN (SELECT agent_id FROM tenant_agents WHERE tenant_id = $1)",
    )
    .bind(stack.example.tenant.uuid())
    .fetch_one(&stack.stores.db.service())
    .await
    .unwrap();
    (other, agent)
}

#[test]
fn a_command_that_is_wrong_names_each_field() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let integration = stack.example.integration;
        let (foreign_integration, foreign_agent) = foreign(stack).await;
        let reset = |parameters: Value| json!({"command_type": "RESET_TOKEN", "tenant_id": tenant, "parameters": parameters});
        let cases: Vec<(Value, u16, Vec<&str>)> = vec![
            (json!({}), 400, vec!["command_type"]),
            (json!({"command_type": "MAKE_COFFEE"}), 400, vec!["command_type"]),
            (json!({"command_type": 7}), 400, vec!["command_type"]),
            (json!({"command_type": "HEALTH_CHECK", "priority": 1}), 400, vec!["priority"]),
            (json!({"command_type": "HEALTH_CHECK", "parameters": []}), 400, vec!["parameters"]),
            (json!({"command_type": "HEALTH_CHECK", "reason": "x".repeat(501)}), 400, vec!["reason"]),
            (json!({"command_type": "HEALTH_CHECK", "reason": "a\u{0}b"}), 400, vec!["reason"]),
            (json!({"command_type": "HEALTH_CHECK", "tenant_id": "acme"}), 400, vec!["tenant_id"]),
            (json!({"command_type": "HEALTH_CHECK", "parameters": {"deep": 1}}), 400, vec!["parameters.deep"]),
            (reset(json!({})), 400, vec!["parameters.integration_id"]),
            (reset(json!({"integration_id": "x"})), 400, vec!["parameters.integration_id"]),
            (reset(json!({"integration_id": integration, "tenant_id": NOBODY})), 400, vec!["parameters.tenant_id"]),
            (
                json!({"command_type": "RESET_TOKEN", "parameters": {"integration_id": integration}}),
                400,
                vec!["tenant_id"],
            ),
            (
                json!({"command_type": "REPROCESS_QUEUE", "tenant_id": tenant, "parameters": {"queue_name": "painel.reset-token"}}),
                400,
                vec!["tenant_id"],
            ),
            (
                json!({"command_type": "REPROCESS_QUEUE", "parameters": {"queue_name": "x", "message_count": 0}}),
                400,
                vec!["parameters.message_count", "parameters.queue_name"],
            ),
            (json!({"command_type": "HEALTH_CHECK", "tenant_id": NOBODY}), 404, vec!["tenant_id"]),
            (reset(json!({"integration_id": NOBODY})), 404, vec!["parameters.integration_id"]),
            (reset(json!({"integration_id": foreign_integration})), 404, vec!["parameters.integration_id"]),
            (
                json!({"command_type": "RESTART_AGENT", "tenant_id": tenant, "parameters": {"agent_id": foreign_agent}}),
                404,
                vec!["parameters.agent_id"],
            ),
        ];
        for (body, status, mut fields) in cases {
            let answer = client.post(&body).await;
            let code = if status == 400 { "VALIDATION_ERROR" } else { "NOT_FOUND" };
            assert_problem(&answer, status, code);
            let mut named = answer.fields();
            named.sort_unstable();
            fields.sort_unstable();
            assert_eq!(named, fields, "{body} -> {}", answer.body);
        }
        assert_nothing_happened(stack).await;
    });
}

#[test]
fn what_belongs_to_another_is_answered_as_if_it_did_not_exist() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let (foreign, _) = foreign(stack).await;
        let post = |id: String| {
            let body = json!({
                "command_type": "RESET_TOKEN",
                "tenant_id": stack.example.tenant,
                "parameters": {"integration_id": id},
            });
            let client = client.clone();
            async move {
                let mut answer = client.post(&body).await.body;
                answer.as_object_mut().unwrap().remove("request_id");
                answer
            }
        };
        assert_eq!(post(foreign).await, post(NOBODY.to_owned()).await);
    });
}

#[test]
fn a_body_that_cannot_be_read_is_refused() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let post = |body: Vec<u8>, content_type: &'static str| {
            let request = client.request(Method::POST, COMMANDS).header("Content-Type", content_type).body(body);
            let client = client.clone();
            async move { client.send(request).await }
        };
        for body in [&b"{"[..], b"", b"[]", b"7", b"\xff\xfe", b"{\"command_type\":\"HEALTH_CHECK\"} x"] {
            let answer = post(body.to_vec(), "application/json").await;
            assert_problem(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(answer.fields(), ["body"]);
        }
        let form = post(b"command_type=HEALTH_CHECK".to_vec(), "application/x-www-form-urlencoded").await;
        assert_problem(&form, 415, "UNSUPPORTED_MEDIA_TYPE");
        let large = post(vec![b' '; 64 * 1024 + 1], "application/json").await;
        assert_problem(&large, 413, "PAYLOAD_TOO_LARGE");
        for key in ["", "with space", &"k".repeat(256)] {
            let answer = client.post_once(&json!({"command_type": "HEALTH_CHECK"}), key).await;
            assert_problem(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(answer.fields(), ["Idempotency-Key"]);
        }
        assert_nothing_happened(stack).await;
    });
}

#[test]
fn a_list_that_is_asked_for_wrongly_names_each_parameter() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        for (query, fields) in [
            ("status=DONE", vec!["status"]),
            ("command_type=COFFEE", vec!["command_type"]),
            ("tenant_id=acme", vec!["tenant_id"]),
            ("limit=0", vec!["limit"]),
            ("limit=101", vec!["limit"]),
            ("limit=ten&offset=-1", vec!["limit", "offset"]),
            ("offset=1001", vec!["offset"]),
            ("cursor=abc", vec!["cursor"]),
            ("order=asc", vec!["order"]),
            ("limit=1&limit=2", vec!["limit"]),
        ] {
            let answer = client.get(&format!("{COMMANDS}?{query}")).await;
            assert_problem(&answer, 400, "VALIDATION_ERROR");
            let mut named = answer.fields();
            named.sort_unstable();
            assert_eq!(named, fields, "{query}");
        }
        let id = client.get(&format!("{COMMANDS}/not-a-uuid")).await;
        assert_problem(&id, 400, "VALIDATION_ERROR");
        assert_eq!(id.fields(), ["command_id"]);
        assert_problem(&client.get(&format!("{COMMANDS}/{NOBODY}")).await, 404, "NOT_FOUND");
    });
}

#[test]
fn errors_of_the_framework_are_problems_too() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        assert_problem(&client.get("/nothing/here").await, 404, "NOT_FOUND");
        let answer = client.send(client.request(Method::DELETE, COMMANDS)).await;
        assert_problem(&answer, 405, "METHOD_NOT_ALLOWED");
    });
}

#[test]
fn a_request_id_is_repeated_where_it_is_harmless() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let ask = |id: &'static str| {
            let request = client.request(Method::GET, "/health/live").header("X-Request-Id", id);
            let client = client.clone();
            async move { client.send(request).await.headers["x-request-id"].to_str().unwrap().to_owned() }
        };
        assert_eq!(ask("my-id-7").await, "my-id-7");
        assert_ne!(ask("two words").await, "two words");
    });
}

#[test]
fn a_key_that_stands_twice_is_named_wherever_it_stands() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        for (path, body, field) in [
            (COMMANDS, r#"{"command_type": "HEALTH_CHECK", "command_type": "RESET_TOKEN"}"#, "command_type"),
            (
                COMMANDS,
                r#"{"command_type": "RESTART_AGENT", "parameters": {"agent_id": "a", "agent_id": "a"}}"#,
                "parameters.agent_id",
            ),
            (COMMANDS, r#"{"command_type": "HEALTH_CHECK", "parameters": {}, "parameters": {}}"#, "parameters"),
            (
                "/internal/operations/aggregations",
                r#"{"from": "2026-01-01", "to": "2026-01-01", "to": "2026-01-02"}"#,
                "to",
            ),
        ] {
            let request = client.request(Method::POST, path).header("Content-Type", "application/json").body(body);
            let answer = client.send(request).await;
            assert_problem(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(answer.fields(), [field], "{body}");
            assert_eq!(answer.body["errors"][0]["code"], "duplicate", "{}", answer.body);
        }
        assert_nothing_happened(stack).await;
    });
}
