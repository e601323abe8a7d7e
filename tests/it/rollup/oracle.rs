//! Equality with a recount, by an oracle that keeps every request in memory and knows nothing of SQL.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use painel_shared::{
    histogram::LatencyHistogram,
    ids::TenantId,
    rollup::{self, RunClaim, RunState},
};
use painel_tests::{
    stack::{Stack, with_stack},
    wait::eventually,
};
use painel_workers::rollup::{Limits, roll_up};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use uuid::Uuid;

use super::{LONG, ask, hold, roll};

const SEEDS: u64 = 50;
const DAYS: u64 = 3;

/// A raw request, as the oracle remembers it.
#[derive(Clone, Debug)]
struct Request {
    agent: usize,
    day: u64,
    second: u32,
    ms: u32,
    tokens: i32,
    status: usize,
}

/// A row of daily usage: its day, tenant and agent, then its figures.
type Stored = (NaiveDate, Uuid, Uuid, i64, i64, i64, f64, i64, Vec<i16>, Vec<i32>);

/// A day of an agent of the catalogue: its id, requests, good ones, their time, and the histogram.
type OfAgent = (Uuid, i64, i64, i64, Vec<i16>, Vec<i64>);
/// A day of the platform: requests, good ones, their time, tenants, and the histogram.
type Platform = (i64, i64, i64, i64, Vec<i16>, Vec<i64>);

/// What an agent of the catalogue did on a day.
#[derive(Debug, Default, PartialEq)]
struct Work {
    total: i64,
    successful: i64,
    time: i64,
    latency: LatencyHistogram,
}

const STATUSES: [&str; 3] = ["success", "error", "timeout"];

/// What happens, in an order drawn from the seed. Days and tenants are numbers.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<Request>),
    /// The same statement twice: two requests that are alike are two.
    InsertTwice(Vec<Request>),
    Roll(u64),
    RollTenant(u64, usize),
    /// The whole day and one tenant of it at the same time, while requests arrive.
    RollBoth(u64, usize, Vec<Request>),
    /// A worker is killed so many milliseconds into a run.
    Kill(u64, u64),
}

fn requests(agents: usize) -> impl Strategy<Value = Vec<Request>> {
    let request = (0..agents, 0..DAYS, 0_u32..86_400, 0_u32..20_000, 0_i32..2_000, 0_usize..3)
        .prop_map(|(agent, day, second, ms, tokens, status)| Request { agent, day, second, ms, tokens, status });
    prop::collection::vec(request, 1..40)
}

fn steps(agents: usize, tenants: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => requests(agents).prop_map(Step::Insert),
        1 => requests(agents).prop_map(Step::InsertTwice),
        2 => (0..DAYS).prop_map(Step::Roll),
        1 => (0..DAYS, 0..tenants).prop_map(|(day, tenant)| Step::RollTenant(day, tenant)),
        2 => (0..DAYS, 0..tenants, requests(agents)).prop_map(|(day, tenant, late)| Step::RollBoth(day, tenant, late)),
        1 => (0..DAYS, 0_u64..30).prop_map(|(day, after)| Step::Kill(day, after)),
    ];
    prop::collection::vec(step, 4..10)
}

struct World {
    stack: &'static Stack,
    /// Each agent's surrogate, its tenant and its public id.
    agents: Vec<(i32, Uuid, Uuid)>,
    tenants: Vec<TenantId>,
    first: NaiveDate,
    seen: Vec<Request>,
}

impl World {
    fn day(&self, number: u64) -> NaiveDate {
        self.first + Days::new(number)
    }

    fn at(&self, request: &Request) -> DateTime<Utc> {
        let midnight = self.day(request.day).and_time(NaiveTime::MIN).and_utc();
        midnight + Duration::from_secs(request.second.into())
    }

