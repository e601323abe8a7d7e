//! SQS in this process, in memory: what it forgets, the reconciler publishes again.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustack_sqs_core::{config::SqsConfig, handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_http::service::{SqsHttpConfig, SqsHttpService};
use tokio::{net::TcpListener, task::JoinHandle};

/// A running SQS.
pub struct Sqs {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Sqs {
    /// Starts it, empty; on that address, or with port 0 on any free one of it.
    pub async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
        let address = listener.local_addr()?;
        let config = SqsConfig { host: address.ip().to_string(), port: address.port(), ..SqsConfig::default() };
        let handler = RustackSqsHandler::new(Arc::new(RustackSqs::new(config)));
        let service = SqsHttpService::new(Arc::new(handler), SqsHttpConfig::default());
        let task = tokio::spawn(async move {
            // The connections' tasks end with this one.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(async move {
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "a connection to the embedded SQS ended");
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it, and forgets everything.
    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
