//! The nightly rollup: raw requests become daily usage.
//!
//! - `day`: one day, in one transaction.
//! - `scan`: its raw requests, in pieces side by side.
//! - `write`: its rows and the agents' counters.
//! - `execute`: one job: claim the run, keep the lease, roll up, settle.

mod day;
mod execute;
mod scan;
mod write;

pub use self::{
    day::{Rolled, RollupError, roll_up},
    execute::RollupExecutor,
};
