//! What every transport does: one suite, run on each.

mod broker_faults;

use std::time::Duration;

use futures::future::join_all;
use painel_shared::{
    commands::{CommandType, HealthCheck},
    job::Job,
    queue::{Delivery, MAX_MESSAGE_BYTES, QueueError, Side, WorkQueue},
    stores::Stores,
};
use painel_tests::{
    host::{Health, Host},
    lossy::Lossy,
    stack::{RABBITMQ, Stack, with_stack_and},
    wait::eventually,
};
use painel_workers::commands::HealthCheck as HealthCheckWorker;

/// As long as SQS waits at most.
const SOON: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(180);
const NOW: Duration = Duration::from_secs(1);

fn queue() -> WorkQueue {
    CommandType::of::<HealthCheck>().queue()
}

async fn receive(stack: &Stack, side: Side, wait: Duration) -> Vec<Delivery> {
    stack.receiver(queue(), side).await.receive(10, wait).await.unwrap()
}

async fn one(stack: &Stack, side: Side) -> Delivery {
    let mut received = receive(stack, side, SOON).await;
    assert_eq!(received.len(), 1);
    received.pop().unwrap()
}

async fn a_job_arrives_and_is_gone_once_acknowledged(stack: &'static Stack) {
    let job = Job::for_command(&crate::pure::command());
    stack.stores.queue.publish(&job).await.unwrap();
    let delivery = one(stack, Side::Work).await;
    assert_eq!(Job::decode(&delivery.body).unwrap(), job);
    let depth = stack.stores.queue.depth(queue()).await.unwrap();
    assert_eq!((depth.ready, depth.dead), (0, 0));
    assert!(depth.in_flight.is_none_or(|jobs| jobs == 1));
    delivery.acknowledge().await.unwrap();
    let depth = stack.stores.queue.depth(queue()).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight.unwrap_or(0), depth.dead), (0, 0, 0));
}

async fn batches_are_received_and_acknowledged_whole(stack: &'static Stack) {
    for n in 0..25 {
        stack.stores.queue.publish_raw(queue(), &n.to_string()).await.unwrap();
    }
    let mut receiver = stack.receiver(queue(), Side::Work).await;
    let mut bodies = Vec::new();
    while bodies.len() < 25 {
        let deliveries = receiver.receive(10, SOON).await.unwrap();
        assert!((1..=10).contains(&deliveries.len()));
        bodies.extend(deliveries.iter().map(|delivery| delivery.body.parse::<u32>().unwrap()));
        let settled = deliveries.into_iter().map(Delivery::acknowledge);
        assert!(join_all(settled).await.into_iter().all(|outcome| outcome.is_ok()));
    }
    bodies.sort_unstable();
    assert_eq!(bodies, (0..25).collect::<Vec<_>>());
    let depth = stack.stores.queue.depth(queue()).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight.unwrap_or(0)), (0, 0));
}

async fn a_retry_comes_back_after_its_delay_and_not_before(stack: &'static Stack) {
    stack.stores.queue.publish_raw(queue(), "later").await.unwrap();
    let delivery = one(stack, Side::Work).await;
    let asked = std::time::Instant::now();
    delivery.retry_later(Duration::from_millis(1_500)).await.unwrap();
    let back = one(stack, Side::Work).await;
    assert!(asked.elapsed() >= Duration::from_millis(1_500), "after {:?}", asked.elapsed());
    assert_eq!(back.body, "later");
    back.acknowledge().await.unwrap();
}

async fn a_dead_letter_waits_on_its_own_side(stack: &'static Stack) {
    stack.stores.queue.publish_raw(queue(), "poison").await.unwrap();
    one(stack, Side::Work).await.dead_letter("it is poison\n\u{7}").await.unwrap();
    assert_eq!(stack.stores.queue.depth(queue()).await.unwrap().dead, 1);
    assert!(receive(stack, Side::Work, NOW).await.is_empty());
    let dead = one(stack, Side::DeadLetters).await;
    assert_eq!(dead.body, "poison");
    dead.acknowledge().await.unwrap();
    assert_eq!(stack.stores.queue.depth(queue()).await.unwrap().dead, 0);
}

