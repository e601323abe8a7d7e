//! DynamoDB in this process, over a file or in memory.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, anyhow};
use dynoxide::Database;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A running DynamoDB.
pub struct DynamoDb {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl DynamoDb {
    /// Starts it on that file, or without one in memory; on that address, or with
    /// port 0 on any free one of it.
    pub async fn start(file: Option<&Path>, address: SocketAddr) -> anyhow::Result<Self> {
        let database = match file {
            Some(file) => Database::new(file.to_str().context("the data folder's path is not UTF-8")?),
            None => Database::memory(),
        };
        let database = database.map_err(|error| anyhow!("the embedded DynamoDB did not start: {error}"))?;
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await?.map_err(|error| anyhow!(error))
    }
}
