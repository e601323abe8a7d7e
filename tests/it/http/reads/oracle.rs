//! The figures, beside those of an oracle that keeps everything in memory and knows nothing of SQL.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};
use painel_shared::histogram::LatencyHistogram;
use painel_tests::{
    client::Client,
    random::Random,
    stack::{Stack, with_stack},
};
use serde_json::Value;
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

use super::body;

async fn run(db: &mut PgConnection, query: Query<'_, Postgres, PgArguments>) {
    query.execute(db).await.unwrap();
}

const SEEDS: u64 = 3;
const HISTORY: u64 = 100;
const STATUSES: [&str; 3] = ["active", "inactive", "suspended"];

/// What an agent of a tenant did on a day.
#[derive(Clone, Debug)]
struct Usage {
    tenant: usize,
    agent: usize,
    date: NaiveDate,
    total: i64,
    failed: i64,
    time: i64,
    latency: LatencyHistogram,
}

/// A change of what a tenant pays.
#[derive(Clone, Copy, Debug)]
struct Change {
    tenant: usize,
    at: DateTime<Utc>,
    before: i64,
    after: i64,
}

impl Change {
    fn kind(&self) -> &'static str {
        match (self.before, self.after) {
            (0, _) => "started",
            (_, 0) => "cancelled",
            (before, after) if after > before => "upgraded",
            _ => "downgraded",
        }
    }
}

struct World {
    today: NaiveDate,
    tenants: Vec<(Uuid, &'static str)>,
    agents: Vec<Uuid>,
    /// Which tenant rents which agent, and how that stands.
    rented: BTreeMap<(usize, usize), &'static str>,
    usage: Vec<Usage>,
    changes: Vec<Change>,
    /// The open incidents of each tenant.
    open_incidents: BTreeMap<usize, i64>,
}

impl World {
    /// What a seed makes of the demo's tenants and agents.
    async fn of(stack: &Stack, seed: u64) -> Self {
        let pool = stack.stores.db.service();
        let mut random = Random(seed);
        let tenants: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM tenants ORDER BY id").fetch_all(&pool).await.unwrap();
        let agents: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM agents ORDER BY id").fetch_all(&pool).await.unwrap();
        let today = Utc::now().date_naive();
        let status = |random: &mut Random| STATUSES[random.below(4) % 3];
        let tenants: Vec<_> = tenants.into_iter().map(|id| (id, status(&mut random))).collect();
        let mut world = Self {
            today,
            tenants,
            agents,
            rented: BTreeMap::new(),
            usage: Vec::new(),
            changes: Vec::new(),
            open_incidents: BTreeMap::new(),
        };
        for tenant in 0..world.tenants.len() {
            for agent in 0..world.agents.len() {
                if random.below(3) > 0 {
                    world.rented.insert((tenant, agent), status(&mut random));
                    world.use_agent(&mut random, tenant, agent);
                }
            }
            world.pay(&mut random, tenant);
        }
        world
    }

    fn use_agent(&mut self, random: &mut Random, tenant: usize, agent: usize) {
        for ago in 1..=HISTORY {
            // Some days are without a request.
            if random.below(5) == 0 {
                continue;
            }
            let total = 1 + random.below(30);
            let mut latency = LatencyHistogram::default();
            let times: Vec<u32> = (0..total).map(|_| u32::try_from(random.below(20_000)).unwrap()).collect();
            times.iter().for_each(|ms| latency.record(*ms));
            self.usage.push(Usage {
                tenant,
                agent,
                date: self.today - Days::new(ago),
                total: total as i64,
                failed: random.below(total + 1) as i64,
                time: times.iter().map(|ms| i64::from(*ms)).sum(),
                latency,
            });
        }
    }

    fn pay(&mut self, random: &mut Random, tenant: usize) {
        let mut paid = 0;
        let mut days: BTreeSet<u64> = (0..random.below(6)).map(|_| 1 + random.below(400) as u64).collect();
        while let Some(ago) = days.pop_last() {
            let at = (self.today - Days::new(ago)).and_time(NaiveTime::MIN).and_utc();
            let after = [0, 49_900, 149_900, 499_900][random.below(4)];
            if after != paid {
                self.changes.push(Change { tenant, at, before: paid, after });
                paid = after;
            }
        }
    }

