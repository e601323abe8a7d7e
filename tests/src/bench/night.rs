//! How long an insert of one request waits while the night's work is done, beside the plain way of doing it.

use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate, Utc};
use painel_shared::{
    db::Database,
    rollup::{self, RunClaim},
    trace::TraceContext,
};
use painel_workers::rollup::{Limits, roll_up};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::MissedTickBehavior;

use crate::{
    postgres::Postgres,
    stack::{POSTGRES_VARIABLE, Stack, with_stack_and},
};

/// How often the night's work is tried again where it was not done.
const AGAIN: Duration = Duration::from_secs(1);
/// For how many days ahead there are to be partitions.
const AHEAD: u64 = 7;
/// A lease that no rollup here outlasts.
const LONG: Duration = Duration::from_secs(600);

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many requests a second are inserted, each by itself.
    #[arg(long, default_value_t = 200)]
    pub rate: u32,
    /// For how many seconds a reader's transaction is open.
    #[arg(long, default_value_t = 15)]
    pub reader_seconds: u64,
    /// How many days past retention are to be detached.
    #[arg(long, default_value_t = 10)]
    pub old_days: u64,
}

/// Measures in a PostgreSQL of its own, and prints.
pub fn run(load: Load) {
    println!(
        "{} inserts a second, a reader's transaction of {} s, {} days past retention:",
        load.rate, load.reader_seconds, load.old_days
    );
    for plain in [true, false] {
        let postgres = Postgres::start();
        let url = postgres.url();
        let set = [(POSTGRES_VARIABLE, url.as_str()), ("PAINEL_RAW_RETENTION_DAYS", "30")];
        with_stack_and(&set, async |stack| measure(stack, load, plain).await);
    }
}

async fn measure(stack: &Stack, load: Load, plain: bool) {
    let database = &stack.stores.db;
    let today = Utc::now().date_naive();
    let old: Vec<NaiveDate> = (1..=load.old_days).map(|n| today - Days::new(60 + n)).collect();
    for day in &old {
        settle(stack, *day).await;
    }
    let connect = async || PgConnection::connect(stack.vars.text("PAINEL_DATABASE_URL").unwrap()).await.unwrap();
    let mut reader = connect().await;
    reader.execute("BEGIN; SELECT count(*) FROM agent_requests").await.unwrap();
    let (mut writer, mut plainly) = (connect().await, connect().await);
    // As the product's own statements are limited.
    plainly.execute("SET statement_timeout = 5000").await.unwrap();
    let mut waits: Vec<Duration> = Vec::new();
    let inserting = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / load.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            // From when it was due: who waits behind another that waits, waits too.
            let due = ticks.tick().await;
            let single = "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, status)
                          SELECT min(id), 1, 'success' FROM tenant_agents";
            writer.execute(single).await.unwrap();
            waits.push(due.elapsed());
        }
    };
    let reading = async {
        tokio::time::sleep(Duration::from_secs(load.reader_seconds)).await;
        reader.execute("COMMIT").await.unwrap();
    };
    let night = async {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let done = match plain {
                true => plain_night(&mut plainly, today, &old).await.is_ok(),
                false => stack.nightly().keep_partitions().await.is_ok(),
            };
            if done {
                return (tries, began.elapsed());
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let (tries, took) = tokio::select! {
        ((tries, took), ()) = async { tokio::join!(night, reading) } => (tries, took),
        () = inserting => unreachable!("it goes on and on"),
    };
    let held = rollup::days_held(&mut database.service().acquire().await.unwrap()).await.unwrap();
    assert!(old.iter().all(|day| !held.contains(day)) && held.contains(&(today + Days::new(AHEAD))));
    waits.sort_unstable();
    let at = |part: usize| waits.get(waits.len() * part / 1000).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "  {:<8} longest wait {:>8.1} ms, p99.9 {:>8.1} ms, p50 {:>5.1} ms of {} inserts; done after {tries} tries, {:.1} s",
        if plain { "plainly" } else { "ours" },
        waits.last().copied().unwrap_or_default().as_secs_f64() * 1e3,
        at(999),
        at(500),
        waits.len(),
        took.as_secs_f64(),
    );
}

/// The night's work as it is written first: partitions made as parts of the table, and old ones taken out under its lock.
async fn plain_night(db: &mut PgConnection, today: NaiveDate, old: &[NaiveDate]) -> Result<(), sqlx::Error> {
    for day in (0..=AHEAD).map(|ahead| today + Days::new(ahead)) {
        let (name, next) = (rollup::partition(day), day + Days::new(1));
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {name} PARTITION OF agent_requests FOR VALUES FROM ('{day} 00:00Z') TO ('{next} 00:00Z')"
        );
        db.execute(AssertSqlSafe(sql)).await?;
    }
    for day in old {
        let name = rollup::partition(*day);
        let sql = format!(
            "DO $$ BEGIN
                IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('{name}')) THEN
                    LOCK TABLE agent_requests IN ACCESS EXCLUSIVE MODE;
                    ALTER TABLE agent_requests DETACH PARTITION {name};
                END IF;
             END $$"
        );
        db.execute(AssertSqlSafe(sql)).await?;
    }
    Ok(())
}

/// A day that is rolled up, with some requests.
async fn settle(stack: &Stack, day: NaiveDate) {
    let database: &Database = &stack.stores.db;
    let pool = &database.service();
    sqlx::query("SELECT ensure_agent_requests_partitions($1, $1)").bind(day).execute(pool).await.unwrap();
    sqlx::query(
        "INSERT INTO agent_requests (tenant_agent_id, response_time_ms, status, created_at)
         SELECT id, 1, 'success', $1::date + interval '1 hour' FROM tenant_agents",
    )
    .bind(day)
    .execute(pool)
    .await
    .unwrap();
    let runs = rollup::request(database, &[day], None, "bench", TraceContext::root()).await.unwrap();
    let RunClaim::Held(run, holder) = rollup::claim(pool, runs[0].id, LONG).await.unwrap() else {
        panic!("not claimed")
    };
    roll_up(database, &run, holder, Limits::of(LONG)).await.unwrap();
}
