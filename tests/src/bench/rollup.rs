//! The rollup of a day beside the plain design and beside the bare reading of its requests.

use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate, Utc};
use painel_shared::{
    config::DatabaseConfig,
    db::Database,
    dispatch,
    rollup::{self, RunClaim, RunState},
    trace::TraceContext,
};
use painel_workers::rollup::{Limits, Rolled, roll_up};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, postgres::PgPoolCopyExt};

use super::median;
use crate::{
    fleet::Fleet,
    postgres::Postgres,
    random::Random,
    stack::{POSTGRES_VARIABLE, Stack, with_stack_and},
    wait::eventually,
};

/// A quarter of a small server's memory, as PostgreSQL's manual advises (20.4.1); all else is as Debian ships it.
const SETTINGS: &str = "-c shared_buffers=2GB";
/// How often each is measured.
const TIMES: usize = 7;
/// How long one measurement may take.
const LONG: Duration = Duration::from_secs(3600);
/// How many rows one piece of a COPY holds.
const PIECE: u64 = 20_000;
const AGENTS_OF_A_TENANT: u64 = 10;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// Requests a day.
    #[arg(long, default_value_t = 1_000_000)]
    pub rows_per_day: u64,
    /// Where more than one, ours is also measured with 1, 10 and 30 days held, as far as they are not more than these.
    #[arg(long, default_value_t = 1)]
    pub days: u64,
    /// How many agents of tenants make the requests.
    #[arg(long, default_value_t = 1_000)]
    pub pairs: u64,
    /// Instead, measure the peak memory of a rollup worker's process over one day.
    #[arg(long)]
    pub memory: bool,
}

/// Measures in a PostgreSQL of its own, and prints.
pub fn run(load: Load) {
    let postgres = Postgres::start_with(SETTINGS);
    let url = postgres.url();
    let set = [(POSTGRES_VARIABLE, url.as_str()), ("PAINEL_DATABASE_TIMEOUT_MS", "3600000")];
    with_stack_and(&set, async |stack| {
        let bench = Bench::new(stack.stores.db.clone(), load);
        bench.make_agents().await;
        if load.memory {
            bench.measure_memory(stack).await;
        } else {
            bench.measure().await;
            if load.days > 1 {
                measure_held(stack, &url, load).await;
            }
        }
    });
}

/// Ours with more and more days held, each number of days in a database of its own, by turns.
async fn measure_held(stack: &Stack, server: &str, load: Load) {
    let server = server.trim_end_matches("postgres");
    let open = async |name: &str| {
        let vars = stack.vars.clone().overridden_by([("PAINEL_DATABASE_URL", format!("{server}{name}"))]);
        Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap()
    };
    let mut admin = PgConnection::connect(&format!("{server}postgres")).await.unwrap();
    admin.execute("CREATE DATABASE held").await.unwrap();
    let held = open("held").await;
    held.migrate().await.unwrap();
    Bench::new(held.clone(), load).make_agents().await;
    held.close().await;
    let mut benches = Vec::new();
    let mut loaded = 0;
    for days in [1, 10, 30].into_iter().filter(|days| *days <= load.days) {
        let held = open("held").await;
        let bench = Bench::new(held.clone(), load);
        while loaded < days {
            let day = bench.last - Days::new(loaded);
            bench.load_day(day).await;
            bench.ours(day).await;
            loaded += 1;
        }
        bench.execute("ANALYZE tenant_usage_daily, tenant_agents".to_owned()).await;
        // A database that somebody is connected to cannot be copied.
        held.close().await;
        let copy = format!("CREATE DATABASE held_{days} TEMPLATE held STRATEGY FILE_COPY");
        admin.execute(AssertSqlSafe(copy)).await.unwrap();
        benches.push((days, Bench::new(open(&format!("held_{days}")).await, load), Vec::new()));
    }
    for _ in 0..TIMES {
        for (_, bench, times) in &mut benches {
            times.push(bench.ours(bench.last).await);
        }
    }
    println!("{} requests of a day, by days held; medians of {TIMES}, by turns:", load.rows_per_day);
    let mut first = None;
    for (days, _, times) in benches {
        let time = median(times).as_secs_f64();
        let ratio = time / *first.get_or_insert(time);
        println!("  {days:>2} days {:>9.0} ms, {ratio:.2} times the first", time * 1e3);
    }
}

/// One database, and what is measured in it.
struct Bench {
    database: Database,
    load: Load,
    /// The day that is measured; the other days are before it.
    last: NaiveDate,
}

