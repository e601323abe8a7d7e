//! RESET_TOKEN.

use painel_shared::{
    command::Status,
    commands,
    secrets::{Sealed, fingerprint},
};
use painel_tests::stack::{credentials, reveal, with_stack};
use painel_workers::commands::ResetToken;
use serde_json::json;
use sqlx::Row;

#[test]
fn a_new_secret_takes_the_old_ones_place_once() {
    with_stack(|stack| async move {
        let (tenant, integration) = (stack.example.tenant, stack.example.integration);
        sqlx::query("UPDATE tenant_integrations SET status = 'error', last_error = 'refused' WHERE id = $1")
            .bind(integration.uuid())
            .execute(&stack.stores.db.service())
            .await
            .unwrap();
        let executor = stack.executor::<ResetToken>();
        let command =
            stack.send::<commands::ResetToken>(Some(tenant), json!({"integration_id": integration})).await;
        stack.publish_again(&command).await;
        stack.step(&executor).await;
        stack.step(&executor).await;

        let stored = stack.stored(&command).await;
        assert_eq!(stored.status, Status::Success);
        assert_eq!(stack.rotations().await, 1);
        let row = sqlx::query("SELECT * FROM tenant_integrations WHERE id = $1")
            .bind(integration.uuid())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
        let sealed = Sealed {
            key_id: row.get("credentials_key_id"),
            nonce: row.get("credentials_nonce"),
            ciphertext: row.get("credentials"),
        };
        let token = credentials().keyring().unwrap().open(&sealed, tenant, integration).unwrap();
        let result = stored.result.unwrap();
        assert_eq!(result["token_fingerprint"], fingerprint(&token));
        assert_eq!(result["integration_name"], row.get::<String, _>("name"));
        assert_eq!(row.get::<String, _>("status"), "pending");
        assert_eq!(row.get::<Option<String>, _>("last_error"), None);

        // The secret is nowhere but in its sealed place.
        let events: Vec<String> = sqlx::query_scalar("SELECT details::text FROM operational_events")
            .fetch_all(&stack.stores.db.service())
            .await
            .unwrap();
        assert!(events.iter().all(|details| !details.contains(&reveal(&token))));
        assert!(!serde_json::to_string(&result).unwrap().contains(&reveal(&token)));
        assert_eq!(stack.events(&command, "command.requested").await, 1);
        assert_eq!(stack.events(&command, "command.succeeded").await, 1);
    });
}

#[test]
fn an_integration_that_vanished_is_a_permanent_error() {
    with_stack(|stack| async move {
        let (tenant, integration) = (stack.example.tenant, stack.example.integration);
        let command =
            stack.send::<commands::ResetToken>(Some(tenant), json!({"integration_id": integration})).await;
        sqlx::query("DELETE FROM tenant_integrations WHERE id = $1")
            .bind(integration.uuid())
            .execute(&stack.stores.db.service())
            .await
            .unwrap();
        stack.step(&stack.executor::<ResetToken>()).await;
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.attempt, stored.dead_letter), (Status::Error, 1, false));
        assert_eq!(stored.error.unwrap().code, "integration_not_found");
    });
}
