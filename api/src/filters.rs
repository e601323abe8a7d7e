//! Words by which lists are narrowed.

use serde::Serialize;
use utoipa::ToSchema;

use crate::query::QueryFields;

/// Which of a thing's states is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusFilter {
    /// In use.
    Active,
    /// Given up.
    Inactive,
    /// Stopped for a while.
    Suspended,
    /// In any state.
    All,
}

impl StatusFilter {
    /// Reads `status`, by default active.
    pub fn read(fields: &mut QueryFields) -> Self {
        let words = [
            ("active", Self::Active),
            ("inactive", Self::Inactive),
            ("suspended", Self::Suspended),
            ("all", Self::All),
        ];
        fields.word("status", &words).unwrap_or(Self::Active)
    }

    /// The state, or none for all.
    pub fn wanted(self) -> Option<&'static str> {
        match self {
            Self::Active => Some("active"),
            Self::Inactive => Some("inactive"),
            Self::Suspended => Some("suspended"),
            Self::All => None,
        }
    }
}
