//! The table: made once, compared ever after, never changed.

use painel_shared::command_store::TableState;
use painel_tests::stack::with_stack;

#[test]
fn a_table_that_is_as_it_must_be_matches() {
    with_stack(|stack| async move {
        // The stack has made it.
        assert_eq!(stack.stores.commands.migrate().await.unwrap(), TableState::Matches);
    });
}

#[test]
fn a_table_that_differs_is_reported_field_by_field_and_left_alone() {
    with_stack(|stack| async move {
        let (dynamodb, _) = stack.aws_urls();
        let http = reqwest::Client::new();
        let call = |operation: &str, body: serde_json::Value| {
            let request = http.post(&dynamodb).header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"));
            let request = request
                .header("Content-Type", "application/x-amz-json-1.0")
                .header(
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
                )
                .header("X-Amz-Date", "20260101T000000Z")
                .body(body.to_string());
            async move { request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap() }
        };
        let table = serde_json::json!({
            "TableName": "other",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "command_id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "command_id", "KeyType": "HASH"}],
        });
        call("CreateTable", table).await;

        let vars = stack.vars.clone().overridden_by([("PAINEL_DYNAMODB_TABLE", "other".to_owned())]);
        let other = painel_shared::stores::Stores::from_vars(&vars).await.unwrap();
        let TableState::Differs(differences) = other.commands.migrate().await.unwrap() else {
            panic!("it does differ");
        };
        let fields: Vec<&str> = differences.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(
            fields,
            ["key schema", "tenant_id-created_at-index", "status-created_at-index", "stream", "time to live"]
        );
        assert_eq!(differences[0].expected, "command_id HASH, created_at RANGE");
        assert_eq!(differences[0].found, "command_id HASH");
        let TableState::Differs(again) = other.commands.migrate().await.unwrap() else { panic!("it was changed") };
        assert_eq!(again, differences);
    });
}