    /// Replaces what there is.
    async fn store(&mut self, stack: &'static Stack, random: &mut Random) {
        let sql = "TRUNCATE tenant_usage_daily, tenant_usage_totals, agent_usage_totals, platform_usage_daily,
                       subscription_events, incident_tenants, incidents, agent_requests;
                   DELETE FROM tenant_agents";
        let mut db = stack.stores.db.begin().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *db).await.unwrap();
        for (id, status) in &self.tenants {
            run(&mut db, sqlx::query("UPDATE tenants SET status = $2 WHERE id = $1").bind(*id).bind(*status)).await;
        }
        for ((tenant, agent), status) in &self.rented {
            let own = || self.usage.iter().filter(|usage| (usage.tenant, usage.agent) == (*tenant, *agent));
            let insert = "INSERT INTO tenant_agents (tenant_id, agent_id, status, total_requests, total_errors,
                              total_response_time_ms) VALUES ($1, $2, $3, $4, $5, $6)";
            let insert = sqlx::query(insert)
                .bind(self.tenants[*tenant].0)
                .bind(self.agents[*agent])
                .bind(*status)
                .bind(own().map(|usage| usage.total).sum::<i64>())
                .bind(own().map(|usage| usage.failed).sum::<i64>())
                .bind(own().map(|usage| usage.time).sum::<i64>());
            run(&mut db, insert).await;
        }
        for usage in &self.usage {
            let (buckets, counts) = usage.latency.stored();
            let insert = "INSERT INTO tenant_usage_daily (tenant_id, agent_id, date, total_requests,
                              successful_requests, failed_requests, success_rate, avg_response_time_ms,
                              total_tokens_used, latency_buckets, latency_counts)
                          VALUES ($1, $2, $3, $4, $4 - $5, $5, round(100.0 * ($4 - $5) / $4, 2), $6, 0, $7, $8)";
            let insert = sqlx::query(insert)
                .bind(self.tenants[usage.tenant].0)
                .bind(self.agents[usage.agent])
                .bind(usage.date)
                .bind(usage.total)
                .bind(usage.failed)
                .bind(usage.time as f64 / usage.total as f64)
                .bind(buckets)
                .bind(counts);
            run(&mut db, insert).await;
        }
        run(&mut db, sqlx::query("SELECT sum_up_usage(min(date), max(date)) FROM tenant_usage_daily")).await;
        for change in &self.changes {
            let insert = "INSERT INTO subscription_events (id, tenant_id, event_type, plan, mrr_before_cents,
                              mrr_after_cents, occurred_at) VALUES (gen_random_uuid(), $1, $2, 'starter', $3, $4, $5)";
            let insert = sqlx::query(insert)
                .bind(self.tenants[change.tenant].0)
                .bind(change.kind())
                .bind(change.before)
                .bind(change.after)
                .bind(change.at);
            run(&mut db, insert).await;
        }
        for _ in 0..10 {
            let (id, open) = (Uuid::new_v4(), random.below(2) == 0);
            let insert = "INSERT INTO incidents (id, severity, title, created_at, resolved_at)
                          VALUES ($1, 'error', 'x', now() - interval '1 day', CASE WHEN NOT $2 THEN now() END)";
            run(&mut db, sqlx::query(insert).bind(id).bind(open)).await;
            let hit: BTreeSet<usize> = (0..3).map(|_| random.below(self.tenants.len())).collect();
            for tenant in hit {
                let insert = "INSERT INTO incident_tenants (incident_id, tenant_id) VALUES ($1, $2)";
                run(&mut db, sqlx::query(insert).bind(id).bind(self.tenants[tenant].0)).await;
                *self.open_incidents.entry(tenant).or_default() += i64::from(open);
            }
        }
        db.commit().await.unwrap();
    }

    /// What was used, of what `wanted` admits.
    fn sum(&self, wanted: impl Fn(&Usage) -> bool) -> Sum {
        let mut sum = Sum::default();
        for usage in self.usage.iter().filter(|usage| wanted(usage)) {
            sum.total += usage.total;
            sum.failed += usage.failed;
            sum.time += usage.time;
            sum.tenants.insert(usage.tenant);
            sum.latency.merge(&usage.latency);
        }
        sum
    }

    fn since(&self, days: u64) -> NaiveDate {
        self.today - Days::new(days)
    }

    fn mrr(&self, until: NaiveDate, tenant: Option<usize>) -> i64 {
        let until = until.and_time(NaiveTime::MIN).and_utc();
        let own = self.changes.iter().filter(|change| tenant.is_none_or(|tenant| change.tenant == tenant));
        own.filter(|change| change.at < until).map(|change| change.after - change.before).sum()
    }
}

