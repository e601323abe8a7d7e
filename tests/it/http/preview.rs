//! What a command would touch, before it is sent.

use painel_shared::command_store::Filter;
use painel_tests::{client::COMMANDS, stack::with_stack};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::workers::reprocess_queue::dead;

#[test]
fn each_type_tells_what_it_would_touch_and_stores_nothing() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let pool = stack.stores.db.service();
        let ask = async |body: Value| {
            let answer =
                client.send(client.request(Method::POST, &format!("{COMMANDS}/preview")).json(&body)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.body
        };
        let (tenant, [agent, other]) = (stack.example.tenant, stack.example.agents);
        let parameters = json!({"agent_id": agent});
        let restart = json!({"command_type": "RESTART_AGENT", "tenant_id": tenant, "parameters": parameters});
        // Three requests now, two of them within the hour.
        sqlx::query(
            "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at)
             SELECT id, 10, 1, 'success', now() - age * interval '1 minute'
             FROM tenant_agents, unnest(ARRAY[1, 30, 90]) AS age WHERE tenant_id = $1 AND agent_id = $2",
        )
        .bind(tenant.uuid())
        .bind(agent.uuid())
        .execute(&pool)
        .await
        .unwrap();
        let before: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM agent_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
             WHERE ta.tenant_id = $1 AND ta.agent_id = $2 AND r.created_at > now() - interval '1 day'",
        )
        .bind(tenant.uuid())
        .bind(agent.uuid())
        .fetch_one(&pool)
        .await
        .unwrap();
        let seen = ask(restart.clone()).await;
        assert_eq!((&seen["target"]["id"], &seen["target"]["status"]), (&json!(agent), &json!("active")));
        assert_eq!(
            (&seen["target"]["requests_last_hour"], &seen["target"]["requests_last_day"]),
            (&json!(2), &json!(before))
        );
        assert_eq!((&seen["tenant_name"], &seen["open_commands"]), (&json!("Padaria Pão Quente"), &json!([])));
        assert!(seen["irreversible"].is_string() && seen["dead_letters"].is_null());
        assert_eq!(stack.stores.commands.count(&Filter::default()).await.unwrap().total, 0, "nothing is stored");

        // What touches the same and has not ended; of another agent it is another's.
        let open = client.accepted(&restart).await;
        let of_other = json!({"agent_id": other});
        client
            .accepted(&json!({"command_type": "RESTART_AGENT", "tenant_id": tenant, "parameters": of_other}))
            .await;
        let seen = ask(restart).await;
        assert_eq!(seen["open_commands"].as_array().unwrap().len(), 1);
        assert_eq!(seen["open_commands"][0]["command_id"], open);

        let integration = stack.example.integration;
        let parameters = json!({"integration_id": integration});
        let seen = ask(json!({"command_type": "RESET_TOKEN", "tenant_id": tenant, "parameters": parameters})).await;
        assert_eq!(seen["target"]["id"], json!(integration));
        assert!(seen["target"]["requests_last_day"].is_null());
        let seen = ask(json!({"command_type": "HEALTH_CHECK"})).await;
        assert!(seen["target"].is_null() && seen["irreversible"].is_null());
    });
}

#[test]
fn a_reprocessing_tells_how_many_would_move_and_which_died_last() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut commands = Vec::new();
        for _ in 0..3 {
            commands.push(dead(stack, true).await.0);
        }
        let ask = async |more: Value| {
            let mut parameters = json!({"queue_name": "painel.restart-agent"});
            parameters.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            let body = json!({"command_type": "REPROCESS_QUEUE", "parameters": parameters});
            let answer =
                client.send(client.request(Method::POST, &format!("{COMMANDS}/preview")).json(&body)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.body["dead_letters"].clone()
        };
        for (more, moving, shown) in [
            (json!({}), 3, 3),
            (json!({"message_count": 2}), 2, 3),
            (json!({"command_ids": [commands[0].id(), Uuid::new_v4()]}), 1, 1),
            (json!({"command_ids": [Uuid::new_v4()]}), 0, 0),
            (json!({"message_ids": [Uuid::new_v4()]}), 1, 3),
        ] {
            let told = ask(more.clone()).await;
            assert_eq!((&told["dead_letters"], &told["would_move"]), (&json!(3), &json!(moving)), "{more}");
            assert_eq!(told["commands"].as_array().unwrap().len(), shown, "{more}");
        }
        let queues = client.get("/internal/operations/queues").await.body;
        let queue = queues["queues"].as_array().unwrap().iter().find(|one| one["name"] == "painel.restart-agent");
        let oldest = &queue.unwrap()["oldest_dead_letter_at"];
        let first = stack.stored(&commands[0]).await.completed_at.unwrap();
        assert_eq!(oldest.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap(), first);
        assert_eq!(&ask(json!({})).await["oldest_dead_letter_at"], oldest);
        // A fourth one has lost its message: it is given back all the same.
        dead(stack, false).await;
        let told = ask(json!({})).await;
        assert_eq!((&told["dead_letters"], &told["would_move"]), (&json!(4), &json!(4)));
        let named = ask(json!({"command_ids": [commands[0].id(), Uuid::new_v4()]})).await;
        assert_eq!(named["would_be_skipped"], 1);
        let newest = ask(json!({})).await["commands"][0]["command_id"].clone();
        assert_ne!(newest, json!(commands[0].id()));
    });
}

#[test]
fn what_would_not_be_accepted_is_refused_alike() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        for body in [
            json!({"command_type": "FLY"}),
            json!({"command_type": "RESTART_AGENT"}),
            json!({"command_type": "RESTART_AGENT", "tenant_id": tenant, "parameters": {"agent_id": Uuid::new_v4()}}),
            json!({"command_type": "HEALTH_CHECK", "tenant_id": Uuid::new_v4()}),
            json!({"command_type": "REPROCESS_QUEUE", "parameters": {
                "queue_name": "painel.restart-agent", "message_ids": [Uuid::new_v4()], "command_ids": [Uuid::new_v4()],
            }}),
        ] {
            let preview =
                client.send(client.request(Method::POST, &format!("{COMMANDS}/preview")).json(&body)).await;
            let sent = client.post(&body).await;
            assert!(sent.status.is_client_error(), "{body}");
            assert_eq!((preview.status, preview.fields()), (sent.status, sent.fields()), "{body}");
        }
    });
}
