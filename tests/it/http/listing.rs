//! The list over HTTP: filters, pages, and what was just made.

use painel_tests::{client::COMMANDS, stack::with_stack};
use painel_workers::commands::HealthCheck;
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<String> {
    let commands = list["commands"].as_array().unwrap();
    commands.iter().map(|command| command["command_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_newest_comes_first_and_a_cursor_goes_on() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut made = Vec::new();
        for _ in 0..7 {
            made.push(client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await);
        }
        made.reverse();
        let whole = client.get(COMMANDS).await.body;
        assert_eq!(
            (ids(&whole), &whole["total"], &whole["total_is_capped"]),
            (made.clone(), &json!(7), &json!(false))
        );
        assert!(whole["next_cursor"].is_null());

        let first = client.get(&format!("{COMMANDS}?limit=3")).await.body;
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = client.get(&format!("{COMMANDS}?limit=3&cursor={cursor}")).await.body;
        let skipped = client.get(&format!("{COMMANDS}?limit=3&offset=3")).await.body;
        assert_eq!([ids(&first), ids(&second)].concat(), made[..6]);
        assert_eq!(ids(&skipped), made[3..6]);
        let foreign = client.get(&format!("{COMMANDS}?status=ERROR&cursor={cursor}")).await;
        assert_eq!((foreign.status.as_u16(), foreign.fields()), (400, vec!["cursor"]));
        let both = client.get(&format!("{COMMANDS}?offset=1&cursor={cursor}")).await;
        assert_eq!((both.status.as_u16(), both.fields()), (400, vec!["offset"]));
    });
}

#[test]
fn filters_are_obeyed_together() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let own = client.accepted(&json!({"command_type": "HEALTH_CHECK", "tenant_id": tenant})).await;
        stack.step(&stack.executor::<HealthCheck>()).await;
        let wide = client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        let list = |query: String| {
            let client = client.clone();
            async move { ids(&client.get(&format!("{COMMANDS}?{query}")).await.body) }
        };
        assert_eq!(list("status=all".to_owned()).await, [wide.clone(), own.clone()]);
        assert_eq!(list("status=PENDING".to_owned()).await, [wide]);
        assert_eq!(list(format!("status=SUCCESS&tenant_id={tenant}&command_type=HEALTH_CHECK")).await, [own]);
        assert!(list("command_type=RESET_TOKEN".to_owned()).await.is_empty());
        let today = chrono::Utc::now().date_naive();
        // Sent a moment ago: of today, or of yesterday where it was midnight since.
        let yesterday = today - chrono::Days::new(1);
        assert_eq!(list(format!("from={yesterday}")).await.len(), 2);
        assert!(list(format!("from={}", today + chrono::Days::new(1))).await.is_empty());
        assert!(list(format!("to={}", yesterday - chrono::Days::new(1))).await.is_empty());
        let wrong = client.get(&format!("{COMMANDS}?from={today}&to={yesterday}")).await;
        assert_eq!((wrong.status.as_u16(), wrong.fields()), (400, vec!["from"]));
        let events = |query: String| {
            let client = client.clone();
            async move {
                client.get(&format!("/internal/operations/events?{query}")).await.body["events"]
                    .as_array()
                    .unwrap()
                    .len()
            }
        };
        assert!(events(format!("from={yesterday}&to={today}")).await >= 3);
        assert_eq!(events(format!("from={}", today + chrono::Days::new(1))).await, 0);
        assert_eq!(events(format!("to={}", yesterday - chrono::Days::new(1))).await, 0);
    });
}
