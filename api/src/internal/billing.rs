//! `GET /internal/billing/overview`: what the tenants pay, and how it came to that.
//!
//! Everything comes from `subscription_events`, up to the end of the last closed day. It is added up in cents and
//! becomes reais only when it is shown, so that all figures agree to the cent.

use std::{collections::BTreeMap, ops::RangeBounds, time::Duration};

use actix_web::HttpResponse;
use chrono::{Datelike, Days, Months, NaiveDate};
use painel_shared::statement;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::{
    cache::{CacheTag, Lifetime},
    figures::{Reais, rate},
    openapi::ReadProblems,
    period::{DayRange, Period},
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
};

/// How long an answer is good.
const FIFTEEN_MINUTES: Lifetime = Lifetime::Private(Duration::from_secs(900));
/// How many calendar months are shown. No period is longer, so that their history holds every period.
const MONTHS: u32 = 12;

/// Revenue of the platform. Money is in reais; MRR is what comes in every month.
#[derive(Debug, Serialize, ToSchema)]
pub struct Billing {
    /// `7d`, `30d` or `90d`: so many closed days, ending yesterday.
    pub(crate) period: &'static str,
    pub(crate) financial_summary: FinancialSummary,
    /// Highest MRR first; only plans that someone pays for.
    pub(crate) by_plan: Vec<PlanRevenue>,
    /// Highest MRR first; only segments in which someone pays.
    pub(crate) by_segment: Vec<SegmentRevenue>,
    /// Every day of the period, also those on which nothing changed.
    pub(crate) revenue_trend: Vec<RevenueDay>,
    /// Twelve calendar months, the last of which is that of the period's last day.
    pub(crate) monthly_movements: Vec<MonthMovements>,
}

/// MRR at the end of the period, and what moved it since the period's beginning.
#[derive(Debug, Serialize, ToSchema)]
pub struct FinancialSummary {
    pub(crate) total_mrr: Reais,
    /// Twelve times the MRR.
    pub(crate) total_arr: Reais,
    /// Of the tenants that pay.
    pub(crate) avg_mrr_per_tenant: f64,
    pub(crate) new_mrr_this_period: Reais,
    pub(crate) churned_mrr_this_period: Reais,
    pub(crate) expansion_mrr_this_period: Reais,
    pub(crate) contraction_mrr_this_period: Reais,
    /// Churned MRR, per cent of the MRR at the period's beginning, and at most all of it: what came in the period may leave
    /// in it, too.
    pub(crate) churn_rate: f64,
}

/// One plan, at the end of the period.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanRevenue {
    pub(crate) plan_name: String,
    /// Tenants that pay.
    pub(crate) tenant_count: i64,
    pub(crate) total_mrr: Reais,
}

/// One segment, at the end of the period. A tenant's segment is what it is today: its history is not kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct SegmentRevenue {
    pub(crate) segment: String,
    /// Tenants that pay.
    pub(crate) tenant_count: i64,
    pub(crate) total_mrr: Reais,
}

/// One day.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevenueDay {
    pub(crate) date: NaiveDate,
    /// At the end of the day.
    pub(crate) mrr: Reais,
    /// Tenants that began to pay, also those that had paid before.
    pub(crate) new_tenants: i64,
    /// Tenants that cancelled.
    pub(crate) churned_tenants: i64,
}

/// One calendar month, UTC: opening + new + expansion - contraction - churned = closing.
#[derive(Debug, Serialize, ToSchema)]
pub struct MonthMovements {
    /// `YYYY-MM`.
    pub(crate) month: String,
    /// MRR before its first day.
    pub(crate) opening: Reais,
    /// MRR of tenants that began to pay, also of those that had paid before.
    pub(crate) new: Reais,
    /// MRR gained by upgrades.
    pub(crate) expansion: Reais,
    /// MRR lost by downgrades.
    pub(crate) contraction: Reais,
    /// MRR lost by cancellations.
    pub(crate) churned: Reais,
    /// MRR at the end of its last day, or of the period if that is earlier.
    pub(crate) closing: Reais,
}

/// The platform's revenue.
#[utoipa::path(
    get, path = "/internal/billing/overview", tag = "internal",
    params(("period" = Option<Period>, Query, description = "By default 30d.")),
    responses((status = 200, body = Billing), ReadProblems),
)]
pub async fn overview(read: Read<BillingQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// The platform's revenue on the days of a period.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BillingQuery {
    period: Period,
    days: DayRange,
}

