//! The command store against DynamoDB.

mod creation;
mod database;
mod lanes;
mod listing;
mod table;
mod transitions;