#[derive(Default)]
struct Sum {
    total: i64,
    failed: i64,
    time: i64,
    tenants: BTreeSet<usize>,
    latency: LatencyHistogram,
}

impl Sum {
    fn success_rate(&self) -> f64 {
        if self.total == 0 { 0.0 } else { 100.0 * (self.total - self.failed) as f64 / self.total as f64 }
    }

    fn average(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.time as f64 / self.total as f64 }
    }
}

/// Shown with two decimals.
fn close(shown: &Value, expected: f64, what: &str) {
    let shown = shown.as_f64().unwrap_or_else(|| panic!("{what} is {shown}"));
    assert!((shown - expected).abs() < 0.0051, "{what} is {shown}, and {expected} by the oracle");
}

async fn compare_tenant(client: &Client, world: &World, tenant: usize) {
    let (id, _) = world.tenants[tenant];
    let own = |days| world.sum(|usage| usage.tenant == tenant && usage.date >= world.since(days));
    let at = format!("tenant {tenant}");

    let me = body(client, &format!("/tenant/me?tenant_id={id}")).await;
    let month = world.today.with_day(1).unwrap();
    let this_month = world.sum(|usage| usage.tenant == tenant && usage.date >= month);
    assert_eq!(me["usage"]["requests_this_month"], this_month.total, "{at}");
    let active = world.rented.iter().filter(|((t, _), status)| *t == tenant && **status == "active").count();
    assert_eq!(me["usage"]["active_agents"], active, "{at}");

    let agents = body(client, &format!("/tenant/agents?tenant_id={id}&status=all")).await;
    assert_eq!(
        agents["agents"].as_array().unwrap().len(),
        world.rented.keys().filter(|(t, _)| *t == tenant).count()
    );
    let all_time = body(client, &format!("/internal/tenants/{id}/agents")).await;
    let page = body(client, &format!("/internal/tenants/{id}")).await;
    for (shown, days, member) in [
        (&agents, 30, "usage_last_30_days"),
        (&page, 30, "usage_last_30_days"),
        (&all_time, HISTORY, "usage_stats"),
    ] {
        for agent in shown["agents"].as_array().unwrap() {
            let index = world.agents.iter().position(|id| agent["id"] == id.to_string()).unwrap();
            let expected = world
                .sum(|usage| (usage.tenant, usage.agent) == (tenant, index) && usage.date >= world.since(days));
            let usage = &agent[member];
            let at = format!("{at}, agent {index}, {member}");
            assert_eq!(usage["total_requests"], expected.total, "{at}");
            close(&usage["success_rate"], expected.success_rate(), &at);
            if usage.get("avg_response_time_ms").is_some() {
                close(&usage["avg_response_time_ms"], expected.average(), &at);
            }
        }
    }
    let summary = &page["usage_summary"];
    assert_eq!(summary["requests_last_7_days"], own(7).total, "{at}");
    assert_eq!(summary["requests_last_30_days"], own(30).total, "{at}");
    close(&summary["success_rate_last_30_days"], own(30).success_rate(), &at);
}

