//! Periods: so many closed UTC days, the last of which is yesterday.

use chrono::{Days, NaiveDate};
use painel_shared::{commands::Fault, time::today};
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::QueryFields;

/// A period that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub enum Period {
    /// Seven days.
    #[serde(rename = "7d")]
    Week,
    /// Thirty days.
    #[serde(rename = "30d")]
    Month,
    /// Ninety days.
    #[serde(rename = "90d")]
    Quarter,
}

impl Period {
    const ALL: [Self; 3] = [Self::Week, Self::Month, Self::Quarter];

    /// Reads `period`, by default 30 days.
    pub fn read(fields: &mut QueryFields) -> Self {
        let known = |text: &str| Self::ALL.into_iter().find(|period| period.as_str() == text);
        fields.optional("period", || Fault::not_one_of(Self::ALL.map(Self::as_str)), known).unwrap_or(Self::Month)
    }

    /// As asked for and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    /// Its days, both ends included.
    pub fn days(self) -> DayRange {
        DayRange::closed(match self {
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
        })
    }
}

/// Days from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DayRange {
    /// The first day.
    pub first: NaiveDate,
    /// The last day.
    pub last: NaiveDate,
}

impl DayRange {
    /// The last `count` closed days.
    pub fn closed(count: u64) -> Self {
        let today = today();
        Self { first: today - Days::new(count), last: today - Days::new(1) }
    }

    /// As many days, up to the one before the first.
    pub fn before(self) -> Self {
        let count = self.iter().count() as u64;
        Self { first: self.first - Days::new(count), last: self.first - Days::new(1) }
    }

    /// Each of its days.
    pub fn iter(self) -> impl Iterator<Item = NaiveDate> {
        self.first.iter_days().take_while(move |day| *day <= self.last)
    }
}
