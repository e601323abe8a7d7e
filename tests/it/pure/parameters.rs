//! The parameters of each command type: defaults filled in, everything wrong named.

use painel_shared::{
    commands::{CommandType, TenantRule},
    queue::WorkQueue,
};
use serde_json::{Value, json};

fn normalise(kind: &str, raw: Value) -> Result<Value, Vec<String>> {
    let kind = CommandType::named(kind).unwrap();
    let outcome = kind.normalise(raw.as_object().cloned().unwrap());
    outcome.map(Value::Object).map_err(|errors| errors.into_iter().map(|error| error.field).collect())
}

#[test]
fn the_catalogue_is_that_of_the_product() {
    let all: Vec<(&str, &str, TenantRule)> =
        CommandType::all().map(|kind| (kind.name(), kind.queue().name(), kind.tenant_rule())).collect();
    assert_eq!(
        all,
        [
            ("HEALTH_CHECK", "painel.health-check", TenantRule::Optional),
            ("RESET_TOKEN", "painel.reset-token", TenantRule::Required),
            ("RESTART_AGENT", "painel.restart-agent", TenantRule::Required),
            ("REPROCESS_QUEUE", "painel.reprocess-queue", TenantRule::Absent),
        ]
    );
    assert_eq!(WorkQueue::all().count(), 5);
    assert!(CommandType::all().all(|kind| kind.retry().max_attempts == 5));
}

#[test]
fn defaults_are_filled_in() {
    let raw = json!({"queue_name": "painel.reset-token"});
    let full = json!({"queue_name": "painel.reset-token", "message_count": 1000});
    assert_eq!(normalise("REPROCESS_QUEUE", raw).unwrap(), full);
    // Reading what was normalised gives the same again.
    assert_eq!(normalise("REPROCESS_QUEUE", full.clone()).unwrap(), full);
    assert_eq!(normalise("HEALTH_CHECK", json!({})).unwrap(), json!({}));
}

#[test]
fn everything_wrong_is_named() {
    let id = "5f0e1a54-7d0e-4b53-8a4b-0d9e3f6f8a11";
    for (kind, raw, fields) in [
        ("HEALTH_CHECK", json!({"deep": true}), vec!["parameters.deep"]),
        ("RESET_TOKEN", json!({}), vec!["parameters.integration_id"]),
        ("RESET_TOKEN", json!({"integration_id": null}), vec!["parameters.integration_id"]),
        ("RESET_TOKEN", json!({"integration_id": 7}), vec!["parameters.integration_id"]),
        ("RESET_TOKEN", json!({"integration_id": id.replace('-', "")}), vec!["parameters.integration_id"]),
        ("RESTART_AGENT", json!({"agent_id": "x", "b": 1}), vec!["parameters.agent_id", "parameters.b"]),
        ("REPROCESS_QUEUE", json!({"queue_name": "painel.coffee"}), vec!["parameters.queue_name"]),
        (
            "REPROCESS_QUEUE",
            json!({"queue_name": "painel.reset-token", "message_count": 0}),
            vec!["parameters.message_count"],
        ),
        (
            "REPROCESS_QUEUE",
            json!({"queue_name": "painel.reset-token", "message_count": 10_001}),
            vec!["parameters.message_count"],
        ),
        (
            "REPROCESS_QUEUE",
            json!({"queue_name": "painel.reset-token", "message_count": -1}),
            vec!["parameters.message_count"],
        ),
        (
            "REPROCESS_QUEUE",
            json!({"queue_name": "painel.reset-token", "message_ids": vec![id; 101]}),
            vec!["parameters.message_ids"],
        ),
        (
            "REPROCESS_QUEUE",
            json!({"queue_name": "painel.reset-token", "message_ids": [id, 1]}),
            vec!["parameters.message_ids"],
        ),
    ] {
        assert_eq!(normalise(kind, raw.clone()).unwrap_err(), fields, "{kind} {raw}");
    }
}
