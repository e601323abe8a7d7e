//! Figures as they are shown: rates, averages, money.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Per cent, 0 to 100, with two decimals; 0 of nothing is 0.
pub fn rate(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { two_decimals(100.0 * float(part) / float(whole)) }
}

/// An average weighted by its counts, with two decimals; of nothing it is 0.
pub fn average(sum: f64, count: i64) -> f64 {
    if count == 0 { 0.0 } else { two_decimals(sum / float(count)) }
}

/// The average of so many that make up a sum.
pub fn average_of(sum: i64, count: i64) -> f64 {
    average(float(sum), count)
}

/// An amount of money: counted in cents, and shown in reais.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, ToSchema)]
#[schema(value_type = f64)]
#[sqlx(transparent)]
pub struct Reais(i64);

impl Reais {
    /// So many cents.
    pub fn of_cents(cents: i64) -> Self {
        Self(cents)
    }

    /// The same in cents.
    pub fn cents(self) -> i64 {
        self.0
    }

    /// A share of it, one of so many; of nobody it is nothing.
    pub fn shared_by(self, count: i64) -> f64 {
        average(float(self.0) / 100.0, count)
    }
}

impl Serialize for Reais {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(float(self.0) / 100.0)
    }
}

/// Rounded to two decimals.
pub fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Exact up to 2^53, which no count or amount here comes near.
#[expect(clippy::cast_precision_loss, reason = "counts and cents stay far below 2^53")]
fn float(number: i64) -> f64 {
    number as f64
}

/// Percentiles of response times, in milliseconds, within 2 %; null where there was no request.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Percentiles {
    /// Half of the requests took no longer.
    pub(crate) p50_response_time_ms: Option<f64>,
    /// 95 of 100 took no longer.
    pub(crate) p95_response_time_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub(crate) p99_response_time_ms: Option<f64>,
}

impl Percentiles {
    /// Those of a histogram.
    pub fn of(histogram: &painel_shared::histogram::LatencyHistogram) -> Self {
        let at = |percent| histogram.percentile(percent).map(two_decimals);
        Self { p50_response_time_ms: at(50), p95_response_time_ms: at(95), p99_response_time_ms: at(99) }
    }
}
