//! The API over HTTP.

mod bad_input;
mod browsers;
mod commands;
mod keys;
mod listing;
mod outage;
mod reads;
mod tokens;
