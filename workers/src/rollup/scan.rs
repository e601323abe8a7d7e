//! Reading a day's raw requests.
//!
//! PostgreSQL groups them by agent and sends each agent's samples as one string of bytes; they are counted here, and
//! their times into buckets, which is many times faster than grouping by bucket there. Before PostgreSQL 16 it does
//! not do that in parallel, so a day is read in pieces over two connections.
//!
//! A day is best read from its index, which has the agents in order: each agent is sent as soon as it has been read.
//! Where vacuum has not yet been, the index alone does not tell which rows there are; then the tables are read as they
//! stand, and their agents are gathered by hashing.
//!
//! PostgreSQL makes no string of more than a gigabyte, and neither it nor this process should hold one. So of a large
//! table that is read in order, agents with very many requests are read by ranges of pages, and added up here; one that
//! is hashed is read so as a whole.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt, TryStreamExt, future::ready, stream::BoxStream};
use painel_shared::{histogram::LatencyHistogram, ids::TenantId, rollup, time::Timestamp};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Row, pool::PoolConnection, postgres::PgRow};
use tokio::sync::mpsc;

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

    /// Adds what the same agent did in another piece of the day.
    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.failed += other.failed;
        self.time += other.time;
        self.tokens += other.tokens;
        self.last_request_at = self.last_request_at.max(other.last_request_at);
        self.latency.merge(&other.latency);
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
    /// How many pages it has.
    pages: i64,
    /// Whether nearly all of it can be read from its index alone.
    reads_in_order: bool,
}

impl Table {
    /// Whether it may hold more than so many requests.
    fn is_larger_than(&self, requests: i64) -> bool {
        self.pages.saturating_mul(REQUESTS_A_PAGE) > requests
    }
}

/// No page holds more requests: each takes 60 bytes, and 4 of the page's own.
const REQUESTS_A_PAGE: i64 = 8_192 / 64;

/// The tables that a day's requests are in; none where its partition is gone, or is no partition any more.
pub(super) async fn tables(db: &mut PgConnection, partition: &str) -> Result<Vec<Table>, sqlx::Error> {
    let tables = sqlx::query_as!(
        Table,
        r#"SELECT leaf.relid::text AS "name!", pages AS "pages!", c.relallvisible > 0.8 * pages AS "reads_in_order!"
           FROM pg_inherits i, LATERAL pg_partition_tree(i.inhrelid) AS leaf, pg_class c,
                LATERAL (SELECT pg_relation_size(c.oid) / current_setting('block_size')::integer AS pages) AS size
           WHERE i.inhrelid = to_regclass($1) AND i.inhparent = 'agent_requests'::regclass AND leaf.isleaf
             AND c.oid = leaf.relid
           ORDER BY 1"#,
        partition,
    );
    tables.fetch_all(db).await
}

/// Which requests of a table.
#[derive(Clone, Debug)]
enum Which {
    All,
    Tenant(TenantId),
    /// Of the agents with surrogates up to this one.
    UpTo(i32),
    /// Of the agents with surrogates above this one.
    Above(i32),
}

impl Which {
    /// As SQL: neither numbers nor a UUID's text hold anything that could be taken for more.
    fn condition(&self) -> String {
        match self {
            Self::All => "true".to_owned(),
            Self::Tenant(tenant) => {
                format!("tenant_agent_id = ANY (ARRAY(SELECT id FROM tenant_agents WHERE tenant_id = '{tenant}'))")
            }
            Self::UpTo(last) => format!("tenant_agent_id <= {last}"),
            Self::Above(last) => format!("tenant_agent_id > {last}"),
        }
    }
}

/// What one statement reads.
#[derive(Debug)]
struct Piece {
    /// A table that this product has made.
    table: String,
    condition: String,
    /// Whether its agents may be in other pieces, too.
    is_part: bool,
}

/// A day in pieces, for several readers: each takes the next one when it is done with its last.
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    next: AtomicUsize,
    in_order: bool,
    /// What has been read so far of agents that are in several pieces.
    parts: Mutex<BTreeMap<i32, Usage>>,
}

impl Pieces {
    /// Cuts these tables into pieces, of which none brings more than `at_once` requests of one agent.
    pub(super) async fn cut(
        db: &mut PgConnection,
        tables: &[Table],
        tenant: Option<TenantId>,
        at_once: i64,
    ) -> Result<Self, sqlx::Error> {
        let in_order = tables.iter().all(|table| table.reads_in_order);
        let parts = match tenant {
            Some(tenant) => vec![Which::Tenant(tenant)],
            None if in_order => halves(db).await?,
            None => vec![Which::All],
        };
        let mut pieces = Vec::new();
        for table in tables {
            // Hashed, the samples of all agents are in memory at once.
            if !in_order && table.is_larger_than(at_once) {
                let all = tenant.map_or(Which::All, Which::Tenant).condition();
                pieces.extend(ranges(table.pages, at_once).into_iter().map(|range| Piece {
                    table: table.name.clone(),
                    condition: format!("{all} AND {range}"),
                    is_part: true,
                }));
                continue;
            }
            let heavy = heavy_agents(db, table, tenant, at_once).await?;
            let list = heavy.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            for part in &parts {
                let mut condition = part.condition();
                if !heavy.is_empty() {
                    condition = format!("{condition} AND tenant_agent_id NOT IN ({list})");
                }
                pieces.push(Piece { table: table.name.clone(), condition, is_part: false });
            }
            if !heavy.is_empty() {
                pieces.extend(ranges(table.pages, at_once).into_iter().map(|range| Piece {
                    table: table.name.clone(),
                    condition: format!("tenant_agent_id IN ({list}) AND {range}"),
                    is_part: true,
                }));
            }
        }
        Ok(Self { pieces, next: AtomicUsize::new(0), in_order, parts: Mutex::default() })
    }

