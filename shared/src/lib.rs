//! What the API and the workers both stand on.
//!
//! - [`ids`], [`time`], [`trace`]: the small types that cannot be wrong.
//! - [`command`]: a command, its states and their lawful transitions; pure.
//! - [`commands`]: one file a command type: its parameters and their validation.
//! - [`job`], [`work_queue`], [`retry`]: the envelope on the queue, the queue's name, and which attempt comes when; pure.
//! - [`command_store`], [`queue`], [`db`], [`events`], [`secrets`]: the edges.
//! - [`rollup`]: rollup runs and their states; [`changes`]: what has been recorded since a moment.
//! - [`attempt`]: an attempt at a command, and why one failed.
//! - [`dispatch`]: record, then publish: the only way new work enters.
//! - [`planted`]: bugs on purpose, for the tests; none in a normal build.
//! - [`histogram`]: response times in a form that adds up.
//! - [`config`], [`telemetry`], [`stores`], [`process`]: how a process is set up.

pub mod attempt;
pub mod changes;
pub mod command;
pub mod command_store;
pub mod commands;
pub mod config;
pub mod db;
pub mod dispatch;
pub mod events;
pub mod histogram;
pub mod ids;
pub mod job;
pub mod planted;
pub mod process;
pub mod queue;
pub mod retry;
pub mod rollup;
pub mod secrets;
pub mod stores;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod work_queue;
