//! What a day adds up to: for each tenant, for each agent of the catalogue, and for the platform.

use std::collections::HashMap;

use chrono::NaiveDate;
use painel_shared::histogram::LatencyHistogram;
use sqlx::PgConnection;
use uuid::Uuid;

/// The sums of what a run has written, where that is all of its day.
pub(super) struct Sums {
    tenants: HashMap<Uuid, Requests>,
    agents: HashMap<Uuid, i64>,
    platform: Requests,
    time: i64,
    /// How often each bucket was met.
    latency: [i64; LatencyHistogram::BUCKETS],
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
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            tenants: HashMap::new(),
            agents: HashMap::new(),
            platform: Requests::default(),
            time: 0,
            latency: [0; LatencyHistogram::BUCKETS],
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
    pub(super) fn add_latency(&mut self, buckets: &[i16], counts: &[i32]) {
        for (bucket, count) in buckets.iter().zip(counts) {
            if let Some(met) = usize::try_from(*bucket).ok().and_then(|bucket| self.latency.get_mut(bucket)) {
                *met += i64::from(*count);
            }
        }
    }

    /// Puts them in the place of what the day added up to before.
    pub(super) async fn write(&self, db: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
        let (tenants, requests): (Vec<Uuid>, Vec<Requests>) = self.tenants.iter().unzip();
        let (totals, successful): (Vec<i64>, Vec<i64>) =
            requests.iter().map(|requests| (requests.total, requests.successful)).unzip();
        let (agents, of_agents): (Vec<Uuid>, Vec<i64>) = self.agents.iter().unzip();
        let met = (0_i16..).zip(self.latency).filter(|(_, count)| *count > 0);
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

/// Adds a day up anew from its rows: what a run has written is a tenant's part of it.
pub(super) async fn sum_up(db: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT sum_up_usage($1, $1)", day).execute(db).await?;
    Ok(())
}
