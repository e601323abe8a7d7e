//! What it costs to store the raw requests, beside a plain table of the same columns: without an index, and with the one that
//! whoever reads a day of an agent would give it.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgPoolCopyExt, PgPoolOptions},
};

use super::median;
use crate::{
    random::Random,
    stack::{Stack, with_stack},
};

const CLIENTS: u32 = 16;
/// How many rows a statement of a batch has.
const BATCH: usize = 1_000;
const COLUMNS: &str = "tenant_agent_id, response_time_ms, tokens_used, status, created_at";

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many rows are inserted one by one a round.
    #[arg(long, default_value_t = 4_000)]
    pub single: usize,
    /// How many by batches of 1,000, and by COPY.
    #[arg(long, default_value_t = 100_000)]
    pub many: usize,
    /// How many rounds, each of every table.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}

/// Measures in a database of its own, and prints.
pub fn run(load: Load) {
    with_stack(async |stack| measure(stack, load).await);
}

/// Where rows go, and what that is called.
const TABLES: [(&str, &str); 3] =
    [("plain, no index", "plain_heap"), ("plain, one index", "plain_requests"), ("ours", "agent_requests")];

async fn measure(stack: &Stack, load: Load) {
    let url = stack.vars.text("PAINEL_DATABASE_URL").unwrap();
    let pool = PgPoolOptions::new().max_connections(CLIENTS).min_connections(CLIENTS).connect(url).await.unwrap();
    let columns =
        "(tenant_agent_id integer NOT NULL, response_time_ms integer NOT NULL, tokens_used integer NOT NULL,
         status request_status NOT NULL, created_at timestamptz NOT NULL)";
    let made = format!(
        "CREATE TABLE plain_heap {columns}; CREATE TABLE plain_requests {columns};
         CREATE INDEX ON plain_requests (tenant_agent_id, created_at);
         SELECT ensure_agent_requests_partitions(current_date, current_date)"
    );
    sqlx::raw_sql(AssertSqlSafe(made)).execute(&pool).await.unwrap();
    let agents: Vec<i32> = sqlx::query_scalar("SELECT id FROM tenant_agents").fetch_all(&pool).await.unwrap();
    let mut times: [[Vec<Duration>; 3]; 3] = Default::default();
    let mut random = Random(1);
    for _ in 0..load.rounds {
        let single: Vec<Request> = (0..load.single).map(|_| Request::any(&mut random, &agents)).collect();
        let many: Vec<Request> = (0..load.many).map(|_| Request::any(&mut random, &agents)).collect();
        for ((_, table), [one_by_one, batches, copied]) in TABLES.iter().zip(&mut times) {
            one_by_one.push(insert_singly(&pool, table, &single).await);
            batches.push(insert_batches(&pool, table, &many).await);
            copied.push(copy(&pool, table, &many).await);
        }
    }
    println!("{load:?}\n");
    println!(
        "| rows a second, medians of {} rounds, by turns | one by one, {CLIENTS} clients | batches of {BATCH} | COPY |",
        load.rounds
    );
    println!("|---|---|---|---|");
    let times = times.map(|table| table.map(median));
    let [_, _, ours] = times;
    for ((name, _), [one_by_one, batches, copied]) in TABLES.iter().zip(times) {
        let rate = |rows: usize, took: Duration| rows as f64 / took.as_secs_f64();
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} |",
            rate(load.single, one_by_one),
            rate(load.many, batches),
            rate(load.many, copied)
        );
    }
    for ((name, _), table) in TABLES.iter().zip(times).take(2) {
        let [one_by_one, batches, copied] =
            [0, 1, 2].map(|mode: usize| ours[mode].as_secs_f64() / table[mode].as_secs_f64());
        println!("| ours takes, times {name} | {one_by_one:.2} | {batches:.2} | {copied:.2} |");
    }
}

struct Request {
    agent: i32,
    took_ms: i32,
    tokens: i32,
    at: DateTime<Utc>,
}

impl Request {
    /// One of today, of any agent.
    fn any(random: &mut Random, agents: &[i32]) -> Self {
        let midnight = Utc::now().date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        Self {
            agent: agents[random.below(agents.len())],
            took_ms: i32::try_from(20 + random.below(2_000)).unwrap(),
            tokens: i32::try_from(random.below(4_000)).unwrap(),
            at: midnight + Duration::from_secs(random.below(86_400) as u64),
        }
    }
}

async fn insert_singly(pool: &PgPool, table: &str, rows: &[Request]) -> Duration {
    let sql = format!("INSERT INTO {table} ({COLUMNS}) VALUES ($1, $2, $3, 'success', $4)");
    let began = Instant::now();
    let share = rows.len().div_ceil(CLIENTS as usize);
    let clients = rows.chunks(share).map(async |rows| {
        let mut session = pool.acquire().await.unwrap();
        for row in rows {
            let insert = sqlx::query(AssertSqlSafe(sql.clone())).bind(row.agent).bind(row.took_ms);
            insert.bind(row.tokens).bind(row.at).execute(&mut *session).await.unwrap();
        }
    });
    join_all(clients).await;
    began.elapsed()
}

async fn insert_batches(pool: &PgPool, table: &str, rows: &[Request]) -> Duration {
    let sql = format!(
        "INSERT INTO {table} ({COLUMNS})
         SELECT a, r, t, 'success', c FROM unnest($1::int[], $2::int[], $3::int[], $4::timestamptz[]) AS u (a, r, t, c)"
    );
    let mut session = pool.acquire().await.unwrap();
    let began = Instant::now();
    for rows in rows.chunks(BATCH) {
        sqlx::query(AssertSqlSafe(sql.clone()))
            .bind(rows.iter().map(|row| row.agent).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.took_ms).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.tokens).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.at).collect::<Vec<_>>())
            .execute(&mut *session)
            .await
            .unwrap();
    }
    began.elapsed()
}

async fn copy(pool: &PgPool, table: &str, rows: &[Request]) -> Duration {
    let mut text = String::new();
    for Request { agent, took_ms, tokens, at } in rows {
        writeln!(text, "{agent}\t{took_ms}\t{tokens}\tsuccess\t{}", at.to_rfc3339()).unwrap();
    }
    let began = Instant::now();
    let mut into = pool.copy_in_raw(&format!("COPY {table} ({COLUMNS}) FROM STDIN")).await.unwrap();
    into.send(text.into_bytes()).await.unwrap();
    into.finish().await.unwrap();
    began.elapsed()
}
