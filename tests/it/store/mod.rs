//! The command store against DynamoDB.

mod creation;
mod listing;
mod table;
mod transitions;
