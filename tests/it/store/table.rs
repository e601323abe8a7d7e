//! The table: made once, compared ever after; what is added is one index.

use painel_shared::{
    command::{Command, DueKind},
    command_store::TableState,
    commands::HealthCheck,
};
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
        let table = serde_json::json!({
            "TableName": "other",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "command_id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "command_id", "KeyType": "HASH"}],
        });
        stack.dynamodb_call("CreateTable", table).await;

        let vars = stack.vars.clone().overridden_by([("PAINEL_DYNAMODB_TABLE", "other".to_owned())]);
        let other = painel_shared::stores::Stores::from_vars(&vars).await.unwrap();
        let TableState::Differs(differences) = other.commands.migrate().await.unwrap() else {
            panic!("it does differ");
        };
        let fields: Vec<&str> = differences.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "key schema",
                "tenant_id-created_at-index",
                "status-created_at-index",
                "due_shard-due_at-index",
                "stream",
                "time to live"
            ]
        );
        assert_eq!(differences[0].expected, "command_id HASH, created_at RANGE");
        assert_eq!(differences[0].found, "command_id HASH");
        let TableState::Differs(again) = other.commands.migrate().await.unwrap() else { panic!("it was changed") };
        assert_eq!(again, differences);
    });
}

#[test]
fn a_table_whose_making_was_interrupted_is_completed() {
    with_stack(|stack| async move {
        let off = serde_json::json!({
            "TableName": "operational_commands",
            "TimeToLiveSpecification": {"Enabled": false, "AttributeName": "ttl"},
        });
        stack.dynamodb_call("UpdateTimeToLive", off).await;
        assert_eq!(stack.stores.commands.migrate().await.unwrap(), TableState::Matches);
        let asked = serde_json::json!({"TableName": "operational_commands"});
        let ttl = stack.dynamodb_call("DescribeTimeToLive", asked).await;
        assert!(ttl.contains("ENABL"), "{ttl}");
    });
}

#[test]
fn a_table_from_before_the_index_of_what_is_due_gets_it_and_its_open_commands_are_found() {
    with_stack(|stack| async move {
        let command = stack.send::<HealthCheck>(None, serde_json::json!({})).await;
        let without = serde_json::json!({
            "TableName": "operational_commands",
            "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "due_shard-due_at-index"}}],
        });
        stack.dynamodb_call("UpdateTable", without).await;
        stack
            .damage(&command, "REMOVE due_shard, due_at SET #x = :x", "republished", serde_json::json!({"N": "0"}))
            .await;
        let store = &stack.stores.commands;
        assert_eq!(store.migrate().await.unwrap(), TableState::IndexAdded);
        assert_eq!(store.migrate().await.unwrap(), TableState::Matches);
        let later = command.due().unwrap().at + std::time::Duration::from_secs(1);
        let due = store.find_due(DueKind::New, later, 10).await.unwrap();
        assert_eq!(due.iter().map(Command::id).collect::<Vec<_>>(), [command.id()]);
    });
}
