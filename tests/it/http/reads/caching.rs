//! How long an answer is kept, and what makes it go.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use painel::services::issuer::Role;
use painel_api::{
    cache::{CacheTag, Computed, Freshness, Lifetime, QueryCache},
    follow::Follower,
};
use painel_tests::{
    client::{COMMANDS, Client},
    stack::{Stack, with_stack, with_stack_and},
    wait::eventually,
};
use painel_workers::commands::ResetToken;
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{body, other_tenant, reads, run};

fn max_age(path: &str) -> &'static str {
    match path {
        path if path.contains("/incidents") || path.contains("/events") => "private, max-age=60",
        path if path.contains("/usage/overview") => "private, max-age=600",
        "/profile" => "private, no-store",
        path if path.contains("/billing/") => "private, max-age=900",
        path if ["/commands", "/aggregations", "/queues", "/tickets", "/tenant/operations"]
            .iter()
            .any(|name| path.contains(name)) =>
        {
            "private, no-cache"
        }
        _ => "private, max-age=300",
    }
}

#[test]
fn every_read_says_how_long_it_is_good_and_is_not_sent_twice() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        for path in reads(stack.example.tenant) {
            let answer = client.get(&path).await;
            assert_eq!(answer.headers["cache-control"], max_age(&path), "{path}");
            assert_eq!(answer.headers["vary"], "Authorization", "{path}");
            let etag = answer.headers["etag"].to_str().unwrap().to_owned();
            for (given, status) in [
                ("*".to_owned(), 304),
                (etag.clone(), 304),
                (format!("W/{etag}"), 304),
                (format!("\"x\", {etag}"), 304),
                ("\"x\"".to_owned(), 200),
            ] {
                let again = client.send(client.request(Method::GET, &path).header("If-None-Match", given)).await;
                assert_eq!(again.status, status, "{path}");
                assert_eq!(again.headers["etag"], etag.as_str(), "{path}");
            }
        }
    });
}

async fn rename(stack: &'static Stack, name: &'static str) {
    let sql = "UPDATE tenants SET name = $2 WHERE id = $1";
    run(stack, sqlx::query(sql).bind(stack.example.tenant.uuid()).bind(name)).await;
}

async fn name(client: &Client) -> String {
    body(client, "/tenant/me").await["name"].as_str().unwrap().to_owned()
}

#[test]
fn an_answer_is_kept_until_a_client_will_have_a_fresh_one() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()));
        let before = name(&own).await;
        rename(stack, "Renamed").await;
        assert_eq!(name(&own).await, before);
        let fresh =
            own.send(own.request(Method::GET, "/tenant/me").header("Cache-Control", "max-age=60, No-Cache")).await;
        assert_eq!(fresh.body["name"], "Renamed");
        assert_eq!(name(&own).await, "Renamed", "the fresh answer is kept");
        // Another tenant's answer is another one.
        let other = stack.issuer.token(Role::Tenant, Some(other_tenant(stack).await)).unwrap();
        assert_ne!(name(&client.with_token(Some(other))).await, "Renamed");
    });
}

#[test]
fn a_command_drops_what_is_kept_of_its_tenant_when_it_is_accepted_and_when_it_has_ended() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let (tenant, integration) = (stack.example.tenant, stack.example.integration);
        let me = format!("/tenant/me?tenant_id={tenant}");
        body(&client, &me).await;
        let reset = json!({
            "command_type": "RESET_TOKEN", "tenant_id": tenant, "parameters": {"integration_id": integration},
        });
        rename(stack, "Renamed").await;
        let id = client.accepted(&reset).await;
        assert_eq!(body(&client, &me).await["name"], "Renamed", "whoever sends a command sees it at once");
        let before = client.fingerprint(tenant, integration).await;
        stack.work::<ResetToken>();
        client.until(&id, "SUCCESS").await;
        eventually("what it did to be seen", Duration::from_secs(20), || async {
            (client.fingerprint(tenant, integration).await != before).then_some(())
        })
        .await;
    });
}

/// How often each question of a test has been computed.
#[derive(Clone)]
struct Counted {
    cache: QueryCache,
    computed: Arc<AtomicU64>,
}

impl Counted {
    /// The number of the computation whose answer it was.
    async fn ask(&self, tag: CacheTag) -> u64 {
        let computed = Arc::clone(&self.computed);
        let compute = |()| async move {
            let number = computed.fetch_add(1, Ordering::SeqCst);
            Computed::new(number, Lifetime::Private(Duration::from_secs(3_600)))
        };
        let answer: Arc<Computed<u64>> =
            self.cache.answer(&tag, tag, Freshness::Kept, ready(Ok(())), compute).await.unwrap();
        answer.value
    }
}

