//! The API over HTTP.

mod bad_input;
mod commands;
mod listing;
mod outage;
mod tokens;
