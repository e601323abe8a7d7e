//! What operators ask of rollups, over HTTP.

use std::time::Duration;

use painel_shared::{
    commands,
    rollup::{self, RunState},
};
use painel_tests::{
    client::{Answer, Client},
    stack::with_stack,
    wait::eventually,
};
use painel_workers::commands::ReprocessQueue;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{all_seen, ask, days_ago, insert, shown};

const AGGREGATIONS: &str = "/internal/operations/aggregations";

async fn post(client: &Client, body: &Value) -> Answer {
    client.send(client.request(Method::POST, AGGREGATIONS).json(body)).await
}

#[test]
fn days_are_asked_for_and_seen_to_be_done() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let (from, to) = (days_ago(3), days_ago(1));
        let before = shown(stack, days_ago(2)).await.unwrap();
        insert(stack, days_ago(2), 11).await;
        let accepted = post(&client, &json!({"from": from, "to": to})).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        assert_eq!(accepted.body["runs"].as_array().unwrap().len(), 3);
        // Asked for again while they are open, they are the same ones.
        let again = post(&client, &json!({"from": from, "to": to})).await;
        assert_eq!(again.body["runs"], accepted.body["runs"]);
        let open = client.get(AGGREGATIONS).await;
        assert_eq!(open.body["progress"]["days_total"], 3);
        assert_eq!(open.body["progress"]["days_done"], 0);
        stack.work_rollups();
        let done = eventually("the days to be done", Duration::from_secs(20), || async {
            let answer = client.get(AGGREGATIONS).await;
            (answer.body["progress"]["days_done"] == 3).then_some(answer.body)
        })
        .await;
        assert!(done["progress"]["rows_read"].as_i64().unwrap() > 11);
        assert!(done["progress"]["eta_seconds"].is_null());
        let states = done["runs"].as_array().unwrap().iter().map(|run| run["state"].clone());
        assert!(states.into_iter().all(|state| state == "succeeded"));
        assert_eq!(shown(stack, days_ago(2)).await, Some(before + 11));
        let events = client.get("/internal/operations/events?event_type=aggregation.requested").await;
        assert_eq!(events.body["events"].as_array().unwrap().len(), 2);
        assert_eq!(events.body["events"][0]["user_id"], "development-admin");
    });
}

#[test]
fn everything_wrong_is_named_and_nothing_is_asked_for() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let (yesterday, today) = (days_ago(1), days_ago(0));
        let table = [
            (json!({"from": yesterday, "to": days_ago(2)}), vec!["from"]),
            (json!({"from": yesterday, "to": today}), vec!["to"]),
            (json!({"from": days_ago(400), "to": yesterday}), vec!["to"]),
            (json!({"from": days_ago(30), "to": days_ago(29)}), vec!["from"]),
            (json!({"from": "yesterday", "to": 3}), vec!["from", "to"]),
            (json!({"from": "2026-02-30", "to": yesterday}), vec!["from"]),
            (json!({"from": yesterday}), vec!["to"]),
            (json!({"from": yesterday, "to": yesterday, "days": 3}), vec!["days"]),
            (json!({"from": yesterday, "to": yesterday, "tenant_id": Uuid::new_v4()}), vec!["tenant_id"]),
            (json!({"from": yesterday, "to": yesterday, "tenant_id": "x"}), vec!["tenant_id"]),
        ];
        for (body, fields) in table {
            let answer = post(&client, &body).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, fields), "{body}: {}", answer.body);
        }
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM rollup_runs")
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
        assert_eq!(count, 0);
        for (query, field) in [("state=done", "state"), ("from=1", "from"), ("limit=0", "limit"), ("day=1", "day")]
        {
            let answer = client.get(&format!("{AGGREGATIONS}?{query}")).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec![field]), "{query}");
        }
    });
}

#[test]
fn a_dead_rollup_whose_dead_letter_was_lost_is_reprocessed_all_the_same() {
    with_stack(|stack| async move {
        let run = ask(stack, days_ago(1), None).await;
        let kill = "UPDATE rollup_runs SET state = 'failed', dead_letter = true, finished_at = now() - interval '1 minute'";
        sqlx::query(kill).execute(&stack.stores.db.service()).await.unwrap();
        let asked = json!({"queue_name": "painel.metrics-rollup"});
        let command = stack.send::<commands::ReprocessQueue>(None, asked).await;
        stack.step(&stack.executor::<ReprocessQueue>()).await;
        let result = stack.stored(&command).await.result.unwrap();
        assert_eq!((&result["moved"], &result["skipped"]), (&json!(1), &json!(0)));
        let run = rollup::find(&stack.stores.db.service(), run.id).await.unwrap().unwrap();
        assert_eq!((run.state, run.dead_letter), (RunState::Queued, false));
        assert_eq!(stack.stores.queue.depth(rollup::QUEUE).await.unwrap().ready, 1);
    });
}

#[test]
fn a_dead_rollup_is_reprocessed() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let day = days_ago(1);
        let accepted = post(&client, &json!({"from": day, "to": day})).await;
        let id = accepted.body["runs"][0]["run_id"].as_str().unwrap().to_owned();
        // Every attempt lost its worker.
        let exhausted = "UPDATE rollup_runs SET state = 'running', attempt = max_attempts, fence = 5,
                         lease_owner = gen_random_uuid(), lease_expires_at = now() - interval '1 second'";
        sqlx::query(exhausted).execute(&stack.stores.db.service()).await.unwrap();
        stack.step(&stack.rollup_executor()).await;
        let failed = client.get(&format!("{AGGREGATIONS}?state=failed")).await;
        assert_eq!(failed.body["runs"][0]["run_id"], id.as_str());
        assert!(failed.body["runs"][0]["error"].as_str().unwrap().starts_with("lease_lost"));
        stack.work::<ReprocessQueue>();
        let command = client
            .accepted(&json!({
                "command_type": "REPROCESS_QUEUE", "parameters": {"queue_name": "painel.metrics-rollup"},
            }))
            .await;
        let reprocessed = client.until(&command, "SUCCESS").await;
        assert_eq!(reprocessed["result"]["moved"], 1, "{reprocessed}");
        all_seen(stack, day).await;
        stack.step(&stack.rollup_executor()).await;
        let done = client.get(&format!("{AGGREGATIONS}?state=succeeded")).await;
        assert_eq!(done.body["runs"][0]["run_id"], id.as_str());
    });
}
