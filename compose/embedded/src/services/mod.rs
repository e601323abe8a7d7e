//! The services that a deployment would find elsewhere, each on a loopback port of its own.

pub mod agent_runtime;
pub mod dynamodb;
pub mod issuer;
pub mod postgres;
pub mod sqs;
pub mod stand_ins;
