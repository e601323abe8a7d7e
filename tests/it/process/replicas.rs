//! Several processes of the API: what is done through one is seen through the others.

use std::time::Duration;

use painel_tests::{client::COMMANDS, fleet::Fleet, stack::with_stack, wait::eventually};
use serde_json::{Value, json};

#[test]
fn what_is_done_through_one_replica_is_seen_through_the_other_though_it_keeps_its_answers() {
    with_stack(|stack| async move {
        let mut fleet = Fleet::new(stack);
        fleet.start("painel-api");
        let one = fleet.client(&stack.issuer).await;
        fleet.start("painel-api");
        let other = fleet.client(&stack.issuer).await;
        assert_ne!(one.url, other.url);
        let (tenant, integration) = (stack.example.tenant, stack.example.integration);
        let page = format!("/internal/tenants/{tenant}");
        let before = other.fingerprint(tenant, integration).await;
        let events = |page: &Value| page["recent_events"].as_array().unwrap().len();
        assert_eq!(events(&other.get(&page).await.body), 0);
        // A page on which everything has ended: it is kept for a minute.
        assert_eq!(other.get(COMMANDS).await.body["total"], 0);

        let reset = json!({
            "command_type": "RESET_TOKEN", "tenant_id": tenant, "parameters": {"integration_id": integration},
        });
        let id = one.accepted(&reset).await;
        eventually("the other replica to list the command", Duration::from_secs(20), || async {
            (other.get(COMMANDS).await.body["commands"][0]["command_id"] == id.as_str()).then_some(())
        })
        .await;
        fleet.start("painel-reset-token-worker");
        one.until(&id, "SUCCESS").await;
        // Both are kept for five minutes.
        eventually("the other replica to show what it did", Duration::from_secs(20), || async {
            let shown = other.fingerprint(tenant, integration).await;
            let events = events(&other.get(&page).await.body);
            (shown != before && events == 2).then_some(())
        })
        .await;
        eventually("the other replica to list its end", Duration::from_secs(20), || async {
            (other.get(COMMANDS).await.body["commands"][0]["status"] == "SUCCESS").then_some(())
        })
        .await;
    });
}
