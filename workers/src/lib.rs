//! Jobs in, effects out.
//!
//! - [`runner`]: receive, bounded concurrency, drain.
//! - [`execute`]: the frame of every job: decode, claim, keep the lease, supervise, record, settle.
//! - [`work`]: what differs between a command and a rollup run; [`command_work`]: a command.
//! - [`settle`]: outcome and attempt to acknowledge, retry, dead-letter; pure.
//! - [`effects`]: an effect, its record and its audit event in one transaction.
//! - [`commands`]: one file a command type: its handler.
//! - [`rollup`]: one day's rollup.
//! - [`scheduler`]: what got lost is published again.
//! - [`process`]: the frame of a worker's process.

pub mod agent_runtime;
pub mod command_work;
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
pub mod supervise;
pub mod work;
