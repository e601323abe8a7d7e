//! REPROCESS_QUEUE: exactly what was asked for, also when it is interrupted.

use painel_shared::{
    command::{Command, CommandError, CommandKey, Status, Verdict},
    command_store::Claim,
    commands,
    ids::CommandId,
    job::Job,
    queue::{Side, WorkQueue},
    rollup,
    time::today,
    trace::TraceContext,
};
use painel_tests::stack::{Stack, with_stack, with_stack_and};
use painel_workers::{
    commands::{ReprocessQueue, RestartAgent},
    effects,
};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

pub(super) fn restarts() -> WorkQueue {
    WorkQueue::named("painel.restart-agent").unwrap()
}

/// A command that has died; its message, if `with_letter`, is in the dead-letter queue. Its job's id.
pub(crate) async fn dead(stack: &Stack, with_letter: bool) -> (Command, String) {
    let [agent, _] = stack.example.agents;
    let command =
        stack.send::<commands::RestartAgent>(Some(stack.example.tenant), json!({"agent_id": agent})).await;
    let store = &stack.stores.commands;
    let Claim::Held(held, holder) = store.claim(command.key, command.command_type).await.unwrap() else {
        panic!("it can be claimed")
    };
    let error = CommandError { code: "busy".to_owned(), message: "for a test".to_owned(), retryable: true };
    let verdict = effects::bury(&stack.stores.db.service(), held.id(), holder.fence, error, true).await.unwrap();
    assert!(matches!(verdict, Verdict::Error { .. }));
    store.finish(&held, holder, verdict).await.unwrap();
    let delivery = stack.next(restarts()).await;
    let job = Job::decode(&delivery.body).unwrap().job_id.to_string();
    match with_letter {
        true => delivery.dead_letter("busy").await.unwrap(),
        false => delivery.acknowledge().await.unwrap(),
    }
    (stack.stored(&command).await, job)
}

async fn reprocess(stack: &Stack, more: Value) -> Command {
    let mut parameters = json!({"queue_name": "painel.restart-agent"});
    parameters.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let command = stack.send::<commands::ReprocessQueue>(None, parameters).await;
    stack.step(&stack.executor::<ReprocessQueue>()).await;
    stack.stored(&command).await
}

fn counts(command: &Command) -> (u64, u64, u64) {
    let result = command.result.as_ref().expect("a success");
    let count = |name: &str| result[name].as_u64().unwrap();
    (count("moved"), count("skipped"), count("remaining"))
}

#[test]
fn the_dead_live_again_and_succeed() {
    with_stack(|stack| async move {
        let (died, _) = dead(stack, true).await;
        let reprocessed = reprocess(stack, json!({})).await;
        assert_eq!(counts(&reprocessed), (1, 0, 0));
        let revived = stack.stored(&died).await;
        assert_eq!((revived.status, revived.attempt, revived.fence), (Status::Pending, 0, died.fence + 1));
        assert_eq!(stack.events(&died, "command.reprocessed").await, 1);
        stack.step(&stack.executor::<RestartAgent>()).await;
        assert_eq!(stack.stored(&died).await.status, Status::Success);
        assert_eq!(stack.restarts().len(), 1);
    });
}

#[test]
fn no_more_are_moved_than_were_asked_for() {
    with_stack(|stack| async move {
        for _ in 0..4 {
            dead(stack, true).await;
        }
        assert_eq!(counts(&reprocess(stack, json!({"message_count": 3})).await), (3, 0, 1));
        assert_eq!(stack.stores.queue.depth(restarts()).await.unwrap().ready, 3);
        assert_eq!(counts(&reprocess(stack, json!({"message_count": 3})).await), (1, 0, 0));
    });
}

#[test]
fn only_the_named_jobs_are_moved() {
    with_stack(|stack| async move {
        let (first, _) = dead(stack, true).await;
        let (second, job) = dead(stack, true).await;
        assert_eq!(counts(&reprocess(stack, json!({"message_ids": [job]})).await), (1, 0, 1));
        assert_eq!(stack.stored(&first).await.status, Status::Error);
        assert_eq!(stack.stored(&second).await.status, Status::Pending);
    });
}

