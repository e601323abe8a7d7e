//! Reading a day's raw requests.
//!
//! PostgreSQL groups them by agent and sends each agent's response times as one string of bytes; they are counted
//! into buckets here, which is many times faster than grouping by bucket there. The partition is read in two halves
//! by two connections, because an aggregate over bytes is not run in parallel; both come in the order of agents, so
//! that they are merged as they come and little is held.

use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use painel_shared::{histogram::LatencyHistogram, ids::TenantId, time::Timestamp};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row, postgres::PgRow};

/// Agents' usage, in the order of agents.
type Usages<'c> = BoxStream<'c, Result<Usage, sqlx::Error>>;

/// What one agent of a tenant did on the day.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// The surrogate of the tenant's agent.
    pub(super) tenant_agent: i32,
    pub(super) total: i64,
    pub(super) successful: i64,
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
            successful: row.try_get(2)?,
            tokens: row.try_get(3)?,
            last_request_at: row.try_get(4)?,
            ..Self::default()
        };
        buckets.count(times, &mut usage);
        Ok(usage)
    }

    /// Takes in what another reader found of the same agent.
    fn add(&mut self, other: Self) {
        self.total += other.total;
        self.successful += other.successful;
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

/// The raw requests of a partition, all or one tenant's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The partition's name, which this product has made.
    pub(super) partition: &'a str,
    pub(super) tenant: Option<TenantId>,
}

impl Source<'_> {
    /// The statement that reads it; of the pages from the first to the last, or all of them.
    fn sql(&self, pages: Option<(i64, i64)>) -> String {
        let partition = self.partition;
        let mut conditions = Vec::new();
        if let Some((first, last)) = pages {
            conditions.push(format!("ctid >= '({first},0)'::tid AND ctid < '({last},0)'::tid"));
        }
        if let Some(tenant) = self.tenant {
            conditions.push(format!(
                "tenant_agent_id = ANY (ARRAY(SELECT id FROM tenant_agents WHERE tenant_id = '{tenant}'))"
            ));
        }
        let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        format!(
            "SELECT tenant_agent_id, string_agg(int4send(response_time_ms), ''::bytea),
                    count(*) FILTER (WHERE status = 'success'), COALESCE(sum(tokens_used), 0)::bigint, max(created_at)
             FROM {partition} WHERE {conditions} GROUP BY tenant_agent_id ORDER BY tenant_agent_id"
        )
    }

    /// Everything, over one connection, in the order of agents.
    pub(super) fn read<'c>(&self, connection: &'c mut PgConnection, buckets: &'c Buckets) -> Usages<'c> {
        usages(connection, self.sql(None), buckets)
    }

    /// Everything, over two connections of its own: the second half holds also what is added meanwhile.
    pub(super) fn read_halves<'c>(
        &self,
        [first, second]: &'c mut [PgConnection; 2],
        pages: i64,
        buckets: &'c Buckets,
    ) -> impl Stream<Item = Result<Usage, sqlx::Error>> + Send + 'c {
        /// More pages than a table can have.
        const END: i64 = u32::MAX as i64;
        let half = pages / 2;
        merge(
            usages(first, self.sql(Some((0, half))), buckets),
            usages(second, self.sql(Some((half, END))), buckets),
        )
    }
}

fn usages<'c>(connection: &'c mut PgConnection, sql: String, buckets: &'c Buckets) -> Usages<'c> {
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    rows.map(|row| row.and_then(|row| Usage::read(&row, buckets))).boxed()
}

/// Two readings in the order of agents as one.
fn merge<'c>(first: Usages<'c>, second: Usages<'c>) -> impl Stream<Item = Result<Usage, sqlx::Error>> + Send + 'c {
    let start = (first, second, None::<Usage>, None::<Usage>);
    futures::stream::try_unfold(start, |(mut first, mut second, mut left, mut right)| async move {
        // Both are asked at once: each works while the other does.
        (left, right) = futures::future::try_join(fill(left, &mut first), fill(right, &mut second)).await?;
        let next = match (left.take(), right.take()) {
            (Some(mut a), Some(b)) if a.tenant_agent == b.tenant_agent => {
                a.add(b);
                Some(a)
            }
            (Some(a), Some(b)) if a.tenant_agent < b.tenant_agent => {
                right = Some(b);
                Some(a)
            }
            (a @ Some(_), Some(b)) => {
                left = a;
                Some(b)
            }
            (a, b) => a.or(b),
        };
        Ok(next.map(|usage| (usage, (first, second, left, right))))
    })
}

/// What is held of a reading, or else its next.
async fn fill(held: Option<Usage>, from: &mut Usages<'_>) -> Result<Option<Usage>, sqlx::Error> {
    match held {
        Some(usage) => Ok(Some(usage)),
        None => from.try_next().await,
    }
}

/// A connection of its own for a reader, beside the pool: nobody who waits for the pool waits for it.
pub(super) async fn connect(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    // Hashing all of a day's agents in memory is many times faster than sorting its requests.
    let set = "SET work_mem = '256MB'; SET max_parallel_workers_per_gather = 0; SET jit = off";
    sqlx::raw_sql(set).execute(&mut connection).await?;
    Ok(connection)
}
