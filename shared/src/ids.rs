//! Identifiers, one type each, so that none is taken for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares a UUID newtype that reads and writes as its hyphenated string.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The UUID itself, for a database parameter.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

id!(
    /// A customer.
    TenantId
);
id!(
    /// An agent of the catalogue, as `/tenant/agents` names it.
    AgentId
);
id!(
    /// A tenant's integration.
    IntegrationId
);
id!(
    /// An operational command: a UUID v7, so that ids sort by time of creation.
    CommandId
);
id!(
    /// One rollup run: a UUID v7.
    RunId
);
id!(
    /// One publishing of a job. A retry of the same message keeps it.
    JobId
);
id!(
    /// One claim of a command: fresh each time, so that a duplicate delivery inside one process is
    /// not taken for the holder.
    LeaseOwner
);

impl JobId {
    /// A fresh id for a job about to be published.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl LeaseOwner {
    /// A fresh owner for one claim.
    pub fn fresh() -> Self {
        Self(Uuid::new_v4())
    }
}
