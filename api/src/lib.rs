//! HTTP in, answers and jobs out.
//!
//! - [`server`]: builds the server and tells its address.
//! - [`routes`]: every URL on one page.
//! - [`observe`]: request ids, traces, logs and metrics of every request.
//! - [`problem`]: the only map from an error to an HTTP answer.
//! - [`auth`]: who asks, and may what.
//! - [`connection`]: what a connection may take; [`tls`]: its certificate.
//! - [`rates`], [`in_flight`]: how often, and how many at once, by whom; [`turns`]: whose turn it is.
//! - [`write`](mod@write): the one way of every write; [`read`]: of every read; [`cache`]: answers kept in the process; [`follow`]: what makes them stale.
//! - [`state`]: what the endpoints stand on.
//! - [`query`], [`json`], [`filters`], [`period`], [`figures`], [`time`]: what is asked, and how figures and times are shown.
//! - [`tenant`], [`internal`]: the tenants' and the operators' endpoints, one a file.
//! - [`openapi`]: the description of all of it.
//! - [`web`]: the panel that people look at, a page a file.
//! - [`health`]: whether this process lives, and whether it can work.

pub mod auth;
pub mod cache;
pub mod client_address;
pub mod config;
pub mod connection;
pub mod figures;
pub mod filters;
pub mod follow;
pub mod health;
pub mod in_flight;
pub mod internal;
pub mod json;
pub mod observe;
pub mod openapi;
pub mod period;
pub mod problem;
pub mod profile;
pub mod query;
pub mod rates;
pub mod read;
pub mod routes;
pub mod server;
pub mod state;
pub mod tenant;
pub mod tickets;
pub mod time;
pub mod tls;
pub mod turns;
pub mod web;
pub mod write;
