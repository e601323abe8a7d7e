//! The wire, name by name: existing clients depend on every one of them.
//!
//! A shape is an answer whose values are replaced by their types. Of a list the first entry stands for all;
//! `"?"` stands for what may be null.

use painel_tests::stack::with_stack;
use painel_workers::commands::HealthCheck;
use serde_json::{Value, json};

use super::body;

/// Compares an answer with its shape; members that the shape does not name are an error too.
fn assert_shape(answer: &Value, shape: &Value, at: &str) {
    match (answer, shape) {
        (Value::Object(found), Value::Object(wanted)) => {
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            let (mut found_names, mut wanted_names) = (names(found), names(wanted));
            found_names.sort();
            wanted_names.sort();
            assert_eq!(found_names, wanted_names, "{at}");
            for (name, inner) in wanted {
                assert_shape(&found[name], inner, &format!("{at}.{name}"));
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            assert!(!found.is_empty(), "{at} is empty, which shows nothing");
            for entry in found {
                assert_shape(entry, &wanted[0], &format!("{at}[]"));
            }
        }
        (found, Value::String(kind)) => {
            let fits = match kind.trim_end_matches('?') {
                _ if found.is_null() => kind.ends_with('?'),
                "text" => found.is_string(),
                "int" => found.is_u64() || found.is_i64(),
                "number" => found.is_number(),
                "bool" => found.is_boolean(),
                "object" => found.is_object(),
                "uuid" => found.as_str().is_some_and(|text| text.len() == 36 && text.parse::<uuid::Uuid>().is_ok()),
                "date" => found.as_str().is_some_and(|text| text.parse::<chrono::NaiveDate>().is_ok()),
                "time" => found.as_str().is_some_and(|text| {
                    text.ends_with('Z') && text.parse::<chrono::DateTime<chrono::Utc>>().is_ok()
                }),
                other => panic!("{at}: {other} is no type of a shape"),
            };
            assert!(fits, "{at} is {found}, not {kind}");
        }
        (found, shape) => panic!("{at} is {found}, not {shape}"),
    }
}

fn percentiles(mut shape: Value) -> Value {
    for percent in [50, 95, 99] {
        shape[format!("p{percent}_response_time_ms")] = json!("number?");
    }
    shape
}

fn used() -> Value {
    percentiles(json!({
        "total_requests": "int", "successful_requests": "int", "failed_requests": "int", "success_rate": "number",
        "avg_response_time_ms": "number", "total_tokens_used": "int",
    }))
}

fn event() -> Value {
    json!({
        "id": "int", "event_type": "text", "category": "text", "tenant_id": "uuid?", "user_id": "text?",
        "user_email": "text?", "resource_type": "text?", "resource_id": "text?", "action": "text", "status": "text",
        "details": "object", "ip_address": "text?", "user_agent": "text?", "created_at": "time",
    })
}

fn ticket() -> Value {
    json!({
        "id": "uuid", "tenant_id": "uuid", "tenant_name": "text", "subject": "text", "status": "text",
        "opened_by_email": "text?", "created_at": "time", "updated_at": "time",
    })
}

fn command() -> Value {
    json!({
        "command_id": "uuid", "command_type": "text", "status": "text", "tenant_id": "uuid?", "tenant_name": "text?",
        "created_by": "text", "created_by_email": "text?", "created_at": "time", "started_at": "time?",
        "completed_at": "time?", "duration_ms": "int?", "output": "text?", "error_message": "text?",
        "result": "object?", "error": "object?", "parameters": "object", "reason": "text?", "attempt": "int",
        "max_attempts": "int", "next_attempt_at": "time?", "dead_letter": "bool", "trace_id": "text",
    })
}

fn of_tenants() -> Vec<(&'static str, Value)> {
    vec![
        (
            "/tenant/me",
            json!({
                "id": "uuid", "name": "text", "cnpj": "text", "segment": "text", "plan": "text", "status": "text",
                "mrr_estimate": "number", "created_at": "time",
                "limits": {"max_agents": "int", "max_users": "int", "max_requests_per_month": "int"},
                "usage": {"active_agents": "int", "active_users": "int", "requests_this_month": "int"},
            }),
        ),
        (
            "/tenant/agents",
            json!({"agents": [{
                "id": "uuid", "name": "text", "segment": "text", "status": "text", "activated_at": "time",
                "usage_last_30_days": {"total_requests": "int", "success_rate": "number", "avg_response_time_ms": "number"},
            }], "next_cursor": "uuid?"}),
        ),
        (
            "/tenant/integrations",
            json!({"integrations": [{
                "id": "uuid", "type": "text", "name": "text", "status": "text", "last_sync_at": "time?",
                "last_error": "text?", "token_fingerprint": "text?", "token_rotated_at": "time?",
            }]}),
        ),
        (
            "/tenant/usage",
            json!({
                "period": "text",
                "summary": used(),
                "previous": used(),
                "daily_data": [percentiles(json!({
                    "date": "date", "total_requests": "int", "successful_requests": "int", "failed_requests": "int",
                    "avg_response_time_ms": "number", "total_tokens_used": "int",
                }))],
                "by_agent": [percentiles(json!({
                    "agent_id": "uuid", "agent_name": "text", "total_requests": "int", "success_rate": "number",
                    "avg_response_time_ms": "number", "total_tokens_used": "int",
                }))],
            }),
        ),
        (
            "/tenant/incidents",
            json!({
                "incidents": [{
                    "id": "uuid", "severity": "text", "title": "text", "description": "text", "created_at": "time",
                    "resolved_at": "time?",
                }],
                "total": "int",
            }),
        ),
        (
            "/tenant/operations",
            json!({
                "operations": [{
                    "operation_id": "uuid", "command_type": "text", "status": "text", "created_at": "time",
                    "completed_at": "time?", "outcome": "text?",
                }],
                "next_cursor": "text?",
            }),
        ),
        ("/tenant/tickets", json!({"tickets": [ticket()], "total": "int", "limit": "int", "offset": "int"})),
    ]
}

fn of_operators(tenant: &str) -> Vec<(String, Value)> {
    vec![
        (
            "/internal/tenants".to_owned(),
            json!({
                "tenants": [{
                    "id": "uuid", "name": "text", "cnpj": "text", "segment": "text", "plan": "text", "status": "text",
                    "mrr_estimate": "number", "active_agents": "int", "active_users": "int",
                    "requests_last_30_days": "int", "created_at": "time", "success_rate_last_30_days": "number",
                    "open_incidents": "int",
                }],
                "segments": ["text"], "total": "int", "limit": "int", "offset": "int",
            }),
        ),
        (
            format!("/internal/tenants/{tenant}"),
            json!({
                "tenant": {
                    "id": "uuid", "name": "text", "cnpj": "text", "segment": "text", "plan": "text", "status": "text",
                    "mrr_estimate": "number", "created_at": "time", "updated_at": "time",
                },
                "users": [{"id": "uuid", "email": "text", "full_name": "text", "role": "text", "last_login_at": "time?"}],
                "agents": [{
                    "id": "uuid", "name": "text", "status": "text", "activated_at": "time",
                    "usage_last_30_days": {"total_requests": "int", "success_rate": "number"},
                }],
                "integrations": [{"id": "uuid", "type": "text", "name": "text", "status": "text", "last_sync_at": "time?"}],
                "usage_summary": {
                    "requests_last_7_days": "int", "requests_last_30_days": "int", "success_rate_last_30_days": "number",
                },
                "recent_incidents": [{"id": "uuid", "severity": "text", "title": "text", "created_at": "time"}],
                "recent_events": [event()],
            }),
        ),
        (
            format!("/internal/tenants/{tenant}/agents"),
            json!({"agents": [{
                "id": "uuid", "name": "text", "status": "text", "config": "object", "activated_at": "time",
                "deactivated_at": "time?",
                "usage_stats": {
                    "total_requests": "int", "success_rate": "number", "avg_response_time_ms": "number",
                    "last_request_at": "time?",
                },
            }], "next_cursor": "uuid?"}),
        ),
        (
            "/internal/usage/overview".to_owned(),
            json!({
                "period": "text",
                "global_stats": percentiles(json!({
                    "total_tenants": "int", "active_tenants": "int", "total_agents_deployed": "int",
                    "total_requests": "int", "global_success_rate": "number", "avg_response_time_ms": "number",
                })),
                "previous": percentiles(json!({
                    "total_requests": "int", "global_success_rate": "number", "avg_response_time_ms": "number",
                })),
                "top_tenants_by_usage": [{
                    "tenant_id": "uuid", "tenant_name": "text", "total_requests": "int", "success_rate": "number",
                }],
                "top_agents_by_usage": [{
                    "agent_id": "uuid", "agent_name": "text", "total_requests": "int", "deployed_count": "int",
                }],
                "daily_trends": [{
                    "date": "date", "total_requests": "int", "success_rate": "number", "active_tenants": "int",
                }],
            }),
        ),
        (
            "/internal/billing/overview".to_owned(),
            json!({
                "period": "text",
                "financial_summary": {
                    "total_mrr": "number", "total_arr": "number", "avg_mrr_per_tenant": "number",
                    "new_mrr_this_period": "number", "churned_mrr_this_period": "number",
                    "expansion_mrr_this_period": "number", "contraction_mrr_this_period": "number",
                    "churn_rate": "number",
                },
                "by_plan": [{"plan_name": "text", "tenant_count": "int", "total_mrr": "number"}],
                "by_segment": [{"segment": "text", "tenant_count": "int", "total_mrr": "number"}],
                "revenue_trend": [{"date": "date", "mrr": "number", "new_tenants": "int", "churned_tenants": "int"}],
                "monthly_movements": [{
                    "month": "text", "opening": "number", "new": "number", "expansion": "number",
                    "contraction": "number", "churned": "number", "closing": "number",
                }],
            }),
        ),
        (
            "/internal/agents".to_owned(),
            json!({
                "period": "text",
                "agents": [percentiles(json!({
                    "id": "uuid", "name": "text", "segment": "text", "deployed_count": "int", "total_requests": "int",
                    "requests_by_day": ["int"], "success_rate": "number", "avg_response_time_ms": "number",
                }))],
                "segments": ["text"], "total": "int", "limit": "int", "offset": "int",
            }),
        ),
        (
            "/internal/integrations".to_owned(),
            json!({
                "counts": [{"type": "text", "status": "text", "integrations": "int", "tenants": "int"}],
                "integrations": [{
                    "id": "uuid", "tenant_id": "uuid", "tenant_name": "text", "type": "text", "name": "text",
                    "status": "text", "last_sync_at": "time?", "last_error": "text?",
                }],
                "total": "int", "limit": "int", "offset": "int",
            }),
        ),
        (
            "/internal/incidents?state=all".to_owned(),
            json!({
                "incidents": [{
                    "id": "uuid", "severity": "text", "title": "text", "description": "text", "created_at": "time",
                    "resolved_at": "time?", "tenant_count": "int",
                    "tenants": [{"tenant_id": "uuid", "tenant_name": "text"}],
                }],
                "total": "int", "limit": "int", "offset": "int",
            }),
        ),
        (
            "/internal/operations/commands".to_owned(),
            json!({
                "commands": [command()], "total": "int", "total_is_capped": "bool", "next_cursor": "text?",
            }),
        ),
        (
            "/internal/tickets?status=all".to_owned(),
            json!({"tickets": [ticket()], "total": "int", "limit": "int", "offset": "int"}),
        ),
        ("/internal/operations/events".to_owned(), json!({"events": [event()], "next_cursor": "text?"})),
        (
            "/internal/operations/queues".to_owned(),
            json!({"queues": [{
                "name": "text", "waiting": "int", "in_flight": "int?", "dead_letters": "int", "consumers": "int?",
                "oldest_dead_letter_at": "time?",
            }]}),
        ),
    ]
}

#[test]
fn every_answer_has_its_shape() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant.to_string();
        // So that commands and events are there to be looked at.
        stack.work::<HealthCheck>();
        let health = json!({"command_type": "HEALTH_CHECK", "tenant_id": tenant});
        let id = client.accepted(&health).await;
        client.until(&id, "SUCCESS").await;
        for (path, shape) in of_tenants() {
            assert_shape(&body(&client, &format!("{path}?tenant_id={tenant}")).await, &shape, path);
        }
        for (path, shape) in of_operators(&tenant) {
            assert_shape(&body(&client, &path).await, &shape, &path);
        }
        let mut shown = command();
        shown["events"] = json!([event()]);
        shown["attempts"] = json!([{
            "started_at": "time", "ended_at": "time?", "duration_ms": "int?", "outcome": "text?", "error": "object?",
        }]);
        assert_shape(&client.command(&id).await, &shown, "a command");
        let tickets = body(&client, "/internal/tickets?status=all").await;
        let id = tickets["tickets"][0]["id"].as_str().unwrap();
        let mut with_messages = ticket();
        with_messages["messages"] =
            json!([{"by_operator": "bool", "author_email": "text?", "body": "text", "created_at": "time"}]);
        assert_shape(&body(&client, &format!("/internal/tickets/{id}")).await, &with_messages, "a ticket");
        let profile = json!({
            "sub": "text", "email": "text?", "tenant_id": "uuid?", "groups": ["text"],
            "preferences": {
                "language": "text", "zone": "text", "theme": "text", "dense": "bool", "live": "bool",
                "shortcuts": "bool", "interval_seconds": "int",
            },
        });
        assert_shape(&body(&client, "/profile").await, &profile, "a profile");
        let mut accepted = command();
        accepted["message"] = json!("text");
        assert_shape(&client.post(&health).await.body, &accepted, "an accepted command");
    });
}
