//! The one test binary.

mod http;
mod process;
mod pure;
mod queue;
mod store;
mod workers;
