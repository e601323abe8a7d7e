//! Times as they are shown.

use painel_shared::time::{Timestamp, to_text};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// An instant: RFC 3339 in UTC, with three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, ToSchema)]
#[schema(value_type = String, format = DateTime)]
#[sqlx(transparent)]
pub struct Time(Timestamp);

impl Time {
    /// The instant itself.
    pub fn instant(self) -> Timestamp {
        self.0
    }

    /// Microseconds since 1970: all that PostgreSQL knows of an instant.
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_text(self.0))
    }
}