/// What the events of some days did to MRR, in cents.
#[derive(Clone, Copy, Default)]
struct Movements {
    new: i64,
    expansion: i64,
    contraction: i64,
    churned: i64,
    /// How many tenants began to pay.
    started: i64,
    /// How many cancelled.
    cancelled: i64,
}

impl Movements {
    fn plus(self, other: &Self) -> Self {
        Self {
            new: self.new + other.new,
            expansion: self.expansion + other.expansion,
            contraction: self.contraction + other.contraction,
            churned: self.churned + other.churned,
            started: self.started + other.started,
            cancelled: self.cancelled + other.cancelled,
        }
    }

    /// By how much MRR rose: each type of event stands in one of the four.
    fn net(self) -> i64 {
        self.new + self.expansion - self.contraction - self.churned
    }
}

/// The movements of each day that had any. Whatever was before the first month stands on the day before it.
type History = BTreeMap<NaiveDate, Movements>;

/// What the tenants of one plan and segment pay, in cents.
#[derive(FromRow)]
struct Group {
    plan: String,
    segment: String,
    /// How many pay.
    tenants: i64,
    mrr: i64,
}

/// The same of several groups together.
#[derive(Clone, Copy, Default)]
struct Share {
    tenants: i64,
    mrr: i64,
}

// A tenant counts where its MRR is above zero. One whose history is broken, so that it is below, is not counted, but
// stays in the sums: they must agree with the history's.
statement!(
    GROUPS: Group =
        r#"SELECT s.plan AS "plan!", t.segment, count(*) FILTER (WHERE s.mrr > 0) AS "tenants!",
                  COALESCE(sum(s.mrr), 0)::bigint AS "mrr!"
           FROM (
               SELECT tenant_id, (array_agg(plan ORDER BY occurred_at DESC, id DESC))[1] AS plan,
                      sum(mrr_after_cents - mrr_before_cents) AS mrr
               FROM subscription_events WHERE occurred_at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
               GROUP BY tenant_id
           ) AS s JOIN tenants t ON t.id = s.tenant_id
           WHERE s.mrr <> 0 GROUP BY s.plan, t.segment"#,
    NaiveDate::MIN,
);

#[derive(FromRow)]
struct MovementsOfDay {
    date: NaiveDate,
    new: i64,
    expansion: i64,
    contraction: i64,
    churned: i64,
    started: i64,
    cancelled: i64,
}

statement!(
    HISTORY: MovementsOfDay =
        r#"SELECT GREATEST((occurred_at AT TIME ZONE 'UTC')::date, $1::date) AS "date!",
                  COALESCE(sum(rise) FILTER (WHERE event_type = 'started'), 0)::bigint AS "new!",
                  COALESCE(sum(rise) FILTER (WHERE event_type = 'upgraded'), 0)::bigint AS "expansion!",
                  COALESCE(-sum(rise) FILTER (WHERE event_type = 'downgraded'), 0)::bigint AS "contraction!",
                  COALESCE(-sum(rise) FILTER (WHERE event_type = 'cancelled'), 0)::bigint AS "churned!",
                  count(*) FILTER (WHERE event_type = 'started') AS "started!",
                  count(*) FILTER (WHERE event_type = 'cancelled') AS "cancelled!"
           FROM subscription_events, LATERAL (SELECT mrr_after_cents - mrr_before_cents AS rise) AS r
           WHERE occurred_at < ($2::date + 1)::timestamp AT TIME ZONE 'UTC' GROUP BY 1"#,
    NaiveDate::MIN,
    NaiveDate::MIN,
);

