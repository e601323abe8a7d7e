//! Time as the product stores it: UTC, to the millisecond.

use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, Utc};

/// An instant in UTC.
pub type Timestamp = DateTime<Utc>;

/// Now, cut to the millisecond, so that a time is equal to itself after a round trip through a store.
pub fn now() -> Timestamp {
    Utc::now().trunc_subsecs(3)
}

/// The UTC day it is.
pub fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// RFC 3339 in UTC with exactly three decimals: sorts as text in the order of time.
pub fn to_text(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A day written as YYYY-MM-DD, of a year that every store knows.
pub fn day(text: &str) -> Option<NaiveDate> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    ((2000..=9999).contains(&day.year()) && text.len() == 10).then_some(day)
}

/// Serde for a [`Timestamp`] as fixed-width text; use with `#[serde(with = "millis")]`.
pub mod millis {
    use chrono::SubsecRound;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Timestamp, to_text};

    /// Writes the time with three decimals.
    pub fn serialize<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&to_text(*at))
    }

    /// Reads any RFC 3339 time, cut to the millisecond: what is read is what would be written.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(from).map(|at| at.trunc_subsecs(3))
    }

    /// The same for a time that may be absent.
    pub mod option {
        use chrono::SubsecRound;
        use serde::{Deserialize, Deserializer, Serializer};

        use super::{Timestamp, to_text};

        /// Writes the time with three decimals, or nothing.
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => out.serialize_some(&to_text(*at)),
                None => out.serialize_none(),
            }
        }

        /// Reads any RFC 3339 time, or nothing.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
            let at: Option<Timestamp> = Option::deserialize(from)?;
            Ok(at.map(|at| at.trunc_subsecs(3)))
        }
    }
}
