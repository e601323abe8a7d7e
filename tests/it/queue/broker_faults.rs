//! What RabbitMQ can do to its clients, and how they come back by themselves.

use std::time::Duration;

use painel_shared::{
    command::Status,
    command_store::Filter,
    queue::{Delivery, QueueError, Receiver, Side, WorkQueue},
    stores::Stores,
};
use painel_tests::{
    broker::Broker,
    host::{Health, Host},
    stack::{RABBITMQ, Stack, with_stack_and},
    wait::eventually,
};
use painel_workers::commands::HealthCheck;
use serde_json::json;

use super::queue;

async fn all_succeed(stack: &Stack, limit: Duration) {
    eventually("every command to succeed", limit, || async {
        let unfinished = [Status::Pending, Status::Running, Status::Error].map(|status| async move {
            let filter = Filter { status: Some(status), ..Filter::default() };
            stack.stores.commands.count(&filter).await.unwrap().total
        });
        let left: u64 = futures::future::join_all(unfinished).await.into_iter().sum();
        (left == 0).then_some(())
    })
    .await;
}

#[test]
fn a_restart_of_the_broker_under_load_loses_nothing_and_work_goes_on() {
    let mut broker = Broker::start();
    let url = broker.url();
    let set = [RABBITMQ, ("PAINEL_RABBITMQ_URL", url.as_str()), ("PAINEL_QUEUE_TIMEOUT_MS", "500")];
    with_stack_and(&set, |stack| async move {
        stack.work::<HealthCheck>();
        stack.reconcile();
        let client = stack.serve().await;
        for _ in 0..40 {
            client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        }
        broker.kill();
        // With the broker gone, commands are accepted all the same, and soon.
        for _ in 0..3 {
            client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        }
        tokio::task::block_in_place(|| broker.start_again());
        all_succeed(stack, Duration::from_secs(40)).await;
        drop(broker);
    });
}

#[test]
fn a_queue_that_was_deleted_is_missed_and_work_goes_on_once_it_is_made_again() {
    let broker = Broker::start();
    let url = broker.url();
    with_stack_and(&[RABBITMQ, ("PAINEL_RABBITMQ_URL", url.as_str())], |stack| async move {
        let mut receiver = stack.receiver(queue(), Side::Work).await;
        let prefix = stack.vars.text("PAINEL_QUEUE_PREFIX").unwrap();
        let name = queue().name().replacen("painel", prefix, 1);
        tokio::task::block_in_place(|| broker.control(&["delete_queue", &name]));
        let ended = receiver.receive(1, Duration::from_secs(10)).await;
        assert!(matches!(ended, Err(QueueError::Unavailable(_))), "{ended:?}");
        let lost = stack.stores.queue.publish_raw(queue(), "{}").await;
        assert!(matches!(&lost, Err(QueueError::NoQueue(missing)) if *missing == name), "{lost:?}");

        stack.stores.queue.migrate().await.unwrap();
        stack.stores.queue.publish_raw(queue(), "again").await.unwrap();
        let delivery = stack.next(queue()).await;
        assert_eq!(delivery.body, "again");
        delivery.acknowledge().await.unwrap();
    });
}

