//! What is done by the clock.

mod reconciler;

pub use reconciler::{Reconciler, Round};
