//! The pure core, by its properties.

mod cache;
mod client_address;
mod command_machine;
mod config;
mod documents;
mod format;
mod group;
mod histogram;
mod job;
mod outside;
mod parameters;
mod retry;
mod secrets;
mod settle;
mod trace;
mod turns;
mod window;

use painel_shared::{
    command::{Command, NewCommand},
    commands::{CommandType, HealthCheck},
    time::now,
    trace::TraceContext,
};

/// What a sample command is made of.
pub(crate) fn new_command() -> NewCommand {
    NewCommand {
        command_type: CommandType::of::<HealthCheck>(),
        tenant_id: None,
        parameters: serde_json::Map::new(),
        reason: None,
        created_by: "tester".to_owned(),
        created_by_email: None,
        traceparent: TraceContext::root(),
    }
}

/// A fresh command.
pub(crate) fn command() -> Command {
    Command::accept(new_command(), now())
}
