//! One job: decoded, claimed, run, settled; whatever the handler does and whatever the message is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use painel_shared::{
    command::Status,
    commands::{self, CommandType},
    config::{ConfigError, Vars},
    job::Job,
    queue::Side,
    stores::Stores,
};
use painel_tests::{
    stack::{Stack, with_stack, with_stack_and},
    wait::eventually,
};
use painel_workers::{
    command_work::Executor,
    effects::Success,
    handler::{AnyHandler, Attempt, Handler, HandlerError, ResultMap},
    runner::Execute,
};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A handler that does what the test says, and counts.
#[derive(Clone, Default)]
struct Scripted {
    script: Script,
    runs: Arc<AtomicU32>,
    running: Arc<Notify>,
}

#[derive(Clone, Copy, Default)]
enum Script {
    #[default]
    Succeed,
    FailForGood,
    SayMuch,
    Fail,
    Panic,
    Hang,
}

impl Handler for Scripted {
    type Parameters = commands::HealthCheck;

    fn build(_: &Vars, _: &Stores) -> Result<Self, ConfigError> {
        Ok(Self::default())
    }

    async fn handle(&self, _: &Attempt, _: commands::HealthCheck) -> Result<Success, HandlerError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.running.notify_one();
        match self.script {
            Script::Succeed => Success::owing_event(ResultMap::new()),
            Script::SayMuch => Err(HandlerError::permanent("gone", "é".repeat(100_000))),
            Script::FailForGood => Err(HandlerError::permanent("gone", "it is gone")),
            Script::Fail => Err(HandlerError::retryable("busy", "it is busy")),
            Script::Panic => panic!("as the test wants it"),
            Script::Hang => std::future::pending().await,
        }
    }
}

fn scripted(script: Script) -> Scripted {
    Scripted { script, ..Scripted::default() }
}

fn queue() -> painel_shared::queue::WorkQueue {
    CommandType::of::<commands::HealthCheck>().queue()
}

async fn dead(stack: &Stack) -> u64 {
    stack.stores.queue.depth(queue()).await.unwrap().dead
}

#[test]
fn a_success_is_stored_and_acknowledged() {
    with_stack(|stack| async move {
        let handler = scripted(Script::Succeed);
        let executor = stack.executor_of(handler.clone());
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        stack.step(&executor).await;
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.owes_event, stored.due()), (Status::Success, false, None));
        assert_eq!(stack.events(&command, "command.succeeded").await, 1);
        let depth = stack.stores.queue.depth(queue()).await.unwrap();
        assert_eq!((depth.ready, depth.in_flight.unwrap_or(0), depth.dead), (0, 0, 0));

        // A duplicate changes nothing.
        stack.publish_again(&command).await;
        stack.step(&executor).await;
        assert_eq!(handler.runs.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_permanent_error_ends_the_command_at_once() {
    with_stack(|stack| async move {
        let executor = stack.executor_of(scripted(Script::FailForGood));
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        stack.step(&executor).await;
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.attempt, stored.dead_letter), (Status::Error, 1, false));
        assert_eq!(stored.error.unwrap().code, "gone");
        assert_eq!(stack.events(&command, "command.failed").await, 1);
        assert_eq!(dead(stack).await, 0);
    });
}

#[test]
fn an_error_that_says_much_is_cut() {
    with_stack(|stack| async move {
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        stack.step(&stack.executor_of(scripted(Script::SayMuch))).await;
        let stored = stack.stored(&command).await;
        assert_eq!(stored.status, Status::Error);
        assert!(stored.error.unwrap().message.len() <= 16 * 1024);
    });
}

#[test]
fn a_command_that_cannot_be_read_is_ended_and_its_job_kept_for_an_operator() {
    with_stack(|stack| async move {
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        stack.damage(&command, "SET #x = :x", "attempt", json!({"S": "not a number"})).await;
        let executor = stack.executor_of(scripted(Script::Succeed));
        stack.step(&executor).await;
        assert_eq!(dead(stack).await, 1);
        let item = stack.item(&command).await;
        assert_eq!(
            (item["status"]["S"].as_str(), item["error"]["M"]["code"]["S"].as_str()),
            (Some("ERROR"), Some("unreadable"))
        );
        assert!(item["due_at"].is_null());
        // It stands in the way of no round, and no list.
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 0);
        assert!(stack.stores.commands.list(&Default::default(), None, 0, 10).await.unwrap().commands.is_empty());
    });
}

