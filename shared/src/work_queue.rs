//! The name of a work queue. Which ones there are follows from the catalogue of command types.

use std::fmt;

use serde::{Serialize, Serializer};

/// One of the work queues; each has a dead-letter queue beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkQueue(&'static str);

impl WorkQueue {
    /// The queue that carries rollup jobs, which are no commands.
    pub const METRICS_ROLLUP: Self = Self::new("painel.metrics-rollup");

    /// A queue of that name.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name, such as `painel.health-check`.
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for WorkQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for WorkQueue {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.0)
    }
}
