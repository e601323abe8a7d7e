//! The operators' endpoints, one a file.

pub mod commands;
