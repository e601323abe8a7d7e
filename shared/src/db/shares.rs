//! How many sessions may be kept from others: those that people's questions keep and those that statements keep, together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What is left to be kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Shares(Arc<AtomicUsize>);

/// Leave to keep one session; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share(Shares);

impl Shares {
    /// Of a pool of so many connections three quarters may be kept: some are always left to whoever asks the pool itself.
    pub(super) fn of(connections: u32) -> Self {
        let most = u64::from(connections) * 3 / 4;
        Self(Arc::new(AtomicUsize::new(usize::try_from(most).unwrap_or(usize::MAX))))
    }

    /// Leave to keep one more, if there is any.
    pub(super) fn take(&self) -> Option<Share> {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(Share(self.clone()))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Relaxed);
    }
}
