//! The command store against DynamoDB.

mod creation;
mod database;
mod listing;
mod table;
mod transitions;
