//! The catalogue of handlers. A command type is one file here and one line in [`CATALOGUE`].

mod health_check;
mod reprocess_queue;
mod reset_token;
mod restart_agent;

use painel_shared::{
    config::{ConfigError, Vars},
    stores::Stores,
};

pub use self::{
    health_check::HealthCheck, reprocess_queue::ReprocessQueue, reset_token::ResetToken,
    restart_agent::RestartAgent,
};
use crate::handler::AnyHandler;

/// Makes a handler from the environment.
pub type Build = fn(&Vars, &Stores) -> Result<AnyHandler, ConfigError>;

/// Every handler there is.
pub static CATALOGUE: &[Build] = &[
    AnyHandler::build::<HealthCheck>,
    AnyHandler::build::<ResetToken>,
    AnyHandler::build::<RestartAgent>,
    AnyHandler::build::<ReprocessQueue>,
];
