//! The three stores every process stands on, handed in where they are used.

use crate::{
    command_store::CommandStore,
    config::{AwsConfig, CommandStoreConfig, ConfigError, DatabaseConfig, QueueConfig, Vars},
    db::Database,
    queue::Queue,
};

/// PostgreSQL, the command store and the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The relational store.
    pub db: Database,
    /// The truth about commands.
    pub commands: CommandStore,
    /// Jobs on their way to workers.
    pub queue: Queue,
}

impl Stores {
    /// The configured stores. Nothing is connected yet: a store that is absent shows when it is used.
    pub async fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let aws = AwsConfig::from_vars(vars)?;
        let database = DatabaseConfig::from_vars(vars)?;
        let commands = CommandStoreConfig::from_vars(vars)?;
        let queue = QueueConfig::from_vars(vars)?;
        Ok(Self {
            db: Database::new(&database)?,
            commands: CommandStore::new(&aws, &commands).await,
            queue: Queue::new(&aws, &queue).await,
        })
    }
}