#[test]
fn only_the_named_commands_are_moved_with_a_message_or_without() {
    with_stack(|stack| async move {
        let (first, _) = dead(stack, true).await;
        let (second, _) = dead(stack, true).await;
        let (third, _) = dead(stack, false).await;
        let (fourth, _) = dead(stack, false).await;
        let named = json!({"command_ids": [second.id(), third.id(), CommandId::from(Uuid::now_v7())]});
        assert_eq!(counts(&reprocess(stack, named).await), (2, 0, 1));
        for (command, status) in [
            (&first, Status::Error),
            (&second, Status::Pending),
            (&third, Status::Pending),
            (&fourth, Status::Error),
        ] {
            assert_eq!(stack.stored(command).await.status, status);
        }
    });
}

#[test]
fn a_dead_command_whose_message_is_gone_is_taken_from_the_store() {
    with_stack(|stack| async move {
        let (died, _) = dead(stack, false).await;
        assert_eq!(counts(&reprocess(stack, json!({})).await), (1, 0, 0));
        assert_eq!(stack.stored(&died).await.status, Status::Pending);
    });
}

#[test]
fn what_lives_is_skipped_and_its_dead_letter_removed_and_what_cannot_be_read_stays() {
    with_stack(|stack| async move {
        let (died, _) = dead(stack, true).await;
        // A second letter of the same command: once it lives, there is nothing to move.
        stack.stores.queue.publish(&Job::for_command(&died)).await.unwrap();
        stack.next(restarts()).await.dead_letter("again").await.unwrap();
        stack.stores.queue.publish_raw(restarts(), "not a job").await.unwrap();
        stack.next(restarts()).await.dead_letter("unreadable").await.unwrap();

        let (moved, _, remaining) = counts(&reprocess(stack, json!({})).await);
        assert_eq!((moved, remaining), (1, 1));
        let mut receiver = stack.receiver(restarts(), Side::DeadLetters).await;
        let left = receiver.receive(10, Duration::from_secs(5)).await.unwrap();
        assert_eq!(left.iter().map(|delivery| delivery.body.as_str()).collect::<Vec<_>>(), ["not a job"]);
        assert_eq!(stack.stores.queue.depth(restarts()).await.unwrap().ready, 1, "one job, not two");
    });
}

#[test]
fn several_letters_of_what_is_not_dead_are_skipped_as_one() {
    with_stack(|stack| async move {
        let letters = async |job: &Job| {
            for _ in 0..2 {
                stack.stores.queue.publish(job).await.unwrap();
                stack.next(restarts()).await.dead_letter("twice").await.unwrap();
            }
        };
        let [agent, _] = stack.example.agents;
        let agent = json!({"agent_id": agent});
        let succeeded = stack.send::<commands::RestartAgent>(Some(stack.example.tenant), agent).await;
        stack.step(&stack.executor::<RestartAgent>()).await;
        assert_eq!(stack.stored(&succeeded).await.status, Status::Success);
        letters(&Job::for_command(&succeeded)).await;
        // It has expired.
        let key = CommandKey { command_id: CommandId::from(Uuid::now_v7()), ..succeeded.key };
        letters(&Job::for_command(&Command { key, ..succeeded })).await;
        let (died, _) = dead(stack, true).await;

        assert_eq!(counts(&reprocess(stack, json!({})).await), (1, 2, 0));
        assert_eq!(stack.stored(&died).await.status, Status::Pending);
    });
}

#[test]
fn dead_letters_that_are_equal_hide_no_other() {
    with_stack(|stack| async move {
        for _ in 0..4 {
            stack.stores.queue.publish_raw(restarts(), "not a job").await.unwrap();
            stack.next(restarts()).await.dead_letter("unreadable").await.unwrap();
        }
        let (died, _) = dead(stack, true).await;
        assert_eq!(counts(&reprocess(stack, json!({})).await), (1, 4, 4));
        assert_eq!(stack.stored(&died).await.status, Status::Pending);
    });
}