#[test]
fn an_acknowledgement_that_comes_too_late_costs_the_channel_and_the_job_comes_again() {
    let broker = Broker::start();
    broker.control(&[
        "eval",
        "application:set_env(rabbit, consumer_timeout, 500), application:set_env(rabbit, channel_tick_interval, 200).",
    ]);
    let url = broker.url();
    with_stack_and(&[RABBITMQ, ("PAINEL_RABBITMQ_URL", url.as_str())], |stack| async move {
        stack.stores.queue.publish_raw(queue(), "slow").await.unwrap();
        let mut receiver = stack.receiver(queue(), Side::Work).await;
        let held = receiver.receive(1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(held.len(), 1);
        let ended = receiver.receive(1, Duration::from_secs(10)).await;
        assert!(matches!(ended, Err(QueueError::Unavailable(_))), "{ended:?}");
        let again = stack.next(queue()).await;
        assert_eq!(again.body, "slow");
        again.acknowledge().await.unwrap();
    });
}

#[test]
fn a_memory_alarm_blocks_publishing_within_its_limit_and_consuming_goes_on() {
    let broker = Broker::start();
    let url = broker.url();
    with_stack_and(&[RABBITMQ, ("PAINEL_RABBITMQ_URL", url.as_str())], |stack| async move {
        let publish = |body: &'static str| stack.stores.queue.publish_raw(queue(), body);
        publish("before").await.unwrap();
        let mut receiver = stack.receiver(queue(), Side::Work).await;
        tokio::task::block_in_place(|| broker.control(&["set_vm_memory_high_watermark", "absolute", "1MiB"]));
        eventually("publishing to be blocked", Duration::from_secs(10), || async { publish("during").await.err() })
            .await;
        let received = receiver.receive(1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(received.len(), 1);
        for delivery in received {
            assert_eq!(delivery.body, "before");
            delivery.acknowledge().await.unwrap();
        }
        tokio::task::block_in_place(|| broker.control(&["set_vm_memory_high_watermark", "0.6"]));
        eventually("publishing to go on", Duration::from_secs(10), || async { publish("after").await.ok() }).await;
    });
}

/// The message "held"; what comes before it is acknowledged.
async fn next_held(receiver: &mut Receiver, limit: Duration) -> Option<Delivery> {
    let coming = async {
        loop {
            for one in receiver.receive(1, limit).await.unwrap() {
                if one.body == "held" {
                    return one;
                }
                one.acknowledge().await.unwrap();
            }
        }
    };
    tokio::time::timeout(limit, coming).await.ok()
}

#[test]
fn a_copy_that_is_confirmed_too_late_is_the_only_one() {
    with_stack_and(&[RABBITMQ], |stack| async move {
        let (host, url) = Host::before_the_one_in(&stack.vars, "PAINEL_RABBITMQ_URL").await;
        let behind = [("PAINEL_RABBITMQ_URL", url), ("PAINEL_QUEUE_TIMEOUT_MS", "5000".to_owned())];
        let stores = Stores::from_vars(&stack.vars.clone().overridden_by(behind)).await.unwrap();
        stack.stores.queue.publish_raw(queue(), "unreadable").await.unwrap();
        // So that the connection that publishes is open, too.
        let other = WorkQueue::named("painel.reset-token").unwrap();
        stores.queue.publish_raw(other, "another").await.unwrap();
        let mut receiver = stores.queue.receiver(queue(), Side::Work, 1).await.unwrap();
        let mut received = receiver.receive(1, Duration::from_secs(60)).await.unwrap();
        let delivery = received.pop().expect("it is there");
        host.become_so(Health::Silent).await;
        let error = delivery.dead_letter("it cannot be read").await.unwrap_err();
        assert!(matches!(error, QueueError::TimedOut(_)), "{error}");
        host.become_so(Health::Well).await;
        // Until then it is in hand, and what is in hand is in no depth.
        stores.queue.all_given_back().await;
        drop(receiver);
        stores.queue.all_given_back().await;
        let depth = stack.stores.queue.depth(queue()).await.unwrap();
        assert_eq!((depth.ready, depth.dead), (0, 1));
        assert!(
            stack.receiver(queue(), Side::Work).await.receive(1, Duration::from_secs(3)).await.unwrap().is_empty()
        );
    });
}

#[test]
fn what_cannot_even_be_copied_is_held_and_no_delivery_is_counted() {
    let broker = Broker::start();
    let url = broker.url();
    with_stack_and(&[RABBITMQ, ("PAINEL_RABBITMQ_URL", url.as_str())], |stack| async move {
        stack.stores.queue.publish_raw(queue(), "held").await.unwrap();
        let mut receiver = stack.receiver(queue(), Side::Work).await;
        let control = |arguments: &[&str]| tokio::task::block_in_place(|| broker.control(arguments));
        control(&["set_vm_memory_high_watermark", "absolute", "1MiB"]);
        eventually("publishing to be blocked", Duration::from_secs(10), || async {
            stack.stores.queue.publish_raw(queue(), "another").await.err()
        })
        .await;
        drop(next_held(&mut receiver, Duration::from_secs(60)).await.expect("it is there"));
        // It would come at once if it were given back.
        assert!(next_held(&mut receiver, Duration::from_secs(3)).await.is_none());
        control(&["set_vm_memory_high_watermark", "0.6"]);
        let again = next_held(&mut receiver, Duration::from_secs(60)).await.expect("it comes again");
        again.acknowledge().await.unwrap();
        assert_eq!(stack.stores.queue.depth(queue()).await.unwrap().dead, 0);
    });
}

#[test]
fn a_queue_with_other_arguments_is_named_with_what_differs_and_left_alone() {
    with_stack_and(&[RABBITMQ], |stack| async move {
        let prefix = format!("{}-other", stack.vars.text("PAINEL_QUEUE_PREFIX").unwrap());
        let url = stack.vars.text("PAINEL_RABBITMQ_URL").unwrap();
        let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let name = format!("{prefix}.health-check.dead-letter");
        let options = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.as_str().into(), options, Default::default()).await.unwrap();

        let vars = stack.vars.clone().overridden_by([("PAINEL_QUEUE_PREFIX", prefix)]);
        let other = painel_shared::stores::Stores::from_vars(&vars).await.unwrap();
        let error = other.queue.migrate().await.unwrap_err();
        let QueueError::Differs { queue, difference } = &error else { panic!("{error}") };
        assert_eq!(*queue, name);
        assert!(difference.contains("x-queue-type"), "{difference}");
        channel.queue_delete(name.as_str().into(), Default::default()).await.unwrap();
    });
}
