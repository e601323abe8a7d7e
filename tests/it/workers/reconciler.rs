//! What got lost is published again; what is not lost is left alone.

use std::time::Duration;

use futures::{StreamExt, stream};
use painel_shared::{
    command::{Command, PUBLISH_AGAIN, PUBLISH_PATIENCE, Status},
    command_store::Created,
    commands::{CommandType, HealthCheck},
    stores::Stores,
    time::now,
};
use painel_tests::{
    stack::{Stack, with_stack},
    wait::eventually,
};
use painel_workers::{config::ReconcilerConfig, scheduler::Reconciler};
use serde_json::json;

use crate::pure::new_command;

/// How many calls a test makes at once.
const AT_ONCE: usize = 16;

async fn store(stack: &Stack, age: Duration) -> Command {
    let command = Command::accept(new_command(), now() - age);
    assert!(matches!(stack.stores.commands.create(&command, None).await.unwrap(), Created::New));
    command
}

#[test]
fn a_command_whose_job_was_lost_is_published_once() {
    with_stack(|stack| async move {
        let lost = store(stack, PUBLISH_PATIENCE).await;
        let young = store(stack, Duration::from_secs(1)).await;
        let (a, b) = (stack.reconciler(), stack.reconciler());
        let (a, b) = tokio::join!(a.round(), b.round());
        assert_eq!(a.unwrap().republished + b.unwrap().republished, 1, "of two replicas one publishes");
        let queue = CommandType::of::<HealthCheck>().queue();
        assert_eq!(stack.stores.queue.depth(queue).await.unwrap().ready, 1);
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 0, "its next wait has begun");

        stack.step(&stack.executor::<painel_workers::commands::HealthCheck>()).await;
        assert_eq!(stack.stored(&lost).await.status, Status::Success);
        assert_eq!(stack.stored(&young).await.status, Status::Pending);
    });
}

#[test]
fn a_command_of_a_newer_build_does_not_stop_the_others() {
    with_stack(|stack| async move {
        // Older than the other, so that it is met first.
        let at = "2026-01-01T00:00:00.000Z";
        let item = json!({
            "command_id": {"S": "019b7a3c-0000-7000-8000-000000000000"},
            "created_at": {"S": at},
            "command_type": {"S": "ROTATE_LOGS"},
            "status": {"S": "PENDING"},
            "next_publish_at": {"S": at},
            "ttl": {"N": "4000000000"},
        });
        stack.dynamodb_call("PutItem", json!({"TableName": "operational_commands", "Item": item})).await;
        let lost = store(stack, PUBLISH_PATIENCE).await;
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 1);
        let listed = stack.stores.commands.list(&Default::default(), None, 0, 10).await.unwrap();
        assert_eq!(listed.commands.iter().map(Command::id).collect::<Vec<_>>(), [lost.id()]);
    });
}

#[test]
fn a_publishing_that_fails_is_tried_again_soon() {
    with_stack(|stack| async move {
        let lost = store(stack, PUBLISH_PATIENCE).await;
        // A queue that is not there.
        let vars = stack.vars.clone().overridden_by([("PAINEL_QUEUE_PREFIX", "nowhere".to_owned())]);
        let stores = Stores::from_vars(&vars).await.unwrap();
        let cut_off = Reconciler::new(stores, ReconcilerConfig::from_vars(&vars).unwrap());
        assert_eq!(cut_off.round().await.unwrap().republished, 0);
        let stored = stack.stored(&lost).await;
        assert_eq!(stored.republished, 0, "the wait of a job that was published has not begun");
        assert!(stored.next_publish_at.unwrap() <= now() + PUBLISH_AGAIN);
        eventually("the command to be published", PUBLISH_AGAIN * 3, || async {
            (stack.reconciler().round().await.unwrap().republished == 1).then_some(())
        })
        .await;
    });
}

#[test]
fn a_queue_that_is_full_enough_gets_no_copies() {
    with_stack(|stack| async move {
        let queue = CommandType::of::<HealthCheck>().queue();
        let publish = |n: u32| async move { stack.stores.queue.publish_raw(queue, &n.to_string()).await.unwrap() };
        stream::iter(0..1_000).map(publish).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        let waiting = store(stack, PUBLISH_PATIENCE).await;
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 0);
        // Once there is room again, it is published: it was not forgotten.
        stack.next(queue).await.acknowledge().await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 1);
        assert_eq!(stack.stored(&waiting).await.republished, 1);
    });
}

#[test]
fn a_round_is_bounded_and_the_next_one_goes_on() {
    with_stack(|stack| async move {
        let storing = stream::iter(0..1_100).map(|_| store(stack, PUBLISH_PATIENCE)).buffer_unordered(AT_ONCE);
        assert_eq!(storing.count().await, 1_100);
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 1_000);
        // Room is made as a worker would.
        let queue = CommandType::of::<HealthCheck>().queue();
        stack.next(queue).await.acknowledge().await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 100);
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 0);
    });
}
