//! PostgreSQL in this process. It has one backend, so one connection at a time.

use std::path::Path;

use anyhow::Context;
use pglite_oxide::PgliteServer;

/// A running PostgreSQL.
pub struct Postgres(PgliteServer);

impl Postgres {
    /// Starts it on the files in `dir`, which are made where they are missing.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.to_owned();
        let started = tokio::task::spawn_blocking(move || PgliteServer::builder().path(dir).start()).await?;
        Ok(Self(started.context("the embedded PostgreSQL did not start")?))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.0.database_url()
    }

    /// Stops it. Its clients must have gone before.
    pub async fn stop(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.0.shutdown()).await?
    }
}
