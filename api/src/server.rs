//! Builds the server and tells its address.

use std::{
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::Arc,
};

use actix_cors::Cors;
use actix_server::ServerHandle;
use actix_web::{
    App,
    http::header,
    middleware::{Condition, from_fn},
    web,
};
use anyhow::Context;
use painel_shared::{config::Vars, stores::Stores};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::{Authenticator, Verifier},
    cache::QueryCache,
    config::{AuthConfig, HttpConfig, LimitsConfig},
    connection::{limits::Connections, request::bound, serve},
    follow::Follower,
    health::Checks,
    in_flight::InFlight,
    observe::{self, RequestLimit},
    rates::Rates,
    routes,
    state::AppState,
    tls::Certificate,
    turns::Turns,
    web::{Panel, PanelConfig},
};

/// How long a browser may remember what CORS allows, in seconds.
const CORS_AGE: usize = 600;

/// A server that has its address and waits to be run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: HttpConfig,
    state: AppState,
    checks: Checks,
    authenticator: Authenticator,
    connections: Connections,
    certificate: Option<Arc<Certificate>>,
    panel: Panel,
}

impl Server {
    /// Takes the address; from then on connections wait to be served.
    pub fn build(
        config: HttpConfig,
        auth: AuthConfig,
        limits: &LimitsConfig,
        panel: PanelConfig,
        stores: Stores,
    ) -> anyhow::Result<Self> {
        let wanted = config.address;
        let listener = TcpListener::bind(wanted)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .with_context(|| format!("PAINEL_HTTP_ADDR is {wanted}, and it cannot be listened on"))?;
        let address = listener.local_addr()?;
        let certificate = config.tls.clone().map(Certificate::read).transpose()?;
        let (most, of_one_address) = (limits.connections, limits.connections_of_one_address);
        let connections = Connections::new(most, of_one_address, config.client_address.clone());
        let panel = Panel::new(panel, &auth, address)?;
        let authenticator = Authenticator::new(Verifier::new(auth)?, Rates::new(limits), stores.db.clone());
        let cache = QueryCache::new(config.cache_bytes);
        let checks = Checks::new(stores.clone());
        let (in_flight, turns) = (InFlight::new(limits), Turns::new(limits.concurrency));
        let state = AppState { stores, cache, in_flight, turns };
        Ok(Self { listener, address, config, state, checks, authenticator, connections, certificate, panel })
    }

    /// Where it listens; tells the port where any free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then lets running requests finish within the drain deadline.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        // What goes on beside the requests goes on until the last of them is answered.
        let (beside, ended) = (TaskTracker::new(), CancellationToken::new());
        let mut follower = Follower::new(self.state.stores.db.clone(), self.state.cache.clone());
        follower.begin().await;
        beside.spawn(follower.follow(ended.clone()));
        let state = web::Data::new(self.state);
        let (authenticator, panel) = (web::Data::new(self.authenticator), web::Data::new(self.panel));
        let (checks, proxies) = (web::Data::new(self.checks), web::Data::new(self.config.client_address));
        let (origins, request_limit) = (self.config.cors_origins, RequestLimit(self.config.request_limit));
        let app = move || {
            App::new()
                .app_data(state.clone())
                .app_data(authenticator.clone())
                .app_data(panel.clone())
                .app_data(checks.clone())
                .app_data(proxies.clone())
                .app_data(request_limit)
                .wrap(from_fn(observe::explain))
                .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
                .wrap(from_fn(observe::observe))
                .wrap(from_fn(bound))
                .configure(routes::configure)
        };
        let acceptor = self.certificate.as_ref().map(Certificate::acceptor).transpose()?;
        if let Some(certificate) = self.certificate {
            beside.spawn(certificate.follow(ended.clone()));
        }
        beside.spawn(self.connections.clone().watch(ended.clone()));
        let builder = actix_server::Server::build()
            .workers(self.config.workers)
            .shutdown_timeout(self.config.drain_deadline.as_secs())
            .disable_signals();
        let server =
            serve::listen(builder, self.listener, self.config.workers, self.connections, acceptor, app)?.run();
        let stop = stop_on(shutdown, server.handle());
        tracing::info!(address = %self.address, "listening");
        let served = {
            let (mut server, mut stop) = (pin!(server), pin!(stop));
            tokio::select! {
                served = &mut server => served,
                () = &mut stop => server.await,
            }
        };
        ended.cancel();
        beside.close();
        beside.wait().await;
        served.context("the server failed")
    }
}

/// The body of the API's process: builds the server as configured, and serves until `shutdown`.
pub async fn serve(vars: Vars, shutdown: CancellationToken) -> anyhow::Result<()> {
    from_vars(&vars, Stores::from_vars(&vars).await?)?.run(shutdown).await
}

/// The server as configured, on those stores.
pub fn from_vars(vars: &Vars, stores: Stores) -> anyhow::Result<Server> {
    let (http, auth) = (HttpConfig::from_vars(vars)?, AuthConfig::from_vars(vars)?);
    Server::build(http, auth, &LimitsConfig::from_vars(vars)?, PanelConfig::from_vars(vars)?, stores)
}

/// Pages of these origins may call; where there are none, no page of another origin may.
fn cors(origins: &[String]) -> Cors {
    let allowed = origins.iter().fold(Cors::default(), |cors, origin| cors.allowed_origin(origin));
    allowed
        .allowed_methods(["GET", "HEAD", "POST"])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::CACHE_CONTROL,
        ])
        .allowed_headers(["idempotency-key", "traceparent", "tracestate"])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER])
        .expose_headers(["x-request-id", "idempotency-replayed"])
        .supports_credentials()
        .max_age(CORS_AGE)
}

async fn stop_on(shutdown: CancellationToken, server: ServerHandle) {
    shutdown.cancelled().await;
    server.stop(true).await;
}
