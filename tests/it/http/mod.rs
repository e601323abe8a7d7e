//! The API over HTTP.

mod bad_input;
mod browsers;
mod commands;
mod hostility;
mod keys;
mod listing;
mod outage;
mod preview;
mod profile;
mod reads;
mod strictness;
mod tickets;
mod tls;
mod tokens;
