//! DynamoDB in this process, over a file or in memory.
//!
//! The file is an SQLite database in WAL mode. Each write is in it when it is answered, so that nothing is lost when the
//! process is killed; that it is on the disk is seen to once a second, so that a power cut takes a second at most. To wait
//! for the disk at each write would make every command wait for three.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, anyhow};
use dynoxide::Database;
use rusqlite::Connection;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How often what was written is brought to the disk.
const CHECKPOINT: Duration = Duration::from_secs(1);
/// How often old records of the stream are removed.
const TRIM: Duration = Duration::from_secs(3600);
/// DynamoDB keeps a stream's records for a day.
const STREAM_RETENTION_SECONDS: u32 = 24 * 3600;
/// How many are removed in one transaction: while it lasts, nobody else writes.
const TRIMMED_AT_ONCE: usize = 1_000;
/// Between two such, so that whoever waits comes first.
const TRIM_PAUSE: Duration = Duration::from_millis(20);

/// A running DynamoDB.
pub struct DynamoDb {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<Result<(), String>>,
    /// Nobody tends what is in memory.
    tending: Option<Tending>,
}

/// Upkeep under way.
struct Tending {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl DynamoDb {
    /// Starts it on that file, or without one in memory; on that address, or with
    /// port 0 on any free one of it.
    pub async fn start(file: Option<&Path>, address: SocketAddr) -> anyhow::Result<Self> {
        let failed = |error| anyhow!("the embedded DynamoDB did not start: {error}");
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
        let address = listener.local_addr()?;
        let (database, tending) = match file {
            Some(file) => {
                let path = file.to_str().context("the data folder's path is not UTF-8")?;
                let database = Database::new(path).map_err(failed)?;
                // So it is called there: what it does is to not wait for the disk at each write.
                database.disable_bulk_loading().map_err(failed)?;
                let tending = Tending::begin(file.to_owned()).await;
                (database, Some(tending.context("the embedded DynamoDB's file cannot be used")?))
            }
            None => (Database::memory().map_err(failed)?, None),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, stopped));
        Ok(Self { address, stop, server, tending })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it; what it was asked is on the disk then.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let served = self.server.await?;
        if let Some(Tending { stop, task }) = self.tending {
            stop.cancel();
            task.await??;
        }
        served.map_err(|error| anyhow!(error))
    }
}

impl Tending {
    async fn begin(file: PathBuf) -> anyhow::Result<Self> {
        let upkeep = spawn_blocking(move || Upkeep::begin(&file)).await??;
        let stop = CancellationToken::new();
        let task = tokio::spawn(upkeep.keep_up(stop.clone()));
        Ok(Self { stop, task })
    }
}

/// What the file needs beside being written.
struct Upkeep {
    connection: Connection,
    trimmed: Option<Instant>,
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
        Ok(Self { connection, trimmed: None })
    }

    /// Tends the file until it is to stop, and once more then. Another thread waits for the disk.
    async fn keep_up(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let is_stopped = stop.clone();
            let (outcome, back) = spawn_blocking(move || (self.round(&is_stopped), self)).await?;
            if let Err(error) = outcome {
                tracing::warn!(%error, "the embedded DynamoDB's file was not tended; trying again");
            }
            self = back;
            if stop.run_until_cancelled(tokio::time::sleep(CHECKPOINT)).await.is_none() {
                break;
            }
        }
        Ok(spawn_blocking(move || self.checkpoint()).await??)
    }

    fn round(&mut self, stop: &CancellationToken) -> rusqlite::Result<()> {
        self.checkpoint()?;
        if self.trimmed.is_none_or(|at| at.elapsed() >= TRIM) {
            self.trim(stop)?;
            self.trimmed = Some(Instant::now());
        }
        Ok(())
    }

    fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// Removes what DynamoDB would not show any more.
    fn trim(&self, stop: &CancellationToken) -> rusqlite::Result<()> {
        let mut old = self.connection.prepare(
            "DELETE FROM _stream_records WHERE id IN (
                 SELECT id FROM _stream_records WHERE created_at < unixepoch() - ?1 ORDER BY id LIMIT ?2)",
        )?;
        while !stop.is_cancelled() && old.execute((STREAM_RETENTION_SECONDS, TRIMMED_AT_ONCE))? == TRIMMED_AT_ONCE {
            thread::sleep(TRIM_PAUSE);
        }
        Ok(())
    }
}
