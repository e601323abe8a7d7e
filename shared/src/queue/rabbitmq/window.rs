//! Which delivery tags to acknowledge together: pure.

use std::collections::BTreeSet;

/// The deliveries of one channel that have been settled, past the first one that has not.
#[derive(Debug)]
pub struct Window {
    /// All tags below this one are settled.
    next: u64,
    settled: BTreeSet<u64>,
}

/// What to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Acknowledge this tag and all before it.
    pub up_to: Option<u64>,
    /// Acknowledge these one by one.
    pub single: Vec<u64>,
}

impl Default for Window {
    /// Tags begin with 1.
    fn default() -> Self {
        Self { next: 1, settled: BTreeSet::new() }
    }
}

impl Window {
    /// Settles what was given back, which needs no acknowledgement.
    pub fn give_back(&mut self, tag: u64) {
        self.settled.insert(tag);
        self.advance();
    }

    /// Settles these tags, each of which the broker still waits for.
    pub fn acknowledge(&mut self, tags: &[u64]) -> Acknowledgement {
        self.settled.extend(tags);
        self.advance();
        // The broker must know the tag it is told: the highest of these, not of those settled before.
        let up_to = tags.iter().copied().filter(|tag| *tag < self.next).max();
        let single = tags.iter().copied().filter(|tag| *tag >= self.next).collect();
        Acknowledgement { up_to, single }
    }

    fn advance(&mut self) {
        while self.settled.remove(&self.next) {
            self.next += 1;
        }
    }
}