impl Query for BillingQuery {
    type Answer = Billing;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let period = Period::read(asked.by_administrator()?);
        Ok(Self { period, days: period.days() })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Platform
    }

    fn lifetime(_: &Billing) -> Lifetime {
        FIFTEEN_MINUTES
    }

    async fn compute(&self, state: &AppState) -> Result<Billing, ApiError> {
        let Self { period, days } = *self;
        // Whatever was before the first month stands on the day before it.
        let before = first_month(days) - Days::new(1);
        let batch = (GROUPS.bind([days.last.into()]), HISTORY.bind([before.into(), days.last.into()]));
        let (groups, movements) = state.stores.db.ask_as_operator(&batch).await?;
        let history: History = movements.into_iter().map(|row| (row.date, Movements::from(row))).collect();
        let paying = groups.iter().map(|group| group.tenants).sum();
        let plan = |(name, share): (&str, Share)| PlanRevenue {
            plan_name: name.to_owned(),
            tenant_count: share.tenants,
            total_mrr: Reais::of_cents(share.mrr),
        };
        let segment = |(name, share): (&str, Share)| SegmentRevenue {
            segment: name.to_owned(),
            tenant_count: share.tenants,
            total_mrr: Reais::of_cents(share.mrr),
        };
        Ok(Billing {
            period: period.as_str(),
            financial_summary: financial_summary(&history, days, paying),
            by_plan: shares(&groups, |group| group.plan.as_str()).into_iter().map(plan).collect(),
            by_segment: shares(&groups, |group| group.segment.as_str()).into_iter().map(segment).collect(),
            revenue_trend: revenue_trend(&history, days),
            monthly_movements: monthly_movements(&history, days),
        })
    }
}

impl From<MovementsOfDay> for Movements {
    fn from(row: MovementsOfDay) -> Self {
        Self {
            new: row.new,
            expansion: row.expansion,
            contraction: row.contraction,
            churned: row.churned,
            started: row.started,
            cancelled: row.cancelled,
        }
    }
}

/// The first day of the earliest month that is shown.
fn first_month(days: DayRange) -> NaiveDate {
    days.last - Days::new(days.last.day0().into()) - Months::new(MONTHS - 1)
}

/// The movements of these days together.
fn sum(history: &History, days: impl RangeBounds<NaiveDate>) -> Movements {
    history.range(days).fold(Movements::default(), |sum, (_, day)| sum.plus(day))
}

fn financial_summary(history: &History, days: DayRange, paying: i64) -> FinancialSummary {
    let opening = sum(history, ..days.first).net();
    let moved = sum(history, days.first..=days.last);
    let total = opening + moved.net();
    FinancialSummary {
        total_mrr: Reais::of_cents(total),
        total_arr: Reais::of_cents(12 * total),
        avg_mrr_per_tenant: Reais::of_cents(total).shared_by(paying),
        new_mrr_this_period: Reais::of_cents(moved.new),
        churned_mrr_this_period: Reais::of_cents(moved.churned),
        expansion_mrr_this_period: Reais::of_cents(moved.expansion),
        contraction_mrr_this_period: Reais::of_cents(moved.contraction),
        churn_rate: rate(moved.churned.min(opening), opening),
    }
}

/// The shares of all that a group's name stands for, the highest MRR first.
fn shares<'a>(groups: &'a [Group], name: impl Fn(&'a Group) -> &'a str) -> Vec<(&'a str, Share)> {
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for group in groups {
        let share = shares.entry(name(group)).or_default();
        share.tenants += group.tenants;
        share.mrr += group.mrr;
    }
    let mut shares: Vec<_> = shares.into_iter().collect();
    shares.sort_by(|(a_name, a), (b_name, b)| b.mrr.cmp(&a.mrr).then_with(|| a_name.cmp(b_name)));
    shares
}

fn revenue_trend(history: &History, days: DayRange) -> Vec<RevenueDay> {
    let mut mrr = sum(history, ..days.first).net();
    let trend = days.iter().map(|date| {
        let day = history.get(&date).copied().unwrap_or_default();
        mrr += day.net();
        RevenueDay { date, mrr: Reais::of_cents(mrr), new_tenants: day.started, churned_tenants: day.cancelled }
    });
    trend.collect()
}

fn monthly_movements(history: &History, days: DayRange) -> Vec<MonthMovements> {
    let first = first_month(days);
    let mut closing = sum(history, ..first).net();
    let months = (0..MONTHS).map(|n| {
        let (start, next) = (first + Months::new(n), first + Months::new(n + 1));
        let moved = sum(history, start..next);
        let opening = closing;
        closing += moved.net();
        MonthMovements {
            month: start.format("%Y-%m").to_string(),
            opening: Reais::of_cents(opening),
            new: Reais::of_cents(moved.new),
            expansion: Reais::of_cents(moved.expansion),
            contraction: Reais::of_cents(moved.contraction),
            churned: Reais::of_cents(moved.churned),
            closing: Reais::of_cents(closing),
        }
    });
    months.collect()
}
