//! Jobs in, effects out.
//!
//! - [`runner`]: receive, bounded concurrency, drain.
//! - [`execute`]: one job: decode, claim, keep the lease, run with a timeout, catch a panic.
//! - [`settle`]: outcome and attempt to acknowledge, retry, dead-letter; pure.
//! - [`effects`]: an effect, its record and its audit event in one transaction.
//! - [`commands`]: one file a command type: its handler.
//! - [`rollup`]: one day's rollup.
//! - [`scheduler`]: what got lost is published again.
//! - [`process`]: the frame of a worker's process.

pub mod agent_runtime;
pub mod commands;
pub mod config;
pub mod effects;
pub mod execute;
pub mod handler;
pub mod process;
pub mod rollup;
pub mod runner;
pub mod scheduler;
pub mod settle;
mod supervise;
