//! DynamoDB in this process, over a file or in memory.
//!
//! The file is an SQLite database in WAL mode. Each write is in it when it is answered, so that nothing is lost when the
//! process is killed; that it is on the disk is seen to once a second, so that a power cut takes a second at most. To wait
//! for the disk at each write would make every command wait for three.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, anyhow};
use dynoxide::Database;
use rusqlite::Connection;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// How often what was written is brought to the disk.
const CHECKPOINT: Duration = Duration::from_secs(1);
/// How often old records of the stream are removed.
const TRIM: Duration = Duration::from_secs(3600);
/// DynamoDB keeps a stream's records for a day.
const STREAM_RETENTION_SECONDS: u32 = 24 * 3600;

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
        let failed = |error| anyhow!("the embedded DynamoDB did not start: {error}");
        let stop = CancellationToken::new();
        let database = match file {
            Some(file) => {
                let path = file.to_str().context("the data folder's path is not UTF-8")?;
                let database = Database::new(path).map_err(failed)?;
                // So it is called there: what it does is to not wait for the disk at each write.
                database.disable_bulk_loading().map_err(failed)?;
                let upkeep = Upkeep::begin(file).context("the embedded DynamoDB's file cannot be used")?;
                tokio::spawn(upkeep.keep_up(stop.clone()));
                database
            }
            None => Database::memory().map_err(failed)?,
        };
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
        let address = listener.local_addr()?;
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

/// What the file needs beside being written.
struct Upkeep {
    connection: Connection,
    trimmed: Instant,
}

impl Upkeep {
    /// Each write looks for the stream's last number: by an index, so that it takes no longer the more there are.
    fn begin(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch(
            "CREATE INDEX IF NOT EXISTS painel_stream_sequence
             ON _stream_records (table_name, CAST(sequence_number AS INTEGER))",
        )?;
        let upkeep = Self { connection, trimmed: Instant::now() };
        upkeep.trim()?;
        Ok(upkeep)
    }

    async fn keep_up(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(CHECKPOINT)).await.is_some() {
            // Another thread waits for the disk.
            let done = tokio::task::spawn_blocking(move || (self.round(), self)).await;
            let Ok((outcome, back)) = done else { return };
            if let Err(error) = outcome {
                tracing::warn!(%error, "the embedded DynamoDB's file was not tended; trying again");
            }
            self = back;
        }
    }

    fn round(&mut self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        if self.trimmed.elapsed() >= TRIM {
            self.trim()?;
            self.trimmed = Instant::now();
        }
        Ok(())
    }

    /// Removes what DynamoDB would not show any more.
    fn trim(&self) -> rusqlite::Result<()> {
        let old = "DELETE FROM _stream_records WHERE created_at < unixepoch() - ?1";
        self.connection.execute(old, [STREAM_RETENTION_SECONDS]).map(|_| ())
    }
}
