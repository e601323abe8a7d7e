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
}
