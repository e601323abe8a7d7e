//! Which delivery tags to acknowledge together: pure.

use std::collections::BTreeSet;

/// The deliveries of one channel that are in somebody's hands: as many as the broker hands out ahead, and no more.
#[derive(Debug, Default)]
pub struct Window {
    open: BTreeSet<u64>,
}

/// What to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Acknowledge this tag and all before it.
    pub up_to: Option<u64>,
    /// Acknowledge these one by one.
    pub single: Vec<u64>,
}

impl Window {
    /// The broker has handed this one out. It numbers its deliveries in their order.
    pub fn deliver(&mut self, tag: u64) {
        self.open.insert(tag);
    }

    /// This one was given back, which needs no acknowledgement.
    pub fn give_back(&mut self, tag: u64) {
        self.open.remove(&tag);
    }

    /// These are done with, each of which the broker still waits for. It must know the tag that it is told: one of these.
    pub fn acknowledge(&mut self, tags: &[u64]) -> Acknowledgement {
        for tag in tags {
            self.open.remove(tag);
        }
        let is_below = |tag: &u64| self.open.first().is_none_or(|first| tag < first);
        let (below, single): (Vec<u64>, Vec<u64>) = tags.iter().copied().partition(is_below);
        Acknowledgement { up_to: below.into_iter().max(), single }
    }

    /// How many are in somebody's hands.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
