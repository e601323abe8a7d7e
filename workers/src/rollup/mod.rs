//! The nightly rollup: raw requests become daily usage.
//!
//! - `day`: one day, in one transaction.
//! - `scan`: its raw requests, in pieces side by side.
//! - `sums`: what the day adds up to.
//! - `write`: its rows and the agents' counters.
//! - `work`: a run as a kind of work for the frame of all jobs.

mod day;
mod scan;
mod sums;
mod work;
mod write;

pub use self::{
    day::{Limits, Rolled, RollupError, roll_up, wait_for_all},
    work::{RollupExecutor, RunWork},
};