async fn a_reason_that_is_too_long_is_cut_and_its_message_settled(stack: &'static Stack) {
    for _ in 0..3 {
        stack.stores.queue.publish_raw(queue(), "poison").await.unwrap();
        // Over what a broker takes beside a message.
        one(stack, Side::Work).await.dead_letter(&"é".repeat(150_000)).await.unwrap();
    }
    let depth = stack.stores.queue.depth(queue()).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight.unwrap_or(0), depth.dead), (0, 0, 3));
}

async fn what_a_dead_consumer_held_is_delivered_again(stack: &'static Stack) {
    stack.stores.queue.publish_raw(queue(), "held").await.unwrap();
    drop(one(stack, Side::Work).await);
    let again = one(stack, Side::Work).await;
    assert_eq!(again.body, "held");
    again.acknowledge().await.unwrap();
}

async fn a_delivery_that_is_extended_stays_and_one_that_is_released_comes_at_once(stack: &'static Stack) {
    stack.stores.queue.publish_raw(queue(), "mine").await.unwrap();
    let delivery = one(stack, Side::Work).await;
    let received = std::time::Instant::now();
    // Past its own visibility it is still hidden, because it is extended meanwhile.
    eventually("three seconds of extending", SOON, || async {
        delivery.extend().await.unwrap();
        (received.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    assert!(receive(stack, Side::Work, Duration::ZERO).await.is_empty());
    delivery.release().await.unwrap();
    one(stack, Side::Work).await.acknowledge().await.unwrap();
}

async fn a_message_that_is_too_large_is_refused_before_it_is_sent(stack: &'static Stack) {
    let fits = "x".repeat(MAX_MESSAGE_BYTES);
    stack.stores.queue.publish_raw(queue(), &fits).await.unwrap();
    let over = stack.stores.queue.publish_raw(queue(), &format!("{fits}x")).await;
    assert!(matches!(over, Err(QueueError::TooLarge(size)) if size == MAX_MESSAGE_BYTES + 1));
    assert_eq!(stack.stores.queue.depth(queue()).await.unwrap().ready, 1);
}

async fn queues_are_made_once_and_a_missing_one_is_named(stack: &'static Stack) {
    stack.stores.queue.migrate().await.unwrap();
    let vars = stack.vars.clone().overridden_by([("PAINEL_QUEUE_PREFIX", "absent".to_owned())]);
    let other = Stores::from_vars(&vars).await.unwrap();
    let error = other.queue.publish_raw(queue(), "lost").await.unwrap_err();
    let said = error.to_string().replace('.', "-");
    assert_eq!(said, "the queue absent-health-check does not exist: run `painel migrate`");
}

async fn what_was_dropped_unsettled_comes_again_though_its_receiver_lives(stack: &'static Stack) {
    stack.stores.queue.publish_raw(queue(), "dropped").await.unwrap();
    let mut receiver = stack.receiver(queue(), Side::Work).await;
    for _ in 0..3 {
        let received = receiver.receive(10, SOON).await.unwrap();
        assert_eq!(received.iter().map(|delivery| delivery.body.as_str()).collect::<Vec<_>>(), ["dropped"]);
    }
    let last = receiver.receive(10, SOON).await.unwrap();
    for delivery in last {
        delivery.acknowledge().await.unwrap();
    }
    let depth = stack.stores.queue.depth(queue()).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight.unwrap_or(0), depth.dead), (0, 0, 0));
}

async fn what_cannot_be_settled_starves_nothing_behind_it(stack: &'static Stack) {
    const POISONED: u64 = 40;
    for _ in 0..POISONED {
        stack.stores.queue.publish_raw(queue(), "poison").await.unwrap();
    }
    stack.take_away(queue(), Side::DeadLetters).await;
    stack.work::<HealthCheckWorker>();
    let behind = stack.send::<HealthCheck>(None, serde_json::json!({})).await;
    eventually("the command behind them", LONG, || async {
        stack.stored(&behind).await.status.is_final().then_some(())
    })
    .await;
    stack.stores.queue.migrate().await.unwrap();
    eventually("all of them to be dead letters", LONG, || async {
        let depth = stack.stores.queue.depth(queue()).await;
        depth.is_ok_and(|depth| depth.dead == POISONED).then_some(())
    })
    .await;
}

async fn a_job_that_fifty_deploys_give_back_is_still_there(stack: &'static Stack) {
    for body in ["worked on", "waiting"] {
        stack.stores.queue.publish_raw(queue(), body).await.unwrap();
    }
    for _ in 0..50 {
        let mut receiver = stack.receiver(queue(), Side::Work).await;
        let mut received = receiver.receive(1, SOON).await.unwrap();
        received.pop().expect("it is there").release().await.unwrap();
        // What the broker has handed out ahead is given back, too.
        drop(receiver);
        stack.stores.queue.all_given_back().await;
    }
    let mut bodies = Vec::new();
    let mut receiver = stack.receiver(queue(), Side::Work).await;
    while bodies.len() < 2 {
        for delivery in receiver.receive(10, SOON).await.unwrap() {
            bodies.push(delivery.body.clone());
            delivery.acknowledge().await.unwrap();
        }
    }
    bodies.sort_unstable();
    assert_eq!(bodies, ["waiting", "worked on"]);
    let depth = stack.stores.queue.depth(queue()).await.unwrap();
    assert_eq!((depth.ready, depth.dead), (0, 0));
}

async fn who_works_on_one_at_a_time_keeps_no_second_from_the_others(stack: &'static Stack) {
    for n in 0..5 {
        stack.stores.queue.publish_raw(queue(), &n.to_string()).await.unwrap();
    }
    let mut one = stack.stores.queue.receiver(queue(), Side::Work, 1).await.unwrap();
    let held = one.receive(1, SOON).await.unwrap();
    let mut others = stack.receiver(queue(), Side::Work).await;
    let mut taken = Vec::new();
    while taken.len() < 4 {
        let received = others.receive(10, SOON).await.unwrap();
        assert!(!received.is_empty(), "{} of 4 were to be had", taken.len());
        taken.extend(received);
    }
    for delivery in taken.into_iter().chain(held) {
        delivery.acknowledge().await.unwrap();
    }
}

async fn many_that_are_published_at_once_arrive_each_once(stack: &'static Stack) {
    // Some together are larger than what is sent in one call.
    let body = |n: usize| if n.is_multiple_of(5) { format!("{n}{}", " ".repeat(100_000)) } else { n.to_string() };
    let bodies: Vec<String> = (0..40).map(body).collect();
    let published = join_all(bodies.iter().map(|body| stack.stores.queue.publish_raw(queue(), body))).await;
    assert!(published.iter().all(Result::is_ok), "{published:?}");
    let mut arrived = Vec::new();
    let mut receiver = stack.receiver(queue(), Side::Work).await;
    while arrived.len() < bodies.len() {
        for delivery in receiver.receive(10, SOON).await.unwrap() {
            arrived.push(delivery.body.trim().parse::<usize>().unwrap());
            delivery.acknowledge().await.unwrap();
        }
    }
    arrived.sort_unstable();
    assert_eq!(arrived, (0..40).collect::<Vec<_>>());
    assert_eq!(stack.stores.queue.depth(queue()).await.unwrap().ready, 0);
}

/// Runs each test of the suite on both transports, with the variables it asks for.
macro_rules! suite {
    ($($test:ident [$($set:expr),*]),* $(,)?) => {
        mod sqs {
            $(#[test]
            fn $test() {
                painel_tests::stack::with_stack_and(&[$($set),*], super::$test);
            })*
        }
        mod rabbitmq {
            $(#[test]
            fn $test() {
                painel_tests::stack::with_stack_and(&[painel_tests::stack::RABBITMQ, $($set),*], super::$test);
            })*
        }
    };
}

suite! {
    a_job_arrives_and_is_gone_once_acknowledged [],
    batches_are_received_and_acknowledged_whole [],
    a_retry_comes_back_after_its_delay_and_not_before [],
    a_dead_letter_waits_on_its_own_side [],
    a_reason_that_is_too_long_is_cut_and_its_message_settled [],
    what_a_dead_consumer_held_is_delivered_again [("PAINEL_QUEUE_VISIBILITY_SECONDS", "1")],
    a_delivery_that_is_extended_stays_and_one_that_is_released_comes_at_once [("PAINEL_QUEUE_VISIBILITY_SECONDS", "2")],
    a_message_that_is_too_large_is_refused_before_it_is_sent [],
    queues_are_made_once_and_a_missing_one_is_named [],
    what_was_dropped_unsettled_comes_again_though_its_receiver_lives [("PAINEL_QUEUE_VISIBILITY_SECONDS", "600")],
    what_cannot_be_settled_starves_nothing_behind_it [("PAINEL_QUEUE_VISIBILITY_SECONDS", "600")],
    a_job_that_fifty_deploys_give_back_is_still_there [],
    who_works_on_one_at_a_time_keeps_no_second_from_the_others [],
    many_that_are_published_at_once_arrive_each_once [],
}

/// Publishes as many as several batches hold while the transport is ill, and again when it is well.
async fn each_is_told(stack: &'static Stack, variable: &'static str) {
    let (host, url) = Host::before_the_one_in(&stack.vars, variable).await;
    let vars = stack.vars.clone().overridden_by([(variable, url), ("PAINEL_QUEUE_TIMEOUT_MS", "500".to_owned())]);
    let behind = Stores::from_vars(&vars).await.unwrap().queue;
    let bodies: Vec<String> = (0..25).map(|n| n.to_string()).collect();
    let publish = async || join_all(bodies.iter().map(|body| behind.publish_raw(queue(), body))).await;
    behind.publish_raw(queue(), "0").await.unwrap();
    host.become_so(Health::Silent).await;
    assert!(publish().await.iter().all(Result::is_err));
    host.become_so(Health::Well).await;
    eventually("all to be published", LONG, || async { publish().await.iter().all(Result::is_ok).then_some(()) })
        .await;
}

#[test]
fn of_a_batch_of_which_sqs_refuses_one_that_one_is_told_and_at_once() {
    with_stack_and(&[("PAINEL_QUEUE", "sqs")], |stack| async move {
        let proxy = Lossy::before(&stack.aws_urls().1).await;
        // Nobody waits for so long: each is told by the answer, and not by its own limit.
        let through = [("PAINEL_SQS_ENDPOINT", proxy.url()), ("PAINEL_QUEUE_TIMEOUT_MS", "600000".to_owned())];
        let behind = Stores::from_vars(&stack.vars.clone().overridden_by(through)).await.unwrap().queue;
        behind.publish_raw(queue(), "before").await.unwrap();
        proxy.fail_messages("7");
        let published = join_all((0..25).map(|n| {
            let behind = &behind;
            async move { behind.publish_raw(queue(), &n.to_string()).await }
        }));
        for (n, told) in published.await.into_iter().enumerate() {
            match n {
                7 => assert!(matches!(told, Err(QueueError::Unavailable(_))), "{told:?}"),
                _ => told.unwrap(),
            }
        }
        assert!(proxy.calls("SendMessageBatch") < 25, "they are sent together");
    });
}

#[test]
fn of_a_batch_that_sqs_does_not_take_each_is_told() {
    with_stack_and(&[("PAINEL_QUEUE", "sqs")], |stack| each_is_told(stack, "PAINEL_SQS_ENDPOINT"));
}

#[test]
fn of_what_rabbitmq_does_not_confirm_each_is_told() {
    with_stack_and(&[RABBITMQ], |stack| each_is_told(stack, "PAINEL_RABBITMQ_URL"));
}