#[test]
fn an_attempt_that_was_interrupted_is_gone_on_with() {
    with_stack(|stack| async move {
        // The first attempt had taken one command and given it its new state, but no new job.
        let (half, _) = dead(stack, true).await;
        let (other, _) = dead(stack, true).await;
        let parameters = json!({"queue_name": "painel.restart-agent", "message_count": 1});
        let command = stack.send::<commands::ReprocessQueue>(None, parameters).await;
        sqlx::query(
            "INSERT INTO reprocessed_commands (command_id, target_command_id, target_created_at) VALUES ($1, $2, $3)",
        )
        .bind(command.id().uuid())
        .bind(half.id().uuid())
        .bind(half.key.created_at)
        .execute(&stack.stores.db.service())
        .await
        .unwrap();
        stack.stores.commands.reprocess(&half).await.unwrap();

        stack.step(&stack.executor::<ReprocessQueue>()).await;
        let stored = stack.stored(&command).await;
        assert_eq!(counts(&stored).0, 1, "what was taken before counts");
        assert_eq!(stack.stored(&other).await.status, Status::Error, "and nothing beyond the count was taken");
        assert_eq!(stack.stores.queue.depth(restarts()).await.unwrap().ready, 1, "it has its job");
    });
}

#[test]
fn a_run_that_an_interrupted_attempt_took_is_skipped_where_its_day_has_another() {
    with_stack(|stack| async move {
        let (pool, day) = (&stack.stores.db.service(), [today() - chrono::Days::new(1)]);
        let ask = async || {
            let runs = rollup::request(&stack.stores.db, &day, None, "tester", TraceContext::root()).await.unwrap();
            runs[0].clone()
        };
        let died = ask().await;
        sqlx::query(
            "UPDATE rollup_runs SET state = 'failed', dead_letter = true, finished_at = now() - interval '1 minute'",
        )
        .execute(pool)
        .await
        .unwrap();
        let other = ask().await;
        assert_ne!(died.id, other.id);
        let parameters = json!({"queue_name": "painel.metrics-rollup"});
        let command = stack.send::<commands::ReprocessQueue>(None, parameters).await;
        sqlx::query(
            "INSERT INTO reprocessed_commands (command_id, target_command_id, target_created_at) VALUES ($1, $2, $3)",
        )
        .bind(command.id().uuid())
        .bind(died.id.uuid())
        .bind(died.created_at)
        .execute(pool)
        .await
        .unwrap();
        stack.step(&stack.executor::<ReprocessQueue>()).await;
        let (moved, skipped, _) = counts(&stack.stored(&command).await);
        assert_eq!((moved, skipped), (0, 1));
    });
}

#[test]
fn what_nobody_can_read_is_left_and_keeps_nothing_from_the_others() {
    with_stack(|stack| async move {
        let (damaged, _) = dead(stack, true).await;
        let (died, _) = dead(stack, true).await;
        stack.damage(&damaged, "SET #x = :x", "attempt", json!({"S": "not a number"})).await;
        assert_eq!(counts(&reprocess(stack, json!({})).await), (1, 1, 1));
        assert_eq!(stack.stored(&died).await.status, Status::Pending);
    });
}

#[test]
fn named_jobs_are_waited_for_that_an_interrupted_attempt_had_in_hand() {
    with_stack_and(&[("PAINEL_QUEUE_VISIBILITY_SECONDS", "3")], |stack| async move {
        let (died, job) = dead(stack, true).await;
        // The attempt that was stopped took the letter with it.
        let mut receiver = stack.receiver(restarts(), Side::DeadLetters).await;
        assert_eq!(receiver.receive(10, Duration::from_secs(5)).await.unwrap().len(), 1);
        drop(receiver);
        assert_eq!(counts(&reprocess(stack, json!({"message_ids": [job]})).await), (1, 0, 0));
        assert_eq!(stack.stored(&died).await.status, Status::Pending);
    });
}

#[test]
fn it_takes_effect_once() {
    with_stack(|stack| async move {
        dead(stack, true).await;
        let executor = stack.executor::<ReprocessQueue>();
        let command =
            stack.send::<commands::ReprocessQueue>(None, json!({"queue_name": "painel.restart-agent"})).await;
        stack.publish_again(&command).await;
        stack.step(&executor).await;
        stack.step(&executor).await;
        assert_eq!(counts(&stack.stored(&command).await), (1, 0, 0));
        assert_eq!(stack.stores.queue.depth(restarts()).await.unwrap().ready, 1);
        assert_eq!(stack.events(&command, "command.succeeded").await, 1);
    });
}
