//! SQS in this process, in memory: what it forgets, the reconciler publishes again.

use std::net::SocketAddr;

use http::{Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use rustack_sqs_core::{config::SqsConfig, handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_http::{dispatch::dispatch_operation, response::error_to_response, router::resolve_operation};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::signed::{AccessKey, Service, listen, serve};

/// A running SQS.
pub struct Sqs {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Sqs {
    /// Starts it, empty, for whoever has that key; on that address, or with port 0 on any free one of it.
    pub async fn start(address: SocketAddr, key: &AccessKey) -> anyhow::Result<Self> {
        let (listener, address) = listen(address).await?;
        let config = SqsConfig { host: address.ip().to_string(), port: address.port(), ..SqsConfig::default() };
        let queues = Queues(RustackSqsHandler::new(std::sync::Arc::new(RustackSqs::new(config))));
        let key = key.clone();
        let task = tokio::spawn(async move { serve(listener, queues, &key, CancellationToken::new()).await });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it, and forgets everything. Whoever waits for a message is cut off.
    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// What answers.
struct Queues(RustackSqsHandler);

impl Service for Queues {
    async fn answer(&self, head: Parts, body: Bytes) -> Response<Full<Bytes>> {
        let answered = match resolve_operation(&head.headers) {
            Ok(operation) => dispatch_operation(&self.0, operation, body).await,
            Err(error) => Err(error),
        };
        let answer = answered.unwrap_or_else(|error| error_to_response(&error, &Uuid::new_v4().to_string()));
        let (head, body) = answer.into_parts();
        match body.collect().await {
            Ok(body) => Response::from_parts(head, Full::from(body.to_bytes())),
            Err(_) => self.refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "The answer was not made."),
        }
    }
}
