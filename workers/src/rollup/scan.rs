//! Reading a day's raw requests.
//!
//! PostgreSQL groups them by agent and sends each agent's samples as one string of bytes; they are counted here, and
//! their times into buckets, which is many times faster than grouping by bucket there. Before PostgreSQL 16 it does
//! not do that in parallel, so a day is read in pieces over two connections.
//!
//! A day is best read from its index, which has the agents in order: each agent is sent as soon as it has been read.
//! Where vacuum has not yet been, the index alone does not tell which rows there are; then the tables are read as they
//! stand, and their agents are gathered by hashing.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use painel_shared::{histogram::LatencyHistogram, ids::TenantId, time::Timestamp};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Row, pool::PoolConnection, postgres::PgRow};
use tokio::sync::mpsc;

/// Agents' usage, each agent once.
pub(super) type Usages<'c> = BoxStream<'c, Result<Usage, sqlx::Error>>;

/// What one agent of a tenant did on the day.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// The surrogate of the tenant's agent.
    pub(super) tenant_agent: i32,
    pub(super) total: i64,
    pub(super) failed: i64,
    /// The sum of all response times, in milliseconds.
    pub(super) time: i64,
    pub(super) tokens: i64,
    pub(super) last_request_at: Option<Timestamp>,
    pub(super) latency: LatencyHistogram,
}

impl Usage {
    fn read(row: &PgRow, buckets: &Buckets) -> Result<Self, sqlx::Error> {
        let samples: &[u8] = row.try_get(1)?;
        let mut usage = Self { tenant_agent: row.try_get(0)?, last_request_at: row.try_get(2)?, ..Self::default() };
        buckets.count(samples, &mut usage);
        Ok(usage)
    }
}

/// The buckets of the times that come often, looked up instead of computed.
pub(super) struct Buckets(Vec<i16>);

/// Times below this many milliseconds are looked up.
const LOOKED_UP: u32 = 1 << 16;

impl Buckets {
    pub(super) fn new() -> Self {
        Self((0..LOOKED_UP).map(LatencyHistogram::bucket).collect())
    }

    /// Counts requests one after the other: of each the time and the tokens, big-endian, and whether it failed.
    fn count(&self, samples: &[u8], usage: &mut Usage) {
        let mut counts = [0_u64; LatencyHistogram::BUCKETS];
        let (samples, _) = samples.as_chunks::<9>();
        for sample in samples {
            let ([time @ .., _, _, _, _, failed], [_, _, _, _, tokens @ .., _]) = (sample, sample);
            // The table's CHECKs leave no negative number.
            let ms = u32::from_be_bytes(*time);
            usage.total += 1;
            usage.time += i64::from(ms);
            usage.tokens += i64::from(u32::from_be_bytes(*tokens));
            usage.failed += i64::from(*failed);
            let looked_up = usize::try_from(ms).ok().and_then(|ms| self.0.get(ms)).copied();
            let bucket = looked_up.unwrap_or_else(|| LatencyHistogram::bucket(ms));
            if let Some(count) = usize::try_from(bucket).ok().and_then(|bucket| counts.get_mut(bucket)) {
                *count += 1;
            }
        }
        for (bucket, count) in (0_i16..).zip(counts).filter(|(_, count)| *count > 0) {
            usage.latency.add(bucket, count);
        }
    }
}

/// A table of raw requests.
#[derive(Clone, Debug)]
pub(super) struct Table {
    name: String,
    /// Whether nearly all of it can be read from its index alone.
    reads_in_order: bool,
}

/// The tables that a day's requests are in; none where its partition is gone, or is no partition any more.
pub(super) async fn tables(db: &mut PgConnection, partition: &str) -> Result<Vec<Table>, sqlx::Error> {
    let tables = sqlx::query_as!(
        Table,
        r#"SELECT leaf.relid::text AS "name!",
                  c.relallvisible > 0.8 * pg_relation_size(c.oid) / current_setting('block_size')::integer
                      AS "reads_in_order!"
           FROM pg_inherits i, LATERAL pg_partition_tree(i.inhrelid) AS leaf, pg_class c
           WHERE i.inhrelid = to_regclass($1) AND i.inhparent = 'agent_requests'::regclass AND leaf.isleaf
             AND c.oid = leaf.relid
           ORDER BY 1"#,
        partition,
    );
    tables.fetch_all(db).await
}

