//! What each read costs where there are a thousand tenants: computed anew, over different tenants.

use std::time::{Duration, Instant};

use painel::services::issuer::Role;
use reqwest::Method;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::percentile;
use crate::{
    client::Client,
    random::Random,
    stack::{Stack, with_stack_and},
};

/// A backend tells its counts at the latest so long after its last statement (PostgreSQL's source: `PGSTAT_IDLE_INTERVAL`).
const TOLD: Duration = Duration::from_secs(11);

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many tenants there are.
    #[arg(long, default_value_t = 1_000)]
    pub tenants: i32,
    /// How many agents each rents.
    #[arg(long, default_value_t = 20)]
    pub agents: i32,
    /// How many days were used.
    #[arg(long, default_value_t = 90)]
    pub days: i32,
    /// How many events are in the audit log.
    #[arg(long, default_value_t = 500_000)]
    pub events: i32,
    /// How often each endpoint is asked.
    #[arg(long, default_value_t = 200)]
    pub times: usize,
}

impl Load {
    /// As much as makes a tenant's answer worth computing, and no more.
    pub(super) fn small() -> Self {
        Self { tenants: 100, agents: 5, days: 90, events: 1_000, times: 0 }
    }
}

/// Measures in a database of its own, and prints.
pub fn run(load: Load) {
    let set = [("PAINEL_RATE_CALLER", "1000000"), ("PAINEL_RATE_TENANT", "1000000")];
    with_stack_and(&set, async |stack| measure(stack, load).await);
}

async fn measure(stack: &'static Stack, load: Load) {
    let tenants = fill(stack, load).await;
    let mut db = connect(stack).await;
    let client = stack.serve().await;
    println!("{load:?}\n");
    println!("| endpoint | p50 ms | p95 ms | rows read | buffers read |");
    println!("|---|---|---|---|---|");
    let mut random = Random(1);
    let mut before = counts(&mut db).await;
    for path in [
        "/tenant/me",
        "/tenant/agents",
        "/tenant/integrations",
        "/tenant/usage?period=90d",
        "/tenant/incidents",
        "/internal/tenants/{id}",
        "/internal/tenants/{id}/agents",
        "/internal/tenants?search=Bench%20{n}",
        "/internal/tenants?sort_by=requests_last_30_days&sort_order=desc&offset={n}",
        "/internal/usage/overview?period=90d",
        "/internal/billing/overview?period=90d",
        "/internal/operations/events?tenant_id={id}",
        "/internal/operations/events?event_type=command.failed",
        "/internal/operations/events?user_id=operator-{n}",
        "/internal/operations/aggregations",
        "/internal/operations/commands?tenant_id={id}",
    ] {
        let asked = (0..load.times).map(|_| tenants[random.below(tenants.len())]).collect::<Vec<_>>();
        let mut times = ask(stack, &client, path, &asked).await;
        let after = counts(&mut db).await;
        let each = |after: i64, before: i64| (after - before) / i64::try_from(asked.len()).unwrap();
        let (rows, buffers) = (each(after.0, before.0), each(after.1, before.1));
        println!("| {path} | {} | {} | {rows} | {buffers} |", at(&mut times, 50), at(&mut times, 95));
        before = after;
    }
    println!("\nThe plain statements of the overview, that read a row an agent of a tenant, on the same data:\n");
    println!("| statement | p50 ms | p95 ms |");
    println!("|---|---|---|");
    for (name, sql) in PLAIN {
        let mut times = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
            times.push(began.elapsed());
        }
        println!("| {name} | {} | {} |", at(&mut times, 50), at(&mut times, 95));
    }
}

/// How the platform's figures are had without the sums of each day.
const PLAIN: [(&str, &str); 3] = [
    (
        "histogram of the platform",
        "SELECT h.bucket, sum(h.count)::bigint FROM tenant_usage_daily d,
             unnest(d.latency_buckets, d.latency_counts) AS h (bucket, count)
         WHERE d.date >= current_date - 90 AND d.date < current_date GROUP BY h.bucket",
    ),
    (
        "requests and tenants a day",
        "SELECT date, sum(total_requests), count(DISTINCT tenant_id) FILTER (WHERE total_requests > 0)
         FROM tenant_usage_daily WHERE date >= current_date - 90 AND date < current_date GROUP BY date",
    ),
    (
        "busiest tenants",
        "SELECT tenant_id, sum(total_requests) FROM tenant_usage_daily
         WHERE date >= current_date - 90 AND date < current_date GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
    ),
];

