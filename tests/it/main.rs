//! The one test binary.

mod clients;
mod docs;
mod http;
mod moto;
mod panel;
mod process;
mod pure;
mod queue;
mod rollup;
mod store;
mod workers;