/// Whose requests are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    All,
    Tenant(TenantId),
    /// Of the agents with surrogates up to this one.
    UpTo(i32),
    /// Of the agents with surrogates above this one.
    Above(i32),
}

/// The statement that reads a table of raw requests. The name is one that this product has made, and neither numbers
/// nor a UUID's text hold anything that could be taken for SQL.
fn statement(table: &str, whose: Whose) -> String {
    let condition = match whose {
        Whose::All => "true".to_owned(),
        Whose::Tenant(tenant) => {
            format!("tenant_agent_id = ANY (ARRAY(SELECT id FROM tenant_agents WHERE tenant_id = '{tenant}'))")
        }
        Whose::UpTo(last) => format!("tenant_agent_id <= {last}"),
        Whose::Above(last) => format!("tenant_agent_id > {last}"),
    };
    format!(
        "SELECT tenant_agent_id, string_agg(sample, NULL::bytea), max(created_at)
         FROM {table} WHERE {condition} GROUP BY tenant_agent_id"
    )
}

/// What the agents did whose requests are in that table.
pub(super) fn read<'c>(
    connection: &'c mut PgConnection,
    table: &str,
    whose: Whose,
    buckets: &'c Buckets,
) -> Usages<'c> {
    // It is planned anew each time, by how the table is now and how the connection is set.
    let rows = sqlx::query(AssertSqlSafe(statement(table, whose))).persistent(false).fetch(connection);
    rows.map(|row| row.and_then(|row| Usage::read(&row, buckets))).boxed()
}

/// A day in pieces, for several readers: each takes the next one when it is done with its last.
pub(super) struct Pieces {
    pieces: Vec<(String, Whose)>,
    next: AtomicUsize,
    in_order: bool,
}

impl Pieces {
    /// Cuts these tables into pieces, by agents where they can be read in the agents' order.
    pub(super) async fn cut(db: &mut PgConnection, tables: &[Table]) -> Result<Self, sqlx::Error> {
        let in_order = tables.iter().all(|table| table.reads_in_order);
        let agents =
            sqlx::query!(r#"SELECT min(id) AS first, max(id) AS last FROM tenant_agents"#).fetch_one(db).await?;
        let parts = match (in_order, agents.first, agents.last) {
            (true, Some(first), Some(last)) => {
                let middle = first.midpoint(last);
                // One condition each: PostgreSQL checks each for every request.
                vec![Whose::UpTo(middle), Whose::Above(middle)]
            }
            _ => vec![Whose::All],
        };
        let pieces = parts.iter().flat_map(|part| tables.iter().map(|table| (table.name.clone(), *part)));
        Ok(Self { pieces: pieces.collect(), next: AtomicUsize::new(0), in_order })
    }

    /// A connection that is set for reading them.
    async fn connect(&self, pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        // Hashing all agents in memory is many times faster than sorting their requests; and the planner does not
        // know that an index which is read alone, in order, is faster still.
        let hash = if self.in_order { "off" } else { "on" };
        let set = format!(
            "SET statement_timeout = 0; SET work_mem = '256MB'; SET max_parallel_workers_per_gather = 0; SET jit = off;
             SET enable_hashagg = {hash}"
        );
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *connection).await?;
        Ok(connection)
    }

    /// Reads pieces until there are none left, and sends what the agents did in batches of that size.
    pub(super) async fn read(
        &self,
        pool: &PgPool,
        buckets: &Buckets,
        size: usize,
        batches: mpsc::Sender<Vec<Usage>>,
    ) -> Result<(), sqlx::Error> {
        let mut connection = self.connect(pool).await?;
        let mut batch = Vec::new();
        while let Some((table, whose)) = self.pieces.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let mut usages = read(&mut connection, table, *whose, buckets);
            while let Some(usage) = usages.try_next().await? {
                batch.push(usage);
                // Who writes has ended only where it failed, and then this is not awaited any more.
                if batch.len() == size && batches.send(std::mem::take(&mut batch)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if !batch.is_empty() {
            batches.send(batch).await.ok();
        }
        Ok(())
    }
}
