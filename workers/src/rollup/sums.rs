//! What a day adds up to: for each tenant, for each agent of the catalogue, and, as all agents together, for the platform.

use std::collections::HashMap;

use chrono::NaiveDate;
use painel_shared::{histogram::LatencyHistogram, ids::TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::write::place;

/// The sums of some rows of a day: of all of them, or of a tenant's.
#[derive(Default)]
pub(super) struct Sums {
    tenants: HashMap<Uuid, Requests>,
    agents: HashMap<Uuid, Work>,
}

/// How many requests there were, and how many of them were answered well.
#[derive(Clone, Copy, Default)]
struct Requests {
    total: i64,
    successful: i64,
}

impl Requests {
    fn add(&mut self, total: i64, failed: i64) {
        self.total += total;
        self.successful += total - failed;
    }

    fn move_by(&mut self, other: Self, sign: i64) {
        self.total += sign * other.total;
        self.successful += sign * other.successful;
    }
}

/// What was done: how well, and how fast.
#[derive(Clone)]
struct Work {
    requests: Requests,
    time: i64,
    /// How often each bucket was met.
    latency: Vec<i64>,
}

impl Default for Work {
    fn default() -> Self {
        Self { requests: Requests::default(), time: 0, latency: vec![0; LatencyHistogram::BUCKETS] }
    }
}

impl Work {
    /// Adds a histogram as it is stored.
    fn add_latency<C: Copy + Into<i64>>(&mut self, buckets: &[i16], counts: &[C]) {
        for (bucket, count) in buckets.iter().zip(counts) {
            if let Some(met) = usize::try_from(*bucket).ok().and_then(|bucket| self.latency.get_mut(bucket)) {
                *met += (*count).into();
            }
        }
    }

    fn move_by(&mut self, other: &Self, sign: i64) {
        self.requests.move_by(other.requests, sign);
        self.time += sign * other.time;
        for (met, moved) in self.latency.iter_mut().zip(&other.latency) {
            *met += sign * moved;
        }
    }

    /// Whether nothing in it is less than none, and every request has its time.
    fn can_be(&self) -> bool {
        let Requests { total, successful } = self.requests;
        let counts = [total, successful, self.time].into_iter().chain(self.latency.iter().copied());
        counts.min().is_some_and(|least| least >= 0) && self.latency.iter().sum::<i64>() == total
    }

    /// The buckets that were met, and how often.
    fn stored(&self) -> impl Iterator<Item = (i16, i64)> {
        (0_i16..).zip(self.latency.iter().copied()).filter(|(_, count)| *count > 0)
    }
}

/// What an agent of a tenant did on a day.
pub(super) struct Done<'a> {
    pub(super) total: i64,
    pub(super) failed: i64,
    pub(super) time: i64,
    /// Its histogram as it is stored.
    pub(super) buckets: &'a [i16],
    pub(super) counts: &'a [i32],
}

/// The agents' sums as the statement takes them.
#[derive(Default)]
struct Columns {
    agents: Vec<Uuid>,
    totals: Vec<i64>,
    successful: Vec<i64>,
    times: Vec<i64>,
    /// The histograms one after the other, and where each begins and ends.
    buckets: Vec<i16>,
    counts: Vec<i64>,
    begins: Vec<i32>,
    ends: Vec<i32>,
}

impl Columns {
    fn of(agents: &HashMap<Uuid, Work>) -> Self {
        let mut columns = Self::default();
        for (agent, work) in agents {
            columns.agents.push(*agent);
            columns.totals.push(work.requests.total);
            columns.successful.push(work.requests.successful);
            columns.times.push(work.time);
            columns.begins.push(place(&columns.buckets) + 1);
            let (buckets, counts): (Vec<i16>, Vec<i64>) = work.stored().unzip();
            columns.buckets.extend(buckets);
            columns.counts.extend(counts);
            columns.ends.push(place(&columns.buckets));
        }
        columns
    }
}

impl Sums {
    /// Adds what an agent of a tenant did, its histogram as it is stored.
    pub(super) fn add(&mut self, tenant: Uuid, agent: Uuid, done: &Done<'_>) {
        let &Done { total, failed, time, buckets, counts } = done;
        self.tenants.entry(tenant).or_default().add(total, failed);
        let work = self.agents.entry(agent).or_default();
        work.requests.add(total, failed);
        work.time += time;
        work.add_latency(buckets, counts);
    }

    /// Adds those, or takes them off.
    fn move_by(&mut self, other: &Self, sign: i64) {
        for (tenant, requests) in &other.tenants {
            self.tenants.entry(*tenant).or_default().move_by(*requests, sign);
        }
        for (agent, work) in &other.agents {
            self.agents.entry(*agent).or_default().move_by(work, sign);
        }
        self.tenants.retain(|_, requests| requests.total != 0);
        self.agents.retain(|_, work| work.requests.total != 0);
    }

    /// All agents together.
    fn platform(&self) -> Work {
        let mut platform = Work::default();
        self.agents.values().for_each(|work| platform.move_by(work, 1));
        platform
    }

