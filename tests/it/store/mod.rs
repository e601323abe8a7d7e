//! The command store against DynamoDB.

mod changes;
mod creation;
mod database;
mod lanes;
mod listing;
mod table;
mod transitions;
