//! Words by which lists are narrowed.

use serde::Serialize;
use utoipa::ToSchema;

use crate::query::QueryFields;

/// Which of a thing's states is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
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

/// A plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// For a beginning.
    Starter,
    /// For most.
    Professional,
    /// For the largest.
    Enterprise,
}

impl Plan {
    /// Reads `plan`.
    pub fn read(fields: &mut QueryFields) -> Option<Self> {
        let words =
            [("starter", Self::Starter), ("professional", Self::Professional), ("enterprise", Self::Enterprise)];
        fields.word("plan", &words)
    }

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Professional => "professional",
            Self::Enterprise => "enterprise",
        }
    }
}
