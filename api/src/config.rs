//! Configuration of the API, from the environment.

use std::{net::SocketAddr, time::Duration};

use painel_shared::config::{ConfigError, Vars};

/// Where and how HTTP is served.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `PAINEL_HTTP_ADDR`, default `127.0.0.1:8080`.
    pub address: SocketAddr,
    /// `PAINEL_HTTP_WORKERS`, default 2: threads that serve requests.
    pub workers: usize,
    /// `PAINEL_DRAIN_SECONDS`, default 20: how long requests may go on after SIGTERM.
    pub drain_deadline: Duration,
}

impl HttpConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let workers = vars.number_or("PAINEL_HTTP_WORKERS", 2)?;
        Ok(Self {
            address: vars.address_or("PAINEL_HTTP_ADDR", SocketAddr::from(([127, 0, 0, 1], 8080)))?,
            workers: usize::try_from(workers.min(1_024)).unwrap_or(1),
            drain_deadline: vars.seconds_or("PAINEL_DRAIN_SECONDS", 20)?,
        })
    }
}

/// Which of Cognito's tokens are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// Access tokens: bound to the client by `client_id`.
    Access,
    /// Id tokens: bound to the client by `aud`.
    Id,
}

/// Whose tokens are taken.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `PAINEL_AUTH_ISSUER`, required: the user pool's URL, as `iss` bears it.
    pub issuer: String,
    /// `PAINEL_AUTH_JWKS_URL`, default the issuer with `/.well-known/jwks.json`.
    pub jwks_url: String,
    /// `PAINEL_AUTH_CLIENT_IDS`, required: the app clients whose tokens are taken, separated by commas.
    pub client_ids: Vec<String>,
    /// `PAINEL_AUTH_TOKEN_USE`, default `access`: `access` or `id`.
    pub token_use: TokenUse,
}

impl AuthConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let issuer = vars.required_url("PAINEL_AUTH_ISSUER", &["https", "http"])?;
        let jwks_url = vars.url("PAINEL_AUTH_JWKS_URL", &["https", "http"])?;
        let clients = vars.required("PAINEL_AUTH_CLIENT_IDS", "a comma-separated list of app client ids")?;
        let uses = [("access", TokenUse::Access), ("id", TokenUse::Id)];
        Ok(Self {
            jwks_url: jwks_url.unwrap_or_else(|| format!("{issuer}/.well-known/jwks.json")),
            issuer,
            client_ids: clients.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            token_use: vars.word_or("PAINEL_AUTH_TOKEN_USE", &uses, TokenUse::Access)?,
        })
    }
}