    async fn insert(&self, requests: &[Request]) {
        let column = |of: fn(&Request) -> i32| requests.iter().map(of).collect::<Vec<i32>>();
        let agents: Vec<i32> = requests.iter().map(|request| self.agents[request.agent].0).collect();
        let times: Vec<DateTime<Utc>> = requests.iter().map(|request| self.at(request)).collect();
        let statuses: Vec<&str> = requests.iter().map(|request| STATUSES[request.status]).collect();
        sqlx::query(
            "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at)
             SELECT a, m, t, s::request_status, c
             FROM unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::timestamptz[]) AS r (a, m, t, s, c)",
        )
        .bind(agents)
        .bind(column(|request| i32::try_from(request.ms).unwrap()))
        .bind(column(|request| request.tokens))
        .bind(statuses)
        .bind(times)
        .execute(&self.stack.stores.db.service())
        .await
        .unwrap();
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Insert(requests) => {
                self.insert(&requests).await;
                self.seen.extend(requests);
            }
            Step::InsertTwice(requests) => {
                for _ in 0..2 {
                    self.insert(&requests).await;
                    self.seen.extend(requests.clone());
                }
            }
            Step::Roll(day) => {
                roll(self.stack, self.day(day), None).await;
            }
            Step::RollTenant(day, tenant) => {
                roll(self.stack, self.day(day), Some(self.tenants[tenant])).await;
            }
            Step::RollBoth(day, tenant, late) => {
                let (day, tenant) = (self.day(day), self.tenants[tenant]);
                tokio::join!(roll(self.stack, day, None), roll(self.stack, day, Some(tenant)), self.insert(&late));
                self.seen.extend(late);
            }
            Step::Kill(day, after) => self.kill(self.day(day), Duration::from_millis(after)).await,
        }
    }

    /// A run whose worker dies, and which another worker takes when the lease has passed.
    async fn kill(&self, day: NaiveDate, after: Duration) {
        let pool = &self.stack.stores.db.service();
        let asked = ask(self.stack, day, None).await;
        let claimed = rollup::claim(pool, asked.id, Duration::from_millis(1)).await.unwrap();
        let RunClaim::Held(run, holder) = claimed else { panic!("{claimed:?}") };
        let doomed = roll_up(&self.stack.stores.db, &run, holder, Limits::of(LONG));
        if tokio::time::timeout(after, doomed).await.is_ok() {
            return;
        }
        eventually("the lease to pass", Duration::from_secs(5), || async {
            match rollup::claim(pool, asked.id, LONG).await.unwrap() {
                RunClaim::Held(run, holder) => {
                    roll_up(&self.stack.stores.db, &run, holder, Limits::of(LONG)).await.unwrap();
                    Some(())
                }
                // It had come to its end, and died before it could say so.
                RunClaim::Refused(run) => (run.state == RunState::Succeeded).then_some(()),
                RunClaim::Missing => None,
            }
        })
        .await;
    }

    /// Rolls up what is late, until nothing is.
    async fn settle(&self) {
        let pool = &self.stack.stores.db.service();
        let marked: Vec<NaiveDate> =
            sqlx::query_scalar("SELECT DISTINCT day FROM rollup_marks WHERE day >= $1 AND day <= $2")
                .bind(self.first)
                .bind(self.day(DAYS - 1))
                .fetch_all(pool)
                .await
                .unwrap();
        for day in marked {
            roll(self.stack, day, None).await;
        }
    }

    async fn compare(&self, seed: u64) {
        let mut recount: BTreeMap<(NaiveDate, usize), Vec<&Request>> = BTreeMap::new();
        for request in &self.seen {
            recount.entry((self.day(request.day), request.agent)).or_default().push(request);
        }
        let stored: Vec<Stored> = sqlx::query_as(
            "SELECT date, tenant_id, agent_id, total_requests, successful_requests, failed_requests,
                    avg_response_time_ms, total_tokens_used, latency_buckets, latency_counts
             FROM tenant_usage_daily WHERE date >= $1 AND date <= $2",
        )
        .bind(self.first)
        .bind(self.day(DAYS - 1))
        .fetch_all(&self.stack.stores.db.service())
        .await
        .unwrap();
        assert_eq!(stored.len(), recount.len(), "seed {seed}: rows");
        for (date, tenant, agent, total, successful, failed, average, tokens, buckets, counts) in stored {
            let index = self.agents.iter().position(|(_, t, a)| (*t, *a) == (tenant, agent)).unwrap();
            let own = &recount[&(date, index)];
            let good = own.iter().filter(|request| request.status == 0).count();
            let time: u64 = own.iter().map(|request| u64::from(request.ms)).sum();
            let mut latency = LatencyHistogram::default();
            own.iter().for_each(|request| latency.record(request.ms));
            let at = format!("seed {seed}, {date}, agent {index}");
            assert_eq!((total, successful), (own.len() as i64, good as i64), "{at}");
            assert_eq!(failed, total - successful, "{at}");
            assert!((average - time as f64 / own.len() as f64).abs() < 1e-6, "{at}");
            assert_eq!(tokens, own.iter().map(|request| i64::from(request.tokens)).sum::<i64>(), "{at}");
            assert_eq!((buckets, counts), latency.stored(), "{at}");
        }
    }

    /// What each day adds up to: for the platform, for each tenant, for each agent of the catalogue.
    async fn compare_sums(&self, seed: u64) {
        let pool = &self.stack.stores.db.service();
        for number in 0..DAYS {
            let day = self.day(number);
            let own: Vec<&Request> = self.seen.iter().filter(|request| request.day == number).collect();
            let (mut tenants, mut agents): (BTreeMap<Uuid, (i64, i64)>, BTreeMap<Uuid, Work>) = Default::default();
            let mut latency = LatencyHistogram::default();
            for request in &own {
                let (_, tenant, agent) = self.agents[request.agent];
                let of_tenant = tenants.entry(tenant).or_default();
                *of_tenant = (of_tenant.0 + 1, of_tenant.1 + i64::from(request.status == 0));
                let work = agents.entry(agent).or_default();
                work.total += 1;
                work.successful += i64::from(request.status == 0);
                work.time += i64::from(request.ms);
                work.latency.record(request.ms);
                latency.record(request.ms);
            }
            let stored: Vec<(Uuid, i64, i64)> = sqlx::query_as(
                "SELECT tenant_id, total_requests, successful_requests FROM tenant_usage_totals WHERE date = $1",
            )
            .bind(day)
            .fetch_all(pool)
            .await
            .unwrap();
            let at = format!("seed {seed}, {day}");
            assert_eq!(
                stored.into_iter().map(|(id, total, good)| (id, (total, good))).collect::<BTreeMap<_, _>>(),
                tenants,
                "{at}"
            );
            let stored: Vec<OfAgent> = sqlx::query_as(
                "SELECT agent_id, total_requests, successful_requests, total_response_time_ms, latency_buckets,
                        latency_counts
                 FROM agent_usage_totals WHERE date = $1",
            )
            .bind(day)
            .fetch_all(pool)
            .await
            .unwrap();
            let stored = stored.into_iter().map(|(id, total, successful, time, buckets, counts)| {
                let mut latency = LatencyHistogram::default();
                latency.add_stored(&buckets, &counts);
                (id, Work { total, successful, time, latency })
            });
            assert_eq!(stored.collect::<BTreeMap<_, _>>(), agents, "{at}");
            let stored: Option<Platform> = sqlx::query_as(
                "SELECT total_requests, successful_requests, total_response_time_ms, active_tenants, latency_buckets,
                        latency_counts
                 FROM platform_usage_daily WHERE date = $1",
            )
            .bind(day)
            .fetch_optional(pool)
            .await
            .unwrap();
            let (buckets, counts) = latency.stored();
            let expected = (!own.is_empty()).then(|| {
                (
                    own.len() as i64,
                    own.iter().filter(|request| request.status == 0).count() as i64,
                    own.iter().map(|request| i64::from(request.ms)).sum(),
                    tenants.len() as i64,
                    buckets,
                    counts.into_iter().map(i64::from).collect(),
                )
            });
            assert_eq!(stored, expected, "{at}");
        }
    }

    /// The agents' counters are the sums of their days.
    async fn compare_counters(&self) {
        let wrong: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tenant_agents ta,
                 LATERAL (SELECT COALESCE(sum(total_requests), 0) AS total, COALESCE(sum(failed_requests), 0) AS failed,
                                 COALESCE(sum(round(avg_response_time_ms * total_requests)), 0) AS time
                          FROM tenant_usage_daily d WHERE d.tenant_id = ta.tenant_id AND d.agent_id = ta.agent_id) AS u
             WHERE ta.total_requests <> u.total OR ta.total_errors <> u.failed OR ta.total_response_time_ms <> u.time",
        )
        .fetch_one(&self.stack.stores.db.service())
        .await
        .unwrap();
        assert_eq!(wrong, 0, "counters that are not the sum of their days");
    }
}

#[test]
fn the_last_run_equals_a_recount_whatever_came_before() {
    with_stack(|stack| async move {
        let agents: Vec<(i32, Uuid, Uuid)> =
            sqlx::query_as("SELECT id, tenant_id, agent_id FROM tenant_agents ORDER BY id LIMIT 8")
                .fetch_all(&stack.stores.db.service())
                .await
                .unwrap();
        let mut tenants: Vec<TenantId> = agents.iter().map(|(_, tenant, _)| TenantId::from(*tenant)).collect();
        tenants.dedup();
        let start = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        hold(stack, start, start + Days::new(SEEDS * DAYS)).await;
        let mut world = World { stack, agents, tenants, first: start, seen: Vec::new() };
        for seed in 0..SEEDS {
            world.first = start + Days::new(seed * DAYS);
            world.seen.clear();
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let mut runner =
                TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, random);
            let steps = steps(world.agents.len(), world.tenants.len()).new_tree(&mut runner).unwrap().current();
            for step in steps {
                world.take(step).await;
            }
            world.settle().await;
            world.compare(seed).await;
            world.compare_sums(seed).await;
        }
        world.compare_counters().await;
    });
}
