//! Builds the server and tells its address.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use actix_web::{App, HttpServer, dev::ServerHandle, middleware::from_fn, web};
use anyhow::Context;
use painel_shared::{config::Vars, stores::Stores};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::Verifier,
    config::{AuthConfig, HttpConfig},
    observe, routes,
};

/// The largest body that is read.
pub const BODY_LIMIT: usize = 64 * 1024;

/// A server that has its address and waits to be run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: HttpConfig,
    stores: Stores,
    verifier: Arc<Verifier>,
}

impl Server {
    /// Takes the address; from then on connections wait to be served.
    pub fn build(config: HttpConfig, auth: AuthConfig, stores: Stores) -> anyhow::Result<Self> {
        let wanted = config.address;
        let listener = TcpListener::bind(wanted)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .with_context(|| format!("PAINEL_HTTP_ADDR is {wanted}, and it cannot be listened on"))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, config, stores, verifier: Arc::new(Verifier::new(auth)?) })
    }

    /// Where it listens; tells the port where any free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then lets running requests finish within the drain deadline.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let stores = web::Data::new(self.stores);
        let verifier = web::Data::from(self.verifier);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(stores.clone())
                .app_data(verifier.clone())
                .app_data(web::PayloadConfig::new(BODY_LIMIT))
                .wrap(from_fn(observe::observe))
                .configure(routes::configure)
        })
        .workers(self.config.workers)
        .shutdown_timeout(self.config.drain_deadline.as_secs())
        .disable_signals()
        .listen(self.listener)?
        .run();
        tokio::spawn(stop_on(shutdown, server.handle()));
        tracing::info!(address = %self.address, "listening");
        server.await.context("the server failed")
    }
}

/// The body of the API's process: builds the server as configured, and serves until `shutdown`.
pub async fn serve(vars: Vars, shutdown: CancellationToken) -> anyhow::Result<()> {
    let http = HttpConfig::from_vars(&vars)?;
    let auth = AuthConfig::from_vars(&vars)?;
    Server::build(http, auth, Stores::from_vars(&vars).await?)?.run(shutdown).await
}

async fn stop_on(shutdown: CancellationToken, server: ServerHandle) {
    shutdown.cancelled().await;
    server.stop(true).await;
}
