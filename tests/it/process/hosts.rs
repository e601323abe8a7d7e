//! A dependency's host that says nothing, or drops every packet: the API's process holds no more threads and files than
//! before, and goes on by itself once the host is back.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use painel_shared::{
    commands::{CommandType, HealthCheck},
    queue::Queue,
    stores::Stores,
};
use painel_tests::{
    client::Client,
    fleet::Fleet,
    host::{Health, Host},
    stack::{RABBITMQ, Stack, with_stack_and},
    wait::eventually,
};
use serde_json::json;

/// How many POSTs are under way at once.
const AT_ONCE: usize = 50;
/// How many while the host is ill: many times what may be under way.
const POSTS: usize = 1_000;
/// Long enough for whatever is given up to end.
const LONG: Duration = Duration::from_secs(90);
/// So many threads and files come and go by themselves; a slow machine opens a pool's connections late.
const SLACK: usize = 16;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    threads: usize,
    files: usize,
}

impl Held {
    fn by(process: u32) -> Self {
        let count = |what: &str| {
            std::fs::read_dir(Path::new("/proc").join(process.to_string()).join(what)).unwrap().count()
        };
        Self { threads: count("task"), files: count("fd") }
    }

    fn is_no_more_than(self, before: Self) -> bool {
        self.threads <= before.threads + SLACK && self.files <= before.files + SLACK
    }
}

async fn post(client: &Client, count: usize) {
    let command = json!({"command_type": "HEALTH_CHECK"});
    // Accepted or not: each is answered.
    stream::iter(0..count).for_each_concurrent(AT_ONCE, |_| async { drop(client.post(&command).await) }).await;
}

/// Runs an API whose dependency falls ill under load; `links` is how many connections to it may be tried at once.
async fn falls_ill(stack: &'static Stack, variable: &'static str, health: Health, links: Option<usize>) {
    let (host, url) = Host::before_the_one_in(&stack.vars, variable).await;
    let mut fleet = Fleet::new(stack);
    for (name, value) in [
        (variable, url.as_str()),
        ("PAINEL_QUEUE_TIMEOUT_MS", "500"),
        ("PAINEL_DYNAMODB_TIMEOUT_MS", "500"),
        ("PAINEL_DATABASE_TIMEOUT_MS", "500"),
    ] {
        fleet.set(name, value);
    }
    fleet.start("painel-api");
    let client = fleet.client(&stack.issuer).await;
    let process = fleet.id("painel-api");
    post(&client, 300).await;
    let before = Held::by(process);

    host.become_so(health).await;
    post(&client, POSTS).await;
    if let (Health::Silent, Some(links)) = (health, links) {
        assert!(host.most_open() <= links, "{} connections were tried at once", host.most_open());
    }
    host.become_so(Health::Well).await;
    let back = Instant::now();
    let queue = CommandType::of::<HealthCheck>().queue();
    let waiting = async |queues: &Queue| queues.depth(queue).await.unwrap().ready;
    let ready = waiting(&stack.stores.queue).await;
    eventually("a command to be accepted and published", LONG, || async {
        let accepted = client.post(&json!({"command_type": "HEALTH_CHECK"})).await.status == 202;
        (accepted && waiting(&stack.stores.queue).await > ready).then_some(())
    })
    .await;
    // To be read with `--nocapture`.
    eprintln!("{variable} {health:?}: work went on {:.1} s after the host was back", back.elapsed().as_secs_f64());
    eventually("no more to be held than before", LONG, || async {
        post(&client, AT_ONCE).await;
        Held::by(process).is_no_more_than(before).then_some(())
    })
    .await;
}

/// A test for each way of falling ill.
macro_rules! ill {
    ($($name:ident: $variable:literal [$($set:expr),*] $links:expr),* $(,)?) => {
        $(mod $name {
            use super::*;

            #[test]
            fn that_says_nothing() {
                with_stack_and(&[$($set),*], |stack| falls_ill(stack, $variable, Health::Silent, $links));
            }

            #[test]
            fn that_drops_packets() {
                with_stack_and(&[$($set),*], |stack| falls_ill(stack, $variable, Health::Dropping, $links));
            }
        })*
    };
}

