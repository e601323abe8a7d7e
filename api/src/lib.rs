//! HTTP in, answers and jobs out.
//!
//! - [`server`]: builds the server and tells its address.
//! - [`routes`]: every URL on one page.
//! - [`observe`]: request ids, traces, logs and metrics of every request.
//! - [`problem`]: the only map from an error to an HTTP answer.
//! - [`auth`]: who asks, and may what.
//! - [`limits`]: how many requests, how often, by whom.
//! - [`caching`]: answers kept in the process, and their headers.
//! - [`panel`]: what the endpoints stand on.
//! - [`query`], [`filters`], [`period`], [`figures`]: what is asked, and how figures are shown.
//! - [`tenant`], [`internal`]: the tenants' and the operators' endpoints, one a file.
//! - [`openapi`]: the description of all of it.
//! - [`health`]: whether this process lives, and whether it can work.

pub mod auth;
pub mod caching;
pub mod client_address;
pub mod config;
pub mod figures;
pub mod filters;
pub mod health;
pub mod internal;
pub mod limits;
pub mod observe;
pub mod openapi;
pub mod panel;
pub mod period;
pub mod problem;
pub mod query;
pub mod routes;
pub mod server;
pub mod tenant;