#[test]
fn what_an_older_build_stored_is_read_and_executed() {
    with_stack(|stack| async move {
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        stack
            .damage(&command, "SET #x = :x REMOVE attempt, fence, not_before", "parameters", json!({"S": "{}"}))
            .await;
        let stored = stack.stored(&command).await;
        assert_eq!((stored.parameters.len(), stored.attempt, stored.fence), (0, 0, 0));
        stack.step(&stack.executor_of(scripted(Script::Succeed))).await;
        assert_eq!(stack.stored(&command).await.status, Status::Success);
    });
}

#[test]
fn an_error_and_a_panic_are_retried_until_the_attempts_are_used_up() {
    for script in [Script::Fail, Script::Panic] {
        with_stack(|stack| async move {
            let handler = scripted(script);
            let executor = stack.executor_of(handler.clone());
            let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
            for attempt in 1..=5 {
                stack.step(&executor).await;
                let stored = stack.stored(&command).await;
                assert_eq!(stored.attempt, attempt);
                let expected = if attempt < 5 { Status::Pending } else { Status::Error };
                assert_eq!(stored.status, expected);
            }
            let stored = stack.stored(&command).await;
            assert!(stored.dead_letter);
            assert_eq!(handler.runs.load(Ordering::SeqCst), 5);
            assert_eq!(stack.events(&command, "command.failed").await, 1);
            assert_eq!(dead(stack).await, 1);

            // The dead letter, delivered again, is dead-lettered again: nothing runs.
            stack.publish_again(&command).await;
            stack.step(&executor).await;
            assert_eq!((handler.runs.load(Ordering::SeqCst), dead(stack).await), (5, 2));
        });
    }
}

#[test]
fn what_is_no_job_is_dead_lettered_and_the_worker_goes_on() {
    with_stack(|stack| async move {
        let handler = scripted(Script::Succeed);
        let executor = stack.executor_of(handler.clone());
        let known = Job::for_command(&crate::pure::command()).encode().unwrap();
        let other_version = known.replace("\"version\":1", "\"version\":9");
        let other_kind = known.replace("HEALTH_CHECK", "MAKE_COFFEE");
        let wrong_queue = known.replace("HEALTH_CHECK", "RESET_TOKEN");
        for body in ["not json", "{}", &other_version, &other_kind, &wrong_queue, &known] {
            stack.stores.queue.publish_raw(queue(), body).await.unwrap();
            stack.step(&executor).await;
        }
        assert_eq!(dead(stack).await, 6);
        assert_eq!(handler.runs.load(Ordering::SeqCst), 0);
        stack.send::<commands::HealthCheck>(None, json!({})).await;
        stack.step(&executor).await;
        assert_eq!(handler.runs.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn what_a_store_refuses_stays_open_without_dead_letters_and_is_done_once_it_is_allowed() {
    with_stack(|stack| async move {
        let (proxy, commands) = stack.behind_a_proxy().await;
        let stores = Stores { commands, ..stack.stores.clone() };
        let handler = scripted(Script::Succeed);
        let executor = Executor::new(stores, AnyHandler::new(handler.clone()));
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        proxy.deny(Some("UpdateItem"));
        stack.step(&executor).await;
        let depth = stack.stores.queue.depth(queue()).await.unwrap();
        assert_eq!(
            (depth.ready, depth.in_flight.unwrap_or(0), depth.dead),
            (0, 0, 0),
            "it is not done over and over"
        );
        assert_eq!(
            (stack.stored(&command).await.status, handler.runs.load(Ordering::SeqCst)),
            (Status::Pending, 0)
        );

        proxy.deny(None);
        let long_ago = json!({"S": "2026-01-01T00:00:00.000Z"});
        stack.damage(&command, "SET #x = :x, due_at = :x", "next_publish_at", long_ago).await;
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 1, "nothing was lost with its job");
        stack.step(&executor).await;
        assert_eq!(
            (stack.stored(&command).await.status, handler.runs.load(Ordering::SeqCst)),
            (Status::Success, 1)
        );
    });
}

#[test]
fn a_job_that_names_a_command_of_another_type_does_not_end_it() {
    with_stack(|stack| async move {
        let [agent, _] = stack.example.agents;
        let command =
            stack.send::<commands::RestartAgent>(Some(stack.example.tenant), json!({"agent_id": agent})).await;
        let forged = Job::for_command(&command).encode().unwrap().replace("RESTART_AGENT", "HEALTH_CHECK");
        stack.stores.queue.publish_raw(queue(), &forged).await.unwrap();
        let handler = scripted(Script::FailForGood);
        stack.step(&stack.executor_of(handler.clone())).await;
        assert_eq!((handler.runs.load(Ordering::SeqCst), dead(stack).await), (0, 1));
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.attempt), (Status::Pending, 0));
        stack.step(&stack.executor::<painel_workers::commands::RestartAgent>()).await;
        assert_eq!(stack.stored(&command).await.status, Status::Success);
    });
}

#[test]
fn a_lease_is_kept_while_the_handler_runs() {
    let one_second = [("PAINEL_LEASE_SECONDS", "1"), ("PAINEL_QUEUE_VISIBILITY_SECONDS", "1")];
    with_stack_and(&one_second, |stack| async move {
        let handler = scripted(Script::Hang);
        let executor = stack.executor_of(handler.clone());
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        let delivery = stack.next(queue()).await;
        let drained = CancellationToken::new();
        let stop = drained.clone();
        let run = tokio::spawn(async move { executor.execute(delivery, &stop).await });
        handler.running.notified().await;
        let first = stack.stored(&command).await.lease_expires_at.unwrap();
        // It outlives three leases, and nobody else gets the job meanwhile.
        eventually("the lease to be renewed over and over", Duration::from_secs(10), || async {
            let stored = stack.stored(&command).await;
            assert_eq!((stored.status, stored.fence), (Status::Running, 1));
            (stored.lease_expires_at? - first > chrono::TimeDelta::seconds(3)).then_some(())
        })
        .await;
        let mut receiver = stack.receiver(queue(), Side::Work).await;
        assert!(receiver.receive(1, Duration::ZERO).await.unwrap().is_empty());

        // When the process drains, the job is given back, and the attempt does not count.
        drained.cancel();
        run.await.unwrap();
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.attempt), (Status::Pending, 0));
        let given_back = receiver.receive(1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(given_back.len(), 1);
    });
}

