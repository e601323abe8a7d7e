//! What got lost is published again; what is not lost is left alone.

use std::time::Duration;

use futures::{StreamExt, stream};
use painel_shared::{
    command::{Command, EVENT_PATIENCE, NewCommand, PUBLISH_AGAIN, PUBLISH_PATIENCE, Status},
    command_store::Created,
    commands::{CommandType, HealthCheck, RestartAgent},
    ids::LeaseOwner,
    queue::{Side, WorkQueue},
    rollup,
    stores::Stores,
    time::{Timestamp, now, to_text, today},
    trace::TraceContext,
};
use painel_tests::{
    stack::{Stack, with_stack},
    wait::eventually,
};
use painel_workers::{config::ReconcilerConfig, scheduler::Reconciler};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

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
fn a_command_of_another_build_is_shown_and_left_alone_and_does_not_stop_the_others() {
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
            "due_shard": {"S": "new#0"},
            "due_at": {"S": at},
        });
        stack.dynamodb_call("PutItem", json!({"TableName": "operational_commands", "Item": item})).await;
        let lost = store(stack, PUBLISH_PATIENCE).await;
        let round = stack.reconciler().round().await.unwrap();
        assert_eq!((round.republished, round.put_off), (1, 1));
        let listed = stack.stores.commands.list(&Default::default(), None, 0, 10).await.unwrap().commands;
        assert_eq!(listed[0].id(), lost.id());
        assert_eq!((listed[1].command_type.name(), listed[1].status), ("ROTATE_LOGS", Status::Pending));
    });
}

#[test]
fn what_a_build_from_before_the_index_left_open_is_adopted() {
    with_stack(|stack| async move {
        let lost = store(stack, PUBLISH_PATIENCE).await;
        stack.damage(&lost, "REMOVE due_shard, due_at SET #x = :x", "republished", json!({"N": "0"})).await;
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 0, "it is in no index");
        stack.stores.commands.adopt().await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 1);
    });
}

#[test]
fn a_note_of_an_owed_event_stays_until_its_command_has_ended_and_what_it_is_about_could_be_read() {
    with_stack(|stack| async move {
        let (proxy, lossy) = stack.behind_a_proxy().await;
        let long_ago = now() - EVENT_PATIENCE - Duration::from_secs(60);
        let open = store(stack, EVENT_PATIENCE).await;
        let ended = Command {
            status: Status::Success,
            result: Some(Default::default()),
            completed_at: Some(long_ago),
            next_publish_at: None,
            ..Command::accept(new_command(), long_ago)
        };
        stack.stores.commands.create(&ended, None).await.unwrap();
        for command in [&open, &ended] {
            let note = json!({
                "command_id": {"S": format!("audit#{}", command.id())},
                "created_at": {"S": to_text(command.key.created_at)},
                "status": {"S": "AUDIT_PENDING"},
            });
            stack.dynamodb_call("PutItem", json!({"TableName": "operational_commands", "Item": note})).await;
        }
        proxy.refuse("GetItem");
        assert!(lossy.adopt().await.is_err());
        assert_eq!(stack.reconciler().round().await.unwrap().audited, 0);

        stack.stores.commands.adopt().await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().audited, 1);
        assert_eq!(stack.events(&ended, "command.succeeded").await, 1);
        // As a build of before ends it, beside its note.
        stack
            .damage(
                &open,
                "SET #x = :x, completed_at = created_at REMOVE due_shard, due_at, next_publish_at",
                "status",
                json!({"S": "ERROR"}),
            )
            .await;
        stack.stores.commands.adopt().await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().audited, 1);
        assert_eq!(stack.events(&open, "command.failed").await, 1);
    });
}

#[test]
fn a_run_is_published_again_while_the_command_store_is_away() {
    with_stack(|stack| async move {
        let day = today() - chrono::Days::new(1);
        let days = [day];
        let db = &stack.stores.db.service();
        rollup::request(&stack.stores.db, &days, None, "tester", TraceContext::root()).await.unwrap();
        sqlx::query("UPDATE rollup_runs SET next_publish_at = now()").execute(db).await.unwrap();
        let nowhere = [("PAINEL_DYNAMODB_ENDPOINT", "http://127.0.0.1:9".to_owned())];
        let vars = stack.vars.clone().overridden_by(nowhere);
        let stores = Stores::from_vars(&vars).await.unwrap();
        let reconciler = Reconciler::new(stores, ReconcilerConfig::from_vars(&vars).unwrap());
        let shutdown = CancellationToken::new();
        let published = eventually("the run's job", Duration::from_secs(60), || async {
            (stack.stores.queue.depth(WorkQueue::METRICS_ROLLUP).await.unwrap().ready > 0).then_some(())
        });
        tokio::select! {
            () = reconciler.run(shutdown.clone()) => panic!("it does not end by itself"),
            () = published => {}
        }
    });
}