    /// What a tenant's rows of a day add up to.
    pub(super) async fn of_tenant(
        db: &mut PgConnection,
        day: NaiveDate,
        tenant: TenantId,
    ) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query!(
            r#"SELECT agent_id, total_requests, failed_requests,
                      round(avg_response_time_ms * total_requests)::bigint AS "time!", latency_buckets, latency_counts
               FROM tenant_usage_daily WHERE tenant_id = $1 AND date = $2"#,
            tenant.uuid(),
            day,
        )
        .fetch_all(db)
        .await?;
        let mut sums = Self::default();
        for row in rows {
            let done = Done {
                total: row.total_requests,
                failed: row.failed_requests,
                time: row.time,
                buckets: &row.latency_buckets,
                counts: &row.latency_counts,
            };
            sums.add(tenant.uuid(), row.agent_id, &done);
        }
        Ok(sums)
    }

    /// What a day adds up to, as it is stored; none where nothing is.
    async fn of_day(db: &mut PgConnection, day: NaiveDate) -> Result<Option<Self>, sqlx::Error> {
        let mut sums = Self::default();
        let tenants = sqlx::query!(
            "SELECT tenant_id, total_requests, successful_requests FROM tenant_usage_totals WHERE date = $1",
            day,
        );
        for row in tenants.fetch_all(&mut *db).await? {
            let requests = Requests { total: row.total_requests, successful: row.successful_requests };
            sums.tenants.insert(row.tenant_id, requests);
        }
        let agents = sqlx::query!(
            "SELECT agent_id, total_requests, successful_requests, total_response_time_ms, latency_buckets, latency_counts
             FROM agent_usage_totals WHERE date = $1",
            day,
        );
        for row in agents.fetch_all(db).await? {
            let requests = Requests { total: row.total_requests, successful: row.successful_requests };
            let mut work = Work { requests, time: row.total_response_time_ms, ..Work::default() };
            work.add_latency(&row.latency_buckets, &row.latency_counts);
            sums.agents.insert(row.agent_id, work);
        }
        Ok((!sums.agents.is_empty()).then_some(sums))
    }

    /// Puts a tenant's sums in the place of what they were before, whatever the number of the others.
    pub(super) async fn replace(
        &self,
        before: &Self,
        db: &mut PgConnection,
        day: NaiveDate,
    ) -> Result<(), sqlx::Error> {
        if let Some(mut whole) = Self::of_day(db, day).await? {
            whole.move_by(before, -1);
            whole.move_by(self, 1);
            if whole.can_be() {
                return whole.write(db, day).await;
            }
        }
        // Nothing has been on the day, or it was last rolled up by a release that summed nothing up.
        sqlx::query!("SELECT sum_up_usage($1, $1)", day).execute(db).await?;
        Ok(())
    }

    /// Whether nothing in them is less than none, and tenants and agents tell the same.
    fn can_be(&self) -> bool {
        let of_tenants: i64 = self.tenants.values().map(|requests| requests.total).sum();
        let of_agents: i64 = self.agents.values().map(|work| work.requests.total).sum();
        self.tenants.values().all(|requests| requests.total >= 0 && requests.successful >= 0)
            && self.agents.values().all(Work::can_be)
            && of_tenants == of_agents
    }

    /// Puts them in the place of what the day added up to before.
    pub(super) async fn write(&self, db: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
        let (tenants, requests): (Vec<Uuid>, Vec<Requests>) = self.tenants.iter().unzip();
        let (totals, successful): (Vec<i64>, Vec<i64>) =
            requests.iter().map(|requests| (requests.total, requests.successful)).unzip();
        let columns = Columns::of(&self.agents);
        let platform = self.platform();
        let (buckets, counts): (Vec<i16>, Vec<i64>) = platform.stored().unzip();
        sqlx::query!(
            "WITH tenants AS (
                 INSERT INTO tenant_usage_totals (tenant_id, date, total_requests, successful_requests)
                 SELECT id, $1, total, successful FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS u (id, total, successful)
                 ON CONFLICT (tenant_id, date) DO UPDATE
                 SET total_requests = excluded.total_requests, successful_requests = excluded.successful_requests
             ), quiet_tenants AS (
                 DELETE FROM tenant_usage_totals WHERE date = $1 AND tenant_id <> ALL ($2)
             ), agents AS (
                 INSERT INTO agent_usage_totals (agent_id, date, total_requests, successful_requests,
                     total_response_time_ms, latency_buckets, latency_counts)
                 SELECT u.id, $1, u.total, u.successful, u.time, ($14::smallint[])[u.first:u.final],
                        ($15::bigint[])[u.first:u.final]
                 FROM unnest($5::uuid[], $6::bigint[], $12::bigint[], $13::bigint[], $16::integer[], $17::integer[])
                      AS u (id, total, successful, time, first, final)
                 ON CONFLICT (date, agent_id) DO UPDATE
                 SET total_requests = excluded.total_requests, successful_requests = excluded.successful_requests,
                     total_response_time_ms = excluded.total_response_time_ms,
                     latency_buckets = excluded.latency_buckets, latency_counts = excluded.latency_counts
             ), quiet_agents AS (
                 DELETE FROM agent_usage_totals WHERE date = $1 AND agent_id <> ALL ($5)
             ), quiet_day AS (
                 DELETE FROM platform_usage_daily WHERE date = $1 AND $7::bigint = 0
             )
             INSERT INTO platform_usage_daily (date, total_requests, successful_requests, total_response_time_ms,
                 active_tenants, latency_buckets, latency_counts)
             SELECT $1, $7, $8::bigint, $9::bigint, cardinality($2), $10::smallint[], $11::bigint[] WHERE $7 > 0
             ON CONFLICT (date) DO UPDATE
             SET total_requests = excluded.total_requests, successful_requests = excluded.successful_requests,
                 total_response_time_ms = excluded.total_response_time_ms, active_tenants = excluded.active_tenants,
                 latency_buckets = excluded.latency_buckets, latency_counts = excluded.latency_counts",
            day,
            &tenants,
            &totals,
            &successful,
            &columns.agents,
            &columns.totals,
            platform.requests.total,
            platform.requests.successful,
            platform.time,
            &buckets,
            &counts,
            &columns.successful,
            &columns.times,
            &columns.buckets,
            &columns.counts,
            &columns.begins,
            &columns.ends,
        )
        .execute(db)
        .await?;
        Ok(())
    }
}
