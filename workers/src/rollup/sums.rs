//! What a day adds up to: for each tenant, for each agent of the catalogue, and for the platform.

use std::collections::HashMap;

use chrono::NaiveDate;
use painel_shared::{histogram::LatencyHistogram, ids::TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// The sums of some rows of a day: of all of them, or of a tenant's.
pub(super) struct Sums {
    tenants: HashMap<Uuid, Requests>,
    agents: HashMap<Uuid, i64>,
    platform: Requests,
    time: i64,
    /// How often each bucket was met.
    latency: Vec<i64>,
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

impl Default for Sums {
    fn default() -> Self {
        Self {
            tenants: HashMap::new(),
            agents: HashMap::new(),
            platform: Requests::default(),
            time: 0,
            latency: vec![0; LatencyHistogram::BUCKETS],
        }
    }
}

impl Sums {
    /// Adds what an agent of a tenant did.
    pub(super) fn add(&mut self, tenant: Uuid, agent: Uuid, total: i64, failed: i64, time: i64) {
        self.tenants.entry(tenant).or_default().add(total, failed);
        *self.agents.entry(agent).or_default() += total;
        self.platform.add(total, failed);
        self.time += time;
    }

    /// Adds histograms, as they are stored, one after the other.
    pub(super) fn add_latency<C: Copy + Into<i64>>(&mut self, buckets: &[i16], counts: &[C]) {
        for (bucket, count) in buckets.iter().zip(counts) {
            if let Some(met) = usize::try_from(*bucket).ok().and_then(|bucket| self.latency.get_mut(bucket)) {
                *met += (*count).into();
            }
        }
    }

    /// Adds those, or takes them off.
    fn move_by(&mut self, other: &Self, sign: i64) {
        for (tenant, requests) in &other.tenants {
            self.tenants.entry(*tenant).or_default().move_by(*requests, sign);
        }
        for (agent, total) in &other.agents {
            *self.agents.entry(*agent).or_default() += sign * total;
        }
        self.tenants.retain(|_, requests| requests.total != 0);
        self.agents.retain(|_, total| *total != 0);
        self.platform.move_by(other.platform, sign);
        self.time += sign * other.time;
        for (met, moved) in self.latency.iter_mut().zip(&other.latency) {
            *met += sign * moved;
        }
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
            sums.add(tenant.uuid(), row.agent_id, row.total_requests, row.failed_requests, row.time);
            sums.add_latency(&row.latency_buckets, &row.latency_counts);
        }
        Ok(sums)
    }

    /// What a day adds up to, as it is stored; none where nothing is.
    async fn of_day(db: &mut PgConnection, day: NaiveDate) -> Result<Option<Self>, sqlx::Error> {
        let platform = sqlx::query!(
            "SELECT total_requests, successful_requests, total_response_time_ms, latency_buckets, latency_counts
             FROM platform_usage_daily WHERE date = $1",
            day,
        );
        let Some(platform) = platform.fetch_optional(&mut *db).await? else { return Ok(None) };
        let requests = Requests { total: platform.total_requests, successful: platform.successful_requests };
        let mut sums = Self { platform: requests, time: platform.total_response_time_ms, ..Self::default() };
        sums.add_latency(&platform.latency_buckets, &platform.latency_counts);
        let tenants = sqlx::query!(
            "SELECT tenant_id, total_requests, successful_requests FROM tenant_usage_totals WHERE date = $1",
            day,
        );
        for row in tenants.fetch_all(&mut *db).await? {
            let requests = Requests { total: row.total_requests, successful: row.successful_requests };
            sums.tenants.insert(row.tenant_id, requests);
        }
        let agents = sqlx::query!("SELECT agent_id, total_requests FROM agent_usage_totals WHERE date = $1", day);
        for row in agents.fetch_all(db).await? {
            sums.agents.insert(row.agent_id, row.total_requests);
        }
        Ok(Some(sums))
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

    /// Whether nothing in them is less than none.
    fn can_be(&self) -> bool {
        let requests = self.tenants.values().chain([&self.platform]);
        let counts = requests.flat_map(|requests| [requests.total, requests.successful]);
        counts.chain(self.agents.values().copied()).chain(self.latency.iter().copied()).all(|count| count >= 0)
            && self.time >= 0
    }

    /// Puts them in the place of what the day added up to before.
    pub(super) async fn write(&self, db: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
        let (tenants, requests): (Vec<Uuid>, Vec<Requests>) = self.tenants.iter().unzip();
        let (totals, successful): (Vec<i64>, Vec<i64>) =
            requests.iter().map(|requests| (requests.total, requests.successful)).unzip();
        let (agents, of_agents): (Vec<Uuid>, Vec<i64>) = self.agents.iter().unzip();
        let met = (0_i16..).zip(self.latency.iter().copied()).filter(|(_, count)| *count > 0);
        let (buckets, counts): (Vec<i16>, Vec<i64>) = met.unzip();
        sqlx::query!(
            "WITH tenants AS (
                 INSERT INTO tenant_usage_totals (tenant_id, date, total_requests, successful_requests)
                 SELECT id, $1, total, successful FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS u (id, total, successful)
                 ON CONFLICT (tenant_id, date) DO UPDATE
                 SET total_requests = excluded.total_requests, successful_requests = excluded.successful_requests
             ), quiet_tenants AS (
                 DELETE FROM tenant_usage_totals WHERE date = $1 AND tenant_id <> ALL ($2)
             ), agents AS (
                 INSERT INTO agent_usage_totals (agent_id, date, total_requests)
                 SELECT id, $1, total FROM unnest($5::uuid[], $6::bigint[]) AS u (id, total)
                 ON CONFLICT (date, agent_id) DO UPDATE SET total_requests = excluded.total_requests
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
            &agents,
            &of_agents,
            self.platform.total,
            self.platform.successful,
            self.time,
            &buckets,
            &counts,
        )
        .execute(db)
        .await?;
        Ok(())
    }
}
