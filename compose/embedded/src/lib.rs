//! Painel with everything it needs in one process.
//!
//! - [`cli`]: the command line.
//! - [`embedded`]: the composition: services, stores, API, workers, scheduler.
//! - [`services`]: PostgreSQL, DynamoDB, SQS, a token issuer and a stand-in agent runtime, on loopback.
//! - [`data_dir`]: the folder that survives a restart.
//! - [`demo_data`]: what a first start fills the database with.
//! - `first_commands`: what its console shows then.
//! - [`demo`]: `painel demo`, with an aggregation (`demo_rollup`) and every read (`demo_reads`).
//! - [`aws`], [`rollup`]: `painel aws` and `painel rollup`.

pub mod aws;
pub mod cli;
pub mod data_dir;
pub mod demo;
pub mod demo_data;
mod demo_reads;
mod demo_rollup;
pub mod embedded;
mod first_commands;
pub mod rollup;
pub mod services;
