//! HTTP in, answers and jobs out.
//!
//! - [`server`]: builds the server and tells its address.
//! - [`routes`]: every URL on one page.
//! - [`observe`]: request ids, traces, logs and metrics of every request.
//! - [`problem`]: the only map from an error to an HTTP answer.
//! - [`auth`]: who asks, and may what.
//! - [`internal`]: the operators' endpoints, one a file.
//! - [`health`]: whether this process lives, and whether it can work.

pub mod auth;
pub mod config;
pub mod health;
pub mod internal;
pub mod observe;
pub mod problem;
pub mod query;
pub mod routes;
pub mod server;
