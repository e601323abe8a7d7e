//! The work queues there are: one a command type, and that of the rollups.

use super::CommandType;
use crate::work_queue::WorkQueue;

impl WorkQueue {
    /// Every work queue.
    pub fn all() -> impl Iterator<Item = Self> {
        CommandType::all().map(CommandType::queue).chain([Self::METRICS_ROLLUP])
    }

    /// The queue of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|queue| queue.name() == name)
    }

    /// The names of all queues as one text, for messages.
    pub fn names() -> String {
        Self::all().map(Self::name).collect::<Vec<_>>().join(", ")
    }
}
