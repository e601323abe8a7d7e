//! What happens by itself: what got lost is published again, and days are rolled up.

mod cron;
mod reconciler;

pub use self::{
    cron::Nightly,
    reconciler::{Reconciler, Round},
};