#[test]
fn a_worker_that_is_killed_loses_its_job_to_another() {
    let one_second = [("PAINEL_LEASE_SECONDS", "1"), ("PAINEL_QUEUE_VISIBILITY_SECONDS", "1")];
    with_stack_and(&one_second, |stack| async move {
        let handler = scripted(Script::Hang);
        let executor = stack.executor_of(handler.clone());
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        let delivery = stack.next(queue()).await;
        let run = tokio::spawn(async move { executor.execute(delivery, &CancellationToken::new()).await });
        handler.running.notified().await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());

        stack.reconcile();
        stack.work::<painel_workers::commands::HealthCheck>();
        let stored = eventually("another worker's success", Duration::from_secs(20), || async {
            let stored = stack.stored(&command).await;
            stored.status.is_final().then_some(stored)
        })
        .await;
        assert_eq!((stored.status, stored.attempt, stored.fence), (Status::Success, 2, 2));
        assert_eq!(stack.events(&command, "command.succeeded").await, 1);
    });
}

#[test]
fn a_command_whose_every_worker_dies_ends_in_lease_lost() {
    let one_second = [("PAINEL_LEASE_SECONDS", "1"), ("PAINEL_QUEUE_VISIBILITY_SECONDS", "1")];
    with_stack_and(&one_second, |stack| async move {
        let handler = scripted(Script::Hang);
        let executor = stack.executor_of(handler.clone());
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        let reconciler = stack.reconciler();
        for attempt in 1..=5 {
            let claimed = eventually("a delivery that is claimed", Duration::from_secs(20), || async {
                reconciler.round().await.unwrap();
                let mut receiver = stack.receiver(queue(), Side::Work).await;
                let delivery = receiver.receive(1, Duration::ZERO).await.unwrap().pop()?;
                let executor = executor.clone();
                let run = tokio::spawn(async move { executor.execute(delivery, &CancellationToken::new()).await });
                tokio::select! {
                    () = handler.running.notified() => {}
                    () = async { while !run.is_finished() { tokio::task::yield_now().await } } => return None,
                }
                run.abort();
                let _ = run.await;
                Some(stack.stored(&command).await)
            })
            .await;
            assert_eq!(claimed.attempt, attempt);
        }
        let ended = eventually("the end", Duration::from_secs(20), || async {
            reconciler.round().await.unwrap();
            let mut receiver = stack.receiver(queue(), Side::Work).await;
            if let Some(delivery) = receiver.receive(1, Duration::ZERO).await.unwrap().pop() {
                executor.execute(delivery, &CancellationToken::new()).await;
            }
            let stored = stack.stored(&command).await;
            stored.status.is_final().then_some(stored)
        })
        .await;
        assert_eq!((ended.status, ended.fence, ended.dead_letter), (Status::Error, 6, true));
        assert_eq!(ended.error.unwrap().code, "lease_lost");
        assert_eq!(stack.events(&command, "command.failed").await, 1);
        assert!(dead(stack).await >= 1);
    });
}
