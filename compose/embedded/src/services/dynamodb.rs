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
use dynoxide::{Database, DynoxideError};
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body_util::Full;
use hyper::body::Bytes;
use rusqlite::Connection;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::signed::{AccessKey, Service, listen, serve};

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
    server: JoinHandle<()>,
    /// Nobody tends what is in memory.
    tending: Option<Tending>,
}

/// Upkeep under way.
struct Tending {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl DynamoDb {
    /// Starts it on that file, or without one in memory, for whoever has that key; on that address, or with port 0 on any
    /// free one of it.
    pub async fn start(file: Option<&Path>, address: SocketAddr, key: &AccessKey) -> anyhow::Result<Self> {
        let failed = |error| anyhow!("the embedded DynamoDB did not start: {error}");
        let (listener, address) = listen(address).await?;
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
        let (key, stopped) = (key.clone(), stop.clone());
        let server = tokio::spawn(async move { serve(listener, Tables(database), &key, stopped).await });
        Ok(Self { address, stop, server, tending })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it; what it was asked is on the disk then.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.server.await?;
        if let Some(Tending { stop, task }) = self.tending {
            stop.cancel();
            task.await??;
        }
        Ok(())
    }
}

/// What answers.
struct Tables(Database);

impl Service for Tables {
    async fn answer(&self, head: Parts, body: Bytes) -> Response<Full<Bytes>> {
        let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (_, operation) = target.rsplit_once('.').unwrap_or_default();
        let mut response = match self.execute(operation, &body) {
            Ok(answer) => Response::new(Full::from(answer)),
            Err(error) => {
                let mut response = Response::new(Full::from(error.to_json()));
                *response.status_mut() =
                    StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
                response
            }
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        response
    }
}

impl Tables {
    /// What the product asks, and what people look with.
    fn execute(&self, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
        let tables = &self.0;
        match operation {
            "CreateTable" => carry_out(body, |request| tables.create_table(request)),
            "DescribeTable" => carry_out(body, |request| tables.describe_table(request)),
            "UpdateTable" => carry_out(body, |request| tables.update_table(request)),
            "DeleteTable" => carry_out(body, |request| tables.delete_table(request)),
            "ListTables" => carry_out(body, |request| tables.list_tables(request)),
            "UpdateTimeToLive" => carry_out(body, |request| tables.update_time_to_live(request)),
            "DescribeTimeToLive" => carry_out(body, |request| tables.describe_time_to_live(request)),
            "PutItem" => carry_out(body, |request| tables.put_item(request)),
            "GetItem" => carry_out(body, |request| tables.get_item(request)),
            "UpdateItem" => carry_out(body, |request| tables.update_item(request)),
            "DeleteItem" => carry_out(body, |request| tables.delete_item(request)),
            "Query" => carry_out(body, |request| tables.query(request)),
            "Scan" => carry_out(body, |request| tables.scan(request)),
            "BatchGetItem" => carry_out(body, |request| tables.batch_get_item(request)),
            "BatchWriteItem" => carry_out(body, |request| tables.batch_write_item(request)),
            "TransactGetItems" => carry_out(body, |request| tables.transact_get_items(request)),
            "TransactWriteItems" => carry_out(body, |request| tables.transact_write_items(request)),
            "ListStreams" => carry_out(body, |request| tables.list_streams(request)),
            "DescribeStream" => carry_out(body, |request| tables.describe_stream(request)),
            "GetShardIterator" => carry_out(body, |request| tables.get_shard_iterator(request)),
            "GetRecords" => carry_out(body, |request| tables.get_records(request)),
            other => {
                Err(DynoxideError::ValidationException(format!("the embedded DynamoDB does not know {other}")))
            }
        }
    }
}

fn carry_out<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    carry_out: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let unread = |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
    let answer = carry_out(serde_json::from_slice(body).map_err(unread)?)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
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
