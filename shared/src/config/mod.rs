//! Configuration from the environment: one small struct a concern.
//!
//! Every variable begins with `PAINEL_`. A wrong or missing one is one line that names it, before
//! anything starts.

mod aws;
mod command_store;
mod credentials;
mod database;
mod queue;
mod telemetry;
mod vars;

pub use self::{
    aws::{AwsConfig, StaticCredentials},
    command_store::CommandStoreConfig,
    credentials::CredentialsConfig,
    database::DatabaseConfig,
    queue::{QueueConfig, Transport},
    telemetry::{LogFormat, TelemetryConfig},
    vars::{ConfigError, Vars},
};