#[test]
fn whoever_follows_what_is_recorded_keeps_the_rest() {
    with_stack(|stack| async move {
        let counted = Counted { cache: QueryCache::new(1 << 20), computed: Arc::default() };
        let mut follower = Follower::new(stack.stores.db.clone(), counted.cache.clone());
        follower.begin().await;
        let shutdown = CancellationToken::new();
        let following = tokio::spawn(follower.follow(shutdown.clone()));
        // Nobody has looked for long: nothing is handed out until the follower has looked again.
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        counted.cache.followed_until(long_ago);
        eventually("the follower to have looked", Duration::from_secs(20), || async {
            let before = counted.ask(CacheTag::Platform).await;
            (counted.ask(CacheTag::Platform).await == before).then_some(())
        })
        .await;
        let (tenant, other) = (stack.example.tenant, other_tenant(stack).await);
        let tags = [CacheTag::Tenant(tenant), CacheTag::Tenant(other), CacheTag::Commands, CacheTag::AuditLog];
        let [kept, of_other, commands, log] = tags;
        let mut before = Vec::new();
        for tag in tags {
            before.push(counted.ask(tag).await);
        }
        let insert = "INSERT INTO operational_events (event_type, category, tenant_id, action, status)
                      VALUES ('test.recorded', 'test', $1, 'test', 'success')";
        run(stack, sqlx::query(insert).bind(tenant.uuid())).await;
        eventually("what was recorded to be told", Duration::from_secs(20), || async {
            (counted.ask(kept).await != before[0] && counted.ask(log).await != before[3]).then_some(())
        })
        .await;
        // Also where the machine has been so busy that nobody has looked for long.
        counted.cache.followed_until(Instant::now());
        assert_eq!(counted.ask(of_other).await, before[1], "nothing has happened to another tenant");
        assert_eq!(counted.ask(commands).await, before[2], "it was no command");
        shutdown.cancel();
        following.await.unwrap();
    });
}

#[test]
fn a_command_whose_request_ran_out_of_time_is_carried_through_and_drops_what_is_kept() {
    with_stack(|stack| async move {
        let client = stack
            .serve_with(&stack.vars.clone().overridden_by([("PAINEL_HTTP_TIMEOUT_MS", "500".to_owned())]))
            .await;
        let me = format!("/tenant/me?tenant_id={}", stack.example.tenant);
        body(&client, &me).await;
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE operational_events IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let reset = json!({
            "command_type": "RESET_TOKEN", "tenant_id": stack.example.tenant,
            "parameters": {"integration_id": stack.example.integration},
        });
        assert_eq!(client.post(&reset).await.status, 503);
        lock.rollback().await.unwrap();
        eventually("the command to be stored", Duration::from_secs(5), || async {
            (body(&client, COMMANDS).await["total"] == 1).then_some(())
        })
        .await;
        rename(stack, "Renamed").await;
        eventually("the kept answer to be dropped", Duration::from_secs(5), || async {
            (body(&client, &me).await["name"] == "Renamed").then_some(())
        })
        .await;
    });
}

/// How many wait for a lock.
async fn waiting(stack: &Stack) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(&stack.stores.db.service()).await.unwrap()
}

#[test]
fn whoever_sends_a_command_sees_it_in_the_list_at_once() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        for count in 1..=5 {
            let id = client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
            let list = body(&client, COMMANDS).await;
            assert_eq!(list["commands"][0]["command_id"], id.as_str());
            assert_eq!(list["commands"].as_array().unwrap().len(), count);
        }
    });
}

#[test]
fn concurrent_questions_share_one_computation() {
    let set = [("PAINEL_HTTP_IN_FLIGHT_CALLER", "30"), ("PAINEL_DATABASE_TIMEOUT_MS", "60000")];
    with_stack_and(&set, |stack| async move {
        let client = stack.serve().await;
        // While the table is locked, no answer can be computed.
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE platform_usage_daily IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let asked = futures::future::join_all((0..30).map(|_| async {
            loop {
                let answer = client.get("/internal/usage/overview").await;
                // Refused where the question below has taken the last place.
                if answer.status != 429 {
                    return answer;
                }
            }
        }));
        let release = async {
            eventually("all places to be taken", Duration::from_secs(60), || async {
                // It needs nothing that is locked, and one is asked at a time: whoever keeps the places, it is not this.
                (client.get("/internal/operations/events").await.status == 429).then_some(())
            })
            .await;
            let mut most = 0;
            // Each of them has time to come as far as the first.
            for _ in 0..100 {
                most = most.max(waiting(stack).await);
            }
            lock.rollback().await.unwrap();
            most
        };
        let (answers, computing) = tokio::join!(asked, release);
        assert_eq!(computing, 1, "one computes, the others wait for it");
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert!(answers.iter().all(|answer| answer.headers["etag"] == answers[0].headers["etag"]));
    });
}
