//! The command store against DynamoDB.

mod changes;
mod claims;
mod creation;
mod database;
mod kept;
mod lanes;
mod listing;
mod table;
mod transitions;