/// A command that ended then, and whose event has not been written.
async fn owing(stack: &Stack, ended: Timestamp) -> Command {
    let command = Command {
        status: Status::Success,
        result: Some(Default::default()),
        completed_at: Some(ended),
        owes_event: true,
        next_publish_at: None,
        ..Command::accept(new_command(), ended)
    };
    stack.stores.commands.create(&command, None).await.unwrap();
    command
}

#[test]
fn an_event_that_is_refused_keeps_none_back_and_without_rights_none_is_given_up() {
    with_stack(|stack| async move {
        let long_ago = now() - EVENT_PATIENCE - Duration::from_secs(60);
        let (refused, taken) = (owing(stack, long_ago).await, owing(stack, long_ago).await);
        let pool = &stack.stores.db.service();
        let denying = "CREATE FUNCTION deny() RETURNS trigger LANGUAGE plpgsql AS
                           $$ BEGIN RAISE EXCEPTION 'denied' USING ERRCODE = '42501'; END $$;
                       CREATE TRIGGER deny BEFORE INSERT ON operational_events EXECUTE FUNCTION deny()";
        sqlx::raw_sql(denying).execute(pool).await.unwrap();
        assert!(stack.reconciler().round().await.is_err());
        assert!(stack.stored(&refused).await.due().unwrap().at <= now());

        let check = format!(
            "DROP TRIGGER deny ON operational_events;
             ALTER TABLE operational_events ADD CHECK (resource_id <> '{}') NOT VALID",
            refused.id()
        );
        sqlx::raw_sql(AssertSqlSafe(check)).execute(pool).await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().audited, 1);
        assert_eq!(stack.events(&taken, "command.succeeded").await, 1);
        assert!(stack.stored(&refused).await.due().unwrap().at > now(), "it is not looked at in each round");
    });
}

#[test]
fn what_an_older_build_has_moved_on_is_found_where_it_stood_before() {
    with_stack(|stack| async move {
        let claimed = store(stack, PUBLISH_PATIENCE).await;
        // It knows nothing of the index, and leaves its entry as it was.
        let claim = "SET #x = :x, attempt = fence, lease_expires_at = created_at REMOVE next_publish_at";
        stack.damage(&claimed, "SET #x = :x", "fence", json!({"N": "1"})).await;
        stack.damage(&claimed, claim, "status", json!({"S": "RUNNING"})).await;
        let reprocessed = store(stack, PUBLISH_PATIENCE).await;
        stack.damage(&reprocessed, "SET #x = :x", "due_shard", json!({"S": "event#0"})).await;
        let mut published = stack.reconciler().round().await.unwrap().republished;
        published += stack.reconciler().round().await.unwrap().republished;
        assert_eq!(published, 2);
        assert_eq!(stack.item(&claimed).await["due_shard"]["S"].as_str().unwrap().split('#').next(), Some("held"));
    });
}

#[test]
fn queues_that_take_nothing_keep_the_others_jobs_from_nobody() {
    with_stack(|stack| async move {
        let restart = CommandType::of::<RestartAgent>();
        // Twice as many as a round takes on, and all of them older than what has to get past them.
        let storing = stream::iter(0..2_000).map(|n| async move {
            let new = NewCommand { command_type: restart, ..new_command() };
            let attempt = u32::from(n % 3 == 0);
            let command = Command { attempt, ..Command::accept(new, now() - PUBLISH_PATIENCE * 4) };
            stack.stores.commands.create(&command, None).await.unwrap();
        });
        storing.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        let behind = store(stack, PUBLISH_PATIENCE).await;
        let days: Vec<_> = (1..=6).map(|ago| today() - chrono::Days::new(ago)).collect();
        let runs = rollup::request(&stack.stores.db, &days, None, "tester", TraceContext::root()).await.unwrap();
        sqlx::query("UPDATE rollup_runs SET next_publish_at = now()")
            .execute(&stack.stores.db.service())
            .await
            .unwrap();
        for queue in [restart.queue(), rollup::QUEUE] {
            stack.take_away(queue, Side::Work).await;
        }
        let mut rounds = 0;
        while stack.stored(&behind).await.republished == 0 {
            assert_eq!(stack.reconciler().round().await.unwrap().runs_republished, 0);
            rounds += 1;
            assert!(rounds <= 12, "it has not been reached");
        }
        assert_eq!(stack.stores.queue.depth(behind.command_type.queue()).await.unwrap().ready, 1);

        stack.stores.queue.migrate().await.unwrap();
        eventually("the runs", Duration::from_secs(60), || async {
            stack.reconciler().round().await.unwrap();
            let ready = stack.stores.queue.depth(rollup::QUEUE).await.unwrap().ready;
            (ready >= runs.len() as u64).then_some(())
        })
        .await;
    });
}

