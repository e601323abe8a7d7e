//! Reading a day's raw requests.
//!
//! PostgreSQL groups them by agent and sends each agent's response times as one string of bytes; they are counted
//! into buckets here, which is many times faster than grouping by bucket there. A day is split in two by agent, and
//! two connections read a half each, because before PostgreSQL 16 an aggregate
//! over bytes is not run in parallel.
//!
//! A half is best read from its index, which has the agents in order: each agent is sent as soon as it has been read.
//! Where vacuum has not yet been, the index alone does not tell which rows there are; then the half is read as it
//! stands, and its agents are gathered by hashing.

use futures::{StreamExt, stream::BoxStream};
use painel_shared::{histogram::LatencyHistogram, ids::TenantId, time::Timestamp};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row, postgres::PgRow};

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
        let times: &[u8] = row.try_get(1)?;
        let mut usage = Self {
            tenant_agent: row.try_get(0)?,
            failed: row.try_get(2)?,
            tokens: row.try_get(3)?,
            last_request_at: row.try_get(4)?,
            ..Self::default()
        };
        buckets.count(times, &mut usage);
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

    /// Counts a string of big-endian 32-bit times.
    fn count(&self, times: &[u8], usage: &mut Usage) {
        let mut counts = [0_u64; LatencyHistogram::BUCKETS];
        let (times, _) = times.as_chunks::<4>();
        for bytes in times {
            // The table's CHECK leaves no negative time.
            let ms = u32::from_be_bytes(*bytes);
            usage.total += 1;
            usage.time += i64::from(ms);
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
    pub(super) name: String,
    /// Whether nearly all of it can be read from its index alone.
    pub(super) reads_in_order: bool,
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

/// The statement that reads a table of raw requests, all of them or one tenant's. The name is one that this product
/// has made, and a UUID's text holds nothing that could be taken for SQL.
fn statement(table: &str, tenant: Option<TenantId>) -> String {
    let own = tenant.map_or_else(
        || "true".to_owned(),
        |tenant| {
            format!("tenant_agent_id = ANY (ARRAY(SELECT id FROM tenant_agents WHERE tenant_id = '{tenant}'))")
        },
    );
    format!(
        "SELECT tenant_agent_id, string_agg(int4send(response_time_ms), NULL::bytea),
                count(*) FILTER (WHERE status <> 'success'), sum(tokens_used), max(created_at)
         FROM {table} WHERE {own} GROUP BY tenant_agent_id"
    )
}

/// What the agents did whose requests are in that table.
pub(super) fn read<'c>(
    connection: &'c mut PgConnection,
    table: &str,
    tenant: Option<TenantId>,
    buckets: &'c Buckets,
) -> Usages<'c> {
    let rows = sqlx::query(AssertSqlSafe(statement(table, tenant))).fetch(connection);
    rows.map(|row| row.and_then(|row| Usage::read(&row, buckets))).boxed()
}

/// A connection of its own for the reader of that half, beside the pool: nobody who waits for the pool waits for it.
pub(super) async fn connect(pool: &PgPool, half: &Table) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    // Hashing all of a half's agents in memory is many times faster than sorting its requests; and the planner does not
    // know that an index which is read alone, in order, is faster still.
    let hash = if half.reads_in_order { "off" } else { "on" };
    let set = format!(
        "SET work_mem = '256MB'; SET max_parallel_workers_per_gather = 0; SET jit = off; SET enable_hashagg = {hash}"
    );
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection).await?;
    Ok(connection)
}