    /// A connection that is set for reading them.
    async fn connect(&self, pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        // Hashing all agents in memory is many times faster than sorting their requests; and the planner does not
        // know that an index which is read alone, in order, is faster still.
        let hash = if self.in_order { "off" } else { "on" };
        let limit = rollup::TIMEOUT.as_millis();
        let set = format!(
            "SET statement_timeout = {limit}; SET work_mem = '256MB'; SET max_parallel_workers_per_gather = 0;
             SET jit = off; SET enable_hashagg = {hash}"
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
        while let Some(mut usages) = self.read_next(&mut connection, buckets) {
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

    /// The same over one connection, whose transaction is not to be left: all at once.
    pub(super) async fn read_all(
        &self,
        connection: &mut PgConnection,
        buckets: &Buckets,
    ) -> Result<Vec<Usage>, sqlx::Error> {
        let mut all = Vec::new();
        while let Some(mut usages) = self.read_next(connection, buckets) {
            while let Some(usage) = usages.try_next().await? {
                all.push(usage);
            }
        }
        Ok(all)
    }

    /// The agents that were in several pieces, once all have been read.
    pub(super) fn parts(self) -> Vec<Usage> {
        self.parts.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    /// Begins to read the next piece: what its agents did, but for those that are in others, too.
    fn read_next<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        buckets: &'c Buckets,
    ) -> Option<BoxStream<'c, Result<Usage, sqlx::Error>>> {
        let piece = self.pieces.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        let statement = format!(
            "SELECT tenant_agent_id, string_agg(sample, NULL::bytea), max(created_at)
             FROM {} WHERE {} GROUP BY tenant_agent_id",
            piece.table, piece.condition
        );
        // It is planned anew each time, by how the table is now and how the connection is set.
        let rows = sqlx::query(AssertSqlSafe(statement)).persistent(false).fetch(connection);
        let usages = rows.map(|row| row.and_then(|row| Usage::read(&row, buckets)));
        Some(match piece.is_part {
            false => usages.boxed(),
            true => usages.try_filter_map(|usage| ready(Ok(self.gather(&usage)))).boxed(),
        })
    }

    /// Adds a part to the others of its agent; nothing is left to be written of it.
    fn gather(&self, part: &Usage) -> Option<Usage> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant_agent = part.tenant_agent;
        parts.entry(tenant_agent).or_insert(Usage { tenant_agent, ..Usage::default() }).add(part);
        None
    }
}

/// All agents, in two halves by their surrogates. One condition each: PostgreSQL checks each for every request.
async fn halves(db: &mut PgConnection) -> Result<Vec<Which>, sqlx::Error> {
    let agents =
        sqlx::query!(r#"SELECT min(id) AS first, max(id) AS last FROM tenant_agents"#).fetch_one(db).await?;
    Ok(match (agents.first, agents.last) {
        (Some(first), Some(last)) => {
            let middle = first.midpoint(last);
            vec![Which::UpTo(middle), Which::Above(middle)]
        }
        _ => vec![Which::All],
    })
}

/// The agents with more than so many requests in a table. One that is too small for that is not looked at.
async fn heavy_agents(
    db: &mut PgConnection,
    table: &Table,
    tenant: Option<TenantId>,
    requests: i64,
) -> Result<Vec<i32>, sqlx::Error> {
    if !table.is_larger_than(requests) {
        return Ok(Vec::new());
    }
    let condition = tenant.map_or(Which::All, Which::Tenant).condition();
    let statement = format!(
        "SELECT tenant_agent_id FROM {} WHERE {condition} GROUP BY 1 HAVING count(*) > {requests}",
        table.name
    );
    sqlx::query_scalar(AssertSqlSafe(statement)).persistent(false).fetch_all(db).await
}

/// Ranges of a table's pages with at most so many requests each. The last one is open: more may have been added meanwhile.
fn ranges(pages: i64, requests: i64) -> Vec<String> {
    let step = (requests / REQUESTS_A_PAGE).max(1);
    let mut ranges: Vec<String> = Vec::new();
    let mut first = 0;
    while first + step < pages {
        ranges.push(format!("ctid >= '({first},0)' AND ctid < '({},0)'", first + step));
        first += step;
    }
    ranges.push(format!("ctid >= '({first},0)'"));
    ranges
}