ill! {
    rabbitmq: "PAINEL_RABBITMQ_URL" [RABBITMQ] Some(2),
    sqs: "PAINEL_SQS_ENDPOINT" [("PAINEL_QUEUE", "sqs")] None,
    dynamodb: "PAINEL_DYNAMODB_ENDPOINT" [] None,
    postgresql: "PAINEL_DATABASE_URL" [] None,
}

/// A worker whose queue's host vanishes takes jobs again from the one that replaces it.
async fn a_worker_goes_on(stack: &'static Stack, variable: &'static str) {
    let (host, url) = Host::before_the_one_in(&stack.vars, variable).await;
    let mut fleet = Fleet::new(stack);
    fleet.set(variable, &url);
    fleet.start("painel-health-check-worker");
    let done = async || {
        let command = stack.send::<HealthCheck>(None, json!({})).await;
        eventually("a command to be executed", LONG, || async {
            stack.stored(&command).await.status.is_final().then_some(())
        })
        .await;
    };
    done().await;
    host.be_replaced();
    done().await;
}

/// Making the queues goes on though a call is not answered in time.
async fn queues_are_made(stack: &'static Stack, variable: &'static str) {
    let (host, url) = Host::before_the_one_in(&stack.vars, variable).await;
    let vars = stack.vars.clone().overridden_by([(variable, url), ("PAINEL_QUEUE_TIMEOUT_MS", "200".to_owned())]);
    let queue = Stores::from_vars(&vars).await.unwrap().queue;
    host.become_so(Health::Silent).await;
    let mut making = tokio::spawn(async move { queue.migrate().await });
    let ended = tokio::time::timeout(Duration::from_secs(1), &mut making).await;
    assert!(ended.is_err(), "it was given up: {ended:?}");
    host.become_so(Health::Well).await;
    making.await.unwrap().unwrap();
}

#[test]
fn queues_are_made_though_the_broker_takes_longer_than_a_call_is_given() {
    with_stack_and(&[RABBITMQ], |stack| queues_are_made(stack, "PAINEL_RABBITMQ_URL"));
}

#[test]
fn queues_are_made_though_sqs_takes_longer_than_a_call_is_given() {
    with_stack_and(&[], |stack| queues_are_made(stack, "PAINEL_SQS_ENDPOINT"));
}

#[test]
fn a_worker_whose_brokers_host_vanished_goes_on() {
    with_stack_and(&[RABBITMQ], |stack| a_worker_goes_on(stack, "PAINEL_RABBITMQ_URL"));
}

#[test]
fn a_worker_whose_sqs_host_vanished_goes_on() {
    let set = [("PAINEL_QUEUE", "sqs"), ("PAINEL_QUEUE_VISIBILITY_SECONDS", "3")];
    with_stack_and(&set, |stack| a_worker_goes_on(stack, "PAINEL_SQS_ENDPOINT"));
}

#[test]
fn migrate_ends_with_a_line_whatever_says_nothing() {
    with_stack_and(&[RABBITMQ], |stack| async move {
        for variable in ["PAINEL_DATABASE_URL", "PAINEL_DYNAMODB_ENDPOINT", "PAINEL_RABBITMQ_URL"] {
            let (host, url) = Host::before_the_one_in(&stack.vars, variable).await;
            host.become_so(Health::Silent).await;
            let mut fleet = Fleet::new(stack);
            fleet.set(variable, &url);
            fleet.set("PAINEL_LOG", "error");
            let mut command = fleet.command("painel");
            let ended = tokio::task::spawn_blocking(move || command.arg("migrate").output().unwrap());
            let output = tokio::time::timeout(LONG, ended).await.expect("it ends by itself").unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(!output.status.success(), "{variable}: {said}");
            assert_eq!(said.lines().count(), 1, "{variable}: {said}");
        }
    });
}