/// Asks for each of these tenants, as its own user where the path is a tenant's.
async fn ask(stack: &Stack, client: &Client, path: &str, tenants: &[Uuid]) -> Vec<Duration> {
    let mut times = Vec::new();
    for (n, tenant) in tenants.iter().enumerate() {
        let own = stack.issuer.token(Role::Tenant, Some((*tenant).into())).unwrap();
        let asker = if path.starts_with("/tenant/") { &client.with_token(Some(own)) } else { client };
        let path = path.replace("{id}", &tenant.to_string()).replace("{n}", &(n % 100).to_string());
        let request = asker.request(Method::GET, &path).header("Cache-Control", "no-cache");
        let began = Instant::now();
        let answer = asker.send(request).await;
        times.push(began.elapsed());
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    times
}

fn at(times: &mut [Duration], percent: usize) -> String {
    format!("{:.1}", percentile(times, percent).as_secs_f64() * 1_000.0)
}

/// How many rows and buffers have been read in this database.
async fn counts(db: &mut PgConnection) -> (i64, i64) {
    tokio::time::sleep(TOLD).await;
    sqlx::query_as(
        "SELECT tup_returned + tup_fetched, blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

async fn connect(stack: &Stack) -> PgConnection {
    PgConnection::connect(stack.vars.text("PAINEL_DATABASE_URL").unwrap()).await.unwrap()
}

/// Makes tenants with a history; which they are.
pub(super) async fn fill(stack: &Stack, load: Load) -> Vec<Uuid> {
    let (began, mut db) = (Instant::now(), connect(stack).await);
    let Load { tenants, agents, days, events, .. } = load;
    let sql = format!(
        "INSERT INTO tenants (id, name, cnpj, segment, plan, mrr_estimate_cents)
         SELECT gen_random_uuid(), 'Bench ' || n, base || cnpj_check_digits(base), 'varejo', 'professional', 149900
         FROM generate_series(1, {tenants}) AS n, LATERAL (SELECT lpad((500000 + n)::text, 12, '0') AS base) AS b;
         INSERT INTO agents (id, name, segment)
         SELECT gen_random_uuid(), 'Bench agent ' || n, 'varejo' FROM generate_series(1, {agents}) AS n;
         INSERT INTO tenant_agents (tenant_id, agent_id)
         SELECT t.id, a.id FROM tenants t, agents a WHERE t.name LIKE 'Bench %' AND a.name LIKE 'Bench agent %';
         INSERT INTO tenant_users (id, tenant_id, cognito_sub, email, full_name, role)
         SELECT gen_random_uuid(), t.id, format('development-tenant-%s', t.id), t.id || '@bench.example', t.name, 'admin'
         FROM tenants t WHERE t.name LIKE 'Bench %';
         INSERT INTO tenant_integrations (id, tenant_id, type, name)
         SELECT gen_random_uuid(), t.id, 'crm', 'CRM ' || n FROM tenants t, generate_series(1, 3) AS n
         WHERE t.name LIKE 'Bench %';
         INSERT INTO incidents (id, severity, title, created_at, resolved_at)
         SELECT gen_random_uuid(), 'error', 'Bench', now() - make_interval(hours => n), now() FROM generate_series(1, 500) AS n;
         INSERT INTO incident_tenants (incident_id, tenant_id)
         SELECT i.id, t.id FROM incidents i, tenants t WHERE i.title = 'Bench' AND t.name LIKE 'Bench %' AND random() < 0.05;
         INSERT INTO subscription_events (id, tenant_id, event_type, plan, mrr_before_cents, mrr_after_cents, occurred_at)
         SELECT gen_random_uuid(), t.id, k.kind, k.plan, k.before, k.after,
                now() - make_interval(days => k.ago + (random() * 80)::int)
         FROM tenants t, (VALUES ('started', 'starter', 0, 49900, 300), ('upgraded', 'professional', 49900, 149900, 100),
                                 ('downgraded', 'starter', 149900, 99900, 1)) AS k (kind, plan, before, after, ago)
         WHERE t.name LIKE 'Bench %';
         CREATE TEMP TABLE shape AS
         SELECT n, array_agg((60 + n % 40 + 3 * b)::smallint ORDER BY b) AS buckets,
                array_agg((1 + (n * 7 + b * 11) % 20)::int ORDER BY b) AS counts,
                sum(1 + (n * 7 + b * 11) % 20)::bigint AS total
         FROM generate_series(0, 199) AS n, generate_series(0, 79) AS b GROUP BY n;
         INSERT INTO tenant_usage_daily (tenant_id, agent_id, date, total_requests, successful_requests, failed_requests,
             success_rate, avg_response_time_ms, total_tokens_used, latency_buckets, latency_counts)
         SELECT ta.tenant_id, ta.agent_id, (now() AT TIME ZONE 'UTC')::date - d, s.total, s.total - s.n % 50, s.n % 50,
                round(100.0 * (s.total - s.n % 50) / s.total, 2), 300 + s.n, s.total * 400, s.buckets, s.counts
         FROM tenant_agents ta JOIN tenants t ON t.id = ta.tenant_id, generate_series(1, {days}) AS d
         JOIN shape s ON true
         WHERE t.name LIKE 'Bench %' AND s.n = (ta.id * 13 + d * 17) % 200;
         SELECT sum_up_usage(min(date), max(date)) FROM tenant_usage_daily;
         INSERT INTO operational_events (event_key, event_type, category, tenant_id, user_id, resource_type, resource_id,
             action, status, details, created_at)
         SELECT 'bench ' || n, (ARRAY['command.requested', 'command.succeeded', 'command.failed'])[1 + n % 3], 'operations',
                t.id, 'operator-' || n % 300, 'command', gen_random_uuid()::text, 'HEALTH_CHECK', 'PENDING',
                jsonb_build_object('attempt', 1), now() - make_interval(secs => n)
         FROM generate_series(1, {events}) AS n
         JOIN (SELECT id, row_number() OVER () AS place FROM tenants) t ON t.place = 1 + n % {tenants};"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut db).await.unwrap();
    println!("filled in {:.0} s", began.elapsed().as_secs_f64());
    sqlx::query_scalar("SELECT id FROM tenants WHERE name LIKE 'Bench %'").fetch_all(&mut db).await.unwrap()
}