impl Bench {
    fn new(database: Database, load: Load) -> Self {
        Self { database, load, last: Utc::now().date_naive() - Days::new(5) }
    }

    fn pool(&self) -> PgPool {
        self.database.service()
    }

    async fn execute(&self, sql: String) {
        sqlx::query(AssertSqlSafe(sql)).execute(&self.pool()).await.unwrap();
    }

    async fn make_agents(&self) {
        let tenants = self.load.pairs.div_ceil(AGENTS_OF_A_TENANT);
        for sql in [
            format!(
                "INSERT INTO tenants (id, name, cnpj, segment, plan) SELECT md5('bench ' || n)::uuid, 'Bench ' || n,
                 lpad(n::text, 12, '0') || cnpj_check_digits(lpad(n::text, 12, '0')), 'bench', 'starter' FROM generate_series(1, {tenants}) n"
            ),
            format!(
                "INSERT INTO agents (id, name, segment) SELECT md5('bench agent ' || n)::uuid, 'Bench agent ' || n, 'bench'
                 FROM generate_series(1, {AGENTS_OF_A_TENANT}) n"
            ),
            format!(
                "INSERT INTO tenant_agents (tenant_id, agent_id) SELECT md5('bench ' || 1 + n / {AGENTS_OF_A_TENANT})::uuid,
                 md5('bench agent ' || 1 + n % {AGENTS_OF_A_TENANT})::uuid FROM generate_series(0, {} - 1) n",
                self.load.pairs
            ),
            "CREATE TABLE plain_requests (id uuid NOT NULL, tenant_id uuid NOT NULL, agent_id uuid NOT NULL,
             response_time_ms integer NOT NULL, tokens_used integer NOT NULL, status request_status NOT NULL,
             created_at timestamptz NOT NULL)"
                .to_owned(),
            "CREATE TABLE plain_daily (tenant_id uuid, agent_id uuid, date date, total_requests bigint,
             successful_requests bigint, failed_requests bigint, avg_response_time_ms double precision,
             p95 double precision, total_tokens_used bigint, PRIMARY KEY (tenant_id, agent_id, date))"
                .to_owned(),
        ] {
            self.execute(sql).await;
        }
    }

    /// Loads a day by COPY, in the order of its requests: agents and response times at random, most short and few long.
    async fn load_day(&self, day: NaiveDate) {
        let ids: Vec<i32> = sqlx::query_scalar(
            "SELECT ta.id FROM tenant_agents ta JOIN agents a ON a.id = ta.agent_id
                                                WHERE a.segment = 'bench' ORDER BY ta.id",
        )
        .fetch_all(&self.pool())
        .await
        .unwrap();
        sqlx::query("SELECT ensure_agent_requests_partitions($1, $1)")
            .bind(day)
            .execute(&self.pool())
            .await
            .unwrap();
        let copy =
            "COPY agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at) FROM STDIN";
        let mut into = self.pool().copy_in_raw(copy).await.unwrap();
        let mut random = Random(day.to_string().bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte)));
        let mut row = 0;
        while row < self.load.rows_per_day {
            let mut piece = String::new();
            for row in row..(row + PIECE).min(self.load.rows_per_day) {
                let second = row * 86_400 / self.load.rows_per_day;
                piece.push_str(&request(&mut random, &ids, day, second));
            }
            into.send(piece.into_bytes()).await.unwrap();
            row += PIECE;
        }
        into.finish().await.unwrap();
        let partition = rollup::partition(day);
        self.execute(format!("VACUUM (ANALYZE) {partition}")).await;
    }

    async fn measure(&self) {
        let rows = self.load.rows_per_day;
        self.load_day(self.last).await;
        let partition = rollup::partition(self.last);
        self.execute(format!(
            "INSERT INTO plain_requests SELECT gen_random_uuid(), ta.tenant_id, ta.agent_id, r.response_time_ms, r.tokens_used,
             r.status, r.created_at FROM {partition} r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id"
        ))
        .await;
        self.execute("VACUUM (ANALYZE) plain_requests".to_owned()).await;
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..TIMES {
            times[0].push(self.plain("avg(response_time_ms), NULL::double precision").await);
            times[1].push(self.plain("NULL, percentile_disc(0.95) WITHIN GROUP (ORDER BY response_time_ms)").await);
            times[2].push(self.ours(self.last).await);
            times[3].push(self.floor(&partition).await);
        }
        let [plain, percentile, ours, floor] = times.map(median);
        println!("{rows} requests of a day, {} agents of tenants; medians of {TIMES}, by turns:", self.load.pairs);
        for (what, time) in [
            ("(a) plain, one statement, averages", plain),
            ("(b) plain, one statement, percentile_disc", percentile),
            ("(c) ours, with histograms, counters, run", ours),
            ("(d) bare count of the day's partition", floor),
        ] {
            let per_second = rows as f64 / time.as_secs_f64();
            println!("  {what:<44} {:>9.0} ms {per_second:>12.0} rows/s", time.as_secs_f64() * 1e3);
        }
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        println!(
            "ours is {:.2} times as fast as (a) and {:.2} times as fast as (b), and takes {:.2} times the time of (d)",
            ratio(plain, ours),
            ratio(percentile, ours),
            ratio(ours, floor)
        );
    }

    async fn plain(&self, figures: &str) -> Duration {
        let day = self.last;
        let began = Instant::now();
        self.execute(format!(
            "INSERT INTO plain_daily SELECT tenant_id, agent_id, '{day}', count(*),
                 count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status <> 'success'), {figures},
                 sum(tokens_used)
             FROM plain_requests WHERE DATE(created_at) = '{day}' GROUP BY tenant_id, agent_id
             ON CONFLICT (tenant_id, agent_id, date) DO UPDATE
             SET total_requests = excluded.total_requests, successful_requests = excluded.successful_requests,
                 failed_requests = excluded.failed_requests, avg_response_time_ms = excluded.avg_response_time_ms,
                 p95 = excluded.p95, total_tokens_used = excluded.total_tokens_used"
        ))
        .await;
        began.elapsed()
    }

    /// From the claim of a run to its end, as a worker carries it out.
    async fn ours(&self, day: NaiveDate) -> Duration {
        let pool = self.pool();
        let runs = rollup::request(&self.database, &[day], None, "bench", TraceContext::root()).await.unwrap();
        let began = Instant::now();
        let claimed = rollup::claim(&pool, runs[0].id, LONG).await.unwrap();
        let RunClaim::Held(run, holder) = claimed else { panic!("{claimed:?}") };
        let rolled = roll_up(&self.database, &run, holder, Limits::of(LONG)).await.unwrap();
        let took = began.elapsed();
        let Rolled::Done { rows_read, .. } = rolled else { panic!("{rolled:?}") };
        assert_eq!(rows_read.unsigned_abs(), self.load.rows_per_day);
        took
    }

    async fn floor(&self, partition: &str) -> Duration {
        let began = Instant::now();
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {partition}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool()).await.unwrap();
        assert_eq!(count.unsigned_abs(), self.load.rows_per_day);
        began.elapsed()
    }

    /// A worker's process rolls the day up; what the kernel says of its memory.
    async fn measure_memory(&self, stack: &'static Stack) {
        self.load_day(self.last).await;
        let mut fleet = Fleet::new(stack);
        fleet.start("painel-metrics-rollup-worker");
        let runs =
            rollup::request(&self.database, &[self.last], None, "bench", TraceContext::root()).await.unwrap();
        dispatch::publish_run(&stack.stores, &runs[0]).await;
        let run = eventually("the day to be rolled up", LONG, || async {
            let run = rollup::find(&self.pool(), runs[0].id).await.unwrap().unwrap();
            (run.state == RunState::Succeeded).then_some(run)
        })
        .await;
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", fleet.id("painel-metrics-rollup-worker"))).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
        let (rows, groups) = (run.rows_read.unwrap(), run.groups_written.unwrap());
        println!(
            "{rows} requests of {groups} agents of tenants in {} ms; peak memory of the worker: {peak}",
            run.duration_ms.unwrap()
        );
    }
}

/// A line for COPY.
fn request(random: &mut Random, agents: &[i32], day: NaiveDate, second: u64) -> String {
    let agent = agents[random.below(agents.len())];
    // The cube of a number from 0 to 1: most are short.
    let part = (random.number() >> 11) as f64 / (1_u64 << 53) as f64;
    let ms = 20.0 + 4_000.0 * part.powi(3);
    let status = match random.number() % 100 {
        0..96 => "success",
        96..99 => "error",
        _ => "timeout",
    };
    let tokens = random.number() % 2_000;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{agent}\t{ms:.0}\t{tokens}\t{status}\t{day} {hour:02}:{minute:02}:{second:02}+00\n")
}