#[test]
fn an_event_that_is_owed_is_written_and_a_damaged_item_does_not_keep_it_back() {
    with_stack(|stack| async move {
        let long_ago = now() - EVENT_PATIENCE - Duration::from_secs(60);
        let damaged = owing(stack, long_ago).await;
        stack.damage(&damaged, "SET #x = :x", "attempt", json!({"S": "not a number"})).await;
        let owed = [owing(stack, long_ago).await, owing(stack, long_ago).await];
        assert_eq!(stack.reconciler().round().await.unwrap().audited, 2);
        assert!(stack.item(&damaged).await["due_at"].is_null(), "nothing can be done about it");
        for command in owed {
            assert_eq!(stack.events(&command, "command.succeeded").await, 1);
            assert_eq!(stack.stored(&command).await.due(), None);
        }
        assert_eq!(stack.reconciler().round().await.unwrap().audited, 0);
    });
}

#[test]
fn what_lost_its_worker_and_what_is_to_be_tried_again_pass_a_long_queue() {
    with_stack(|stack| async move {
        let queue = CommandType::of::<HealthCheck>().queue();
        let publish = |n: u32| async move { stack.stores.queue.publish_raw(queue, &n.to_string()).await.unwrap() };
        stream::iter(0..1_000).map(publish).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        let old = now() - PUBLISH_PATIENCE - Duration::from_secs(60);
        let retry = Command { attempt: 1, fence: 1, ..Command::accept(new_command(), old) };
        let running = Command {
            status: Status::Running,
            attempt: 1,
            fence: 1,
            lease_owner: Some(LeaseOwner::fresh()),
            lease_expires_at: Some(old),
            next_publish_at: None,
            ..Command::accept(new_command(), old)
        };
        for command in [&retry, &running] {
            stack.stores.commands.create(command, None).await.unwrap();
        }
        store(stack, PUBLISH_PATIENCE).await;
        let round = stack.reconciler().round().await.unwrap();
        assert_eq!((round.republished, round.put_off), (2, 1));
    });
}

#[test]
fn a_round_over_a_queue_that_is_away_stops_after_the_first_few_and_forgets_nothing() {
    with_stack(|stack| async move {
        let storing = stream::iter(0..200).map(|_| store(stack, PUBLISH_PATIENCE)).buffer_unordered(AT_ONCE);
        let all: Vec<Command> = storing.collect().await;
        let vars = stack.vars.clone().overridden_by([("PAINEL_QUEUE_PREFIX", "nowhere".to_owned())]);
        let stores = Stores::from_vars(&vars).await.unwrap();
        let cut_off = Reconciler::new(stores, ReconcilerConfig::from_vars(&vars).unwrap());
        assert_eq!(cut_off.round().await.unwrap().republished, 0);
        let mut untouched = 0;
        for command in &all {
            untouched += u32::from(stack.stored(command).await.next_publish_at == command.next_publish_at);
        }
        assert!(untouched >= 150, "only the first few were tried: {untouched} were not");
        eventually("all to be published", PUBLISH_AGAIN * 10, || async {
            stack.reconciler().round().await.unwrap();
            (stack.stores.queue.depth(CommandType::of::<HealthCheck>().queue()).await.unwrap().ready == 200)
                .then_some(())
        })
        .await;
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
fn a_long_queue_gets_no_copies_of_what_is_most_likely_in_it() {
    with_stack(|stack| async move {
        let queue = CommandType::of::<HealthCheck>().queue();
        let publish = |n: u32| async move { stack.stores.queue.publish_raw(queue, &n.to_string()).await.unwrap() };
        stream::iter(0..1_000).map(publish).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        let waiting = store(stack, PUBLISH_PATIENCE).await;
        let round = stack.reconciler().round().await.unwrap();
        assert_eq!((round.republished, round.put_off), (0, 1));
        let stored = stack.stored(&waiting).await;
        assert!(stored.next_publish_at.unwrap() > now(), "it is looked at again later, and not in each round");
        // Once there is room again, it is published: it was not forgotten.
        stack.next(queue).await.acknowledge().await.unwrap();
        let due = Command { next_publish_at: Some(now()), ..stored };
        let due = to_text(due.next_publish_at.unwrap());
        stack.damage(&waiting, "SET #x = :x, due_at = :x", "next_publish_at", json!({"S": due})).await;
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 1);
    });
}

#[test]
fn a_round_is_bounded_and_the_next_one_goes_on() {
    with_stack(|stack| async move {
        // Many more than a round takes on, so that each shard of the index has its part of them.
        let storing = stream::iter(0..1_400).map(|_| store(stack, PUBLISH_PATIENCE)).buffer_unordered(AT_ONCE);
        assert_eq!(storing.count().await, 1_400);
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 1_000);
        // Room is made as a worker would.
        let queue = CommandType::of::<HealthCheck>().queue();
        stack.next(queue).await.acknowledge().await.unwrap();
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 400);
        assert_eq!(stack.reconciler().round().await.unwrap().republished, 0);
    });
}