async fn compare_platform(client: &Client, world: &World) {
    let listed = body(client, "/internal/tenants?status=all&limit=100").await;
    for shown in listed["tenants"].as_array().unwrap() {
        let tenant = world.tenants.iter().position(|(id, _)| shown["id"] == id.to_string()).unwrap();
        let expected = world.sum(|usage| usage.tenant == tenant && usage.date >= world.since(30));
        assert_eq!(shown["requests_last_30_days"], expected.total, "tenant {tenant}");
        close(&shown["success_rate_last_30_days"], expected.success_rate(), "success_rate_last_30_days");
        assert_eq!(
            shown["open_incidents"],
            world.open_incidents.get(&tenant).copied().unwrap_or(0),
            "tenant {tenant}"
        );
    }
    for (period, days) in [("7d", 7), ("30d", 30), ("90d", 90)] {
        let overview = body(client, &format!("/internal/usage/overview?period={period}")).await;
        let whole = world.sum(|usage| usage.date >= world.since(days));
        let global = &overview["global_stats"];
        assert_eq!(global["total_requests"], whole.total, "{period}");
        close(&global["global_success_rate"], whole.success_rate(), period);
        close(&global["avg_response_time_ms"], whole.average(), period);
        close(&global["p95_response_time_ms"], whole.latency.percentile(95).unwrap(), period);
        let active = world.tenants.iter().filter(|(_, status)| *status == "active").count();
        assert_eq!(global["active_tenants"], active, "{period}");
        let deployed = world.rented.values().filter(|status| **status == "active").count();
        assert_eq!(global["total_agents_deployed"], deployed, "{period}");
        for agent in overview["top_agents_by_usage"].as_array().unwrap() {
            let index = world.agents.iter().position(|id| agent["agent_id"] == id.to_string()).unwrap();
            let expected = world.sum(|usage| usage.agent == index && usage.date >= world.since(days));
            assert_eq!(agent["total_requests"], expected.total, "{period}, agent {index}");
            let deployed =
                world.rented.iter().filter(|((_, a), status)| *a == index && **status == "active").count();
            assert_eq!(agent["deployed_count"], deployed, "{period}, agent {index}");
        }
        let mut busiest: Vec<i64> = (0..world.tenants.len())
            .map(|tenant| world.sum(|usage| usage.tenant == tenant && usage.date >= world.since(days)).total)
            .filter(|total| *total > 0)
            .collect();
        busiest.sort_unstable_by(|a, b| b.cmp(a));
        busiest.truncate(10);
        let shown = overview["top_tenants_by_usage"].as_array().unwrap();
        assert_eq!(shown.iter().map(|one| one["total_requests"].as_i64().unwrap()).collect::<Vec<_>>(), busiest);
        for trend in overview["daily_trends"].as_array().unwrap() {
            let day: NaiveDate = trend["date"].as_str().unwrap().parse().unwrap();
            let of_day = world.sum(|usage| usage.date == day);
            assert_eq!(trend["total_requests"], of_day.total, "{day}");
            assert_eq!(trend["active_tenants"], of_day.tenants.len(), "{day}");
            close(&trend["success_rate"], of_day.success_rate(), "success_rate of a day");
        }
    }
}

async fn compare_revenue(client: &Client, world: &World) {
    for (period, days) in [("7d", 7), ("30d", 30), ("90d", 90)] {
        let billing = body(client, &format!("/internal/billing/overview?period={period}")).await;
        let summary = &billing["financial_summary"];
        let (opening, closing) = (world.mrr(world.since(days), None), world.mrr(world.today, None));
        close(&summary["total_mrr"], closing as f64 / 100.0, "total_mrr");
        let paying = (0..world.tenants.len()).filter(|tenant| world.mrr(world.today, Some(*tenant)) > 0).count();
        let average = if paying == 0 { 0.0 } else { closing as f64 / 100.0 / paying as f64 };
        close(&summary["avg_mrr_per_tenant"], average, "avg_mrr_per_tenant");
        let begin = world.since(days).and_time(NaiveTime::MIN).and_utc();
        let end = world.today.and_time(NaiveTime::MIN).and_utc();
        let churned: i64 = world
            .changes
            .iter()
            .filter(|change| change.after == 0 && change.at >= begin && change.at < end)
            .map(|change| change.before)
            .sum();
        close(&summary["churned_mrr_this_period"], churned as f64 / 100.0, "churned_mrr_this_period");
        let rate = if opening == 0 { 0.0 } else { (100.0 * churned as f64 / opening as f64).min(100.0) };
        close(&summary["churn_rate"], rate, "churn_rate");
    }
}

#[test]
fn every_figure_is_the_oracles() {
    with_stack(|stack| async move {
        for seed in 0..SEEDS {
            let mut world = World::of(stack, seed).await;
            world.store(stack, &mut Random(seed + 1_000)).await;
            // One that has kept nothing of the last.
            let client = stack.serve().await;
            for tenant in 0..world.tenants.len() {
                compare_tenant(&client, &world, tenant).await;
            }
            compare_platform(&client, &world).await;
            compare_revenue(&client, &world).await;
        }
    });
}
