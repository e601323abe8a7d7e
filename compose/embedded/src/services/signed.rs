//! The front of the embedded AWS services: what is asked in a browser, or without the right signature, does not get in.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use http::{Request, Response, StatusCode, header::ORIGIN, request::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustack_auth::{StaticCredentialProvider, hash_payload, verify_sigv4};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// DynamoDB takes no larger request.
const LARGEST: usize = 16 * 1024 * 1024;
/// How long a head may take.
const HEAD: Duration = Duration::from_secs(10);

/// The access key that requests must be signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// What is behind the front.
pub(super) trait Service: Send + Sync + 'static {
    /// Answers a request that is signed.
    fn answer(&self, head: Parts, body: Bytes) -> impl Future<Output = Response<Full<Bytes>>> + Send;

    /// Words a refusal so that the SDK reads it.
    fn refuse(&self, status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
        let body = serde_json::json!({"__type": kind, "message": message}).to_string();
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response
    }
}

/// A listener on that address, or with port 0 on any free one of it; and where it is.
pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop`, and lets what is being answered end.
pub(super) async fn serve<S: Service>(listener: TcpListener, service: S, key: &AccessKey, stop: CancellationToken) {
    let keys = Arc::new(StaticCredentialProvider::new([(key.id.clone(), key.secret.clone())]));
    let service = Arc::new(service);
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        let (service, keys, stop) = (Arc::clone(&service), Arc::clone(&keys), stop.clone());
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let (service, keys) = (Arc::clone(&service), Arc::clone(&keys));
                async move { Ok::<_, Infallible>(admit(&*service, &keys, request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to an embedded service ended");
            }
        });
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
}

async fn admit<S: Service>(
    service: &S,
    keys: &StaticCredentialProvider,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if head.headers.contains_key(ORIGIN) {
        return service.refuse(StatusCode::FORBIDDEN, "AccessDeniedException", "No web page may ask this service.");
    }
    let Ok(body) = Limited::new(body, LARGEST).collect().await else {
        return service.refuse(StatusCode::PAYLOAD_TOO_LARGE, "ValidationException", "The request was not read.");
    };
    let body = body.to_bytes();
    match verify_sigv4(&head, &hash_payload(&body), keys) {
        Ok(_) => service.answer(head, body).await,
        Err(error) => {
            let message = format!("The request is not signed with this service's access key: {error}");
            service.refuse(StatusCode::FORBIDDEN, "UnrecognizedClientException", &message)
        }
    }
}
