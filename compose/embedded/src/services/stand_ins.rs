//! The HTTP server of the token issuer, the login site and the stand-in agent runtime.

use std::net::{SocketAddr, TcpListener};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    web::{self, Data, get, post, resource},
};
use anyhow::Context;

use super::{
    agent_runtime::{self, AgentRuntime},
    issuer::{self, Issuer},
    login_site::{self, LoginSite},
};

/// The running server.
pub struct StandIns {
    address: SocketAddr,
    server: ServerHandle,
    login_site: LoginSite,
}

impl StandIns {
    /// Starts it on that address, or with port 0 on any free one of it.
    pub fn start(issuer: &Issuer, runtime: AgentRuntime, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("{address} cannot be listened on"))?;
        let address = listener.local_addr()?;
        let (keys, runtime) = (Data::new(issuer.key_set()?), Data::new(runtime));
        let login_site = LoginSite::new(issuer.clone());
        let site = Data::new(login_site.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(keys.clone())
                .app_data(runtime.clone())
                .app_data(site.clone())
                .service(
                    resource("/oauth2/authorize")
                        .route(get().to(login_site::authorize))
                        .route(post().to(login_site::choose)),
                )
                .service(resource("/oauth2/token").route(post().to(login_site::redeem)))
                .service(resource("/oauth2/revoke").route(post().to(login_site::revoke)))
                .service(resource("/logout").route(get().to(login_site::leave)))
                .service(resource("/.well-known/jwks.json").route(get().to(issuer::serve_keys)))
                .service(resource("/calls").route(get().to(agent_runtime::calls)))
                .service(
                    web::scope("/tenants/{tenant}/agents/{agent}")
                        .route("", get().to(agent_runtime::show))
                        .route("/restart", post().to(agent_runtime::restart))
                        .route("/refusals", post().to(agent_runtime::refuse)),
                )
        })
        .workers(1)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { address, server: handle, login_site })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where people sign in.
    pub fn login_site(&self) -> &LoginSite {
        &self.login_site
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.stop(true).await;
    }
}
