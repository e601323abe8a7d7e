//! Configuration of the API, from the environment.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use painel_shared::config::{ConfigError, Vars};

use crate::{client_address::ClientAddress, tls::TlsConfig};

/// The server takes no more.
const MOST_WORKERS: u64 = 512;

/// Where and how HTTP is served.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `PAINEL_HTTP_ADDR`, default `127.0.0.1:8080`.
    pub address: SocketAddr,
    /// `PAINEL_HTTP_WORKERS`, default 2: threads that serve requests.
    pub workers: usize,
    /// `PAINEL_HTTP_TIMEOUT_MS`, default 15000: how long a request may take, its body included.
    pub request_limit: Duration,
    /// `PAINEL_CORS_ORIGINS`, default none: the origins of web pages that may call, separated by commas.
    pub cors_origins: Vec<String>,
    /// `PAINEL_CACHE_BYTES`, default 67108864: how many bytes of answers are kept.
    pub cache_bytes: u64,
    /// `PAINEL_DRAIN_SECONDS`, default 20: how long requests may go on after SIGTERM.
    pub drain_deadline: Duration,
    /// `PAINEL_TRUSTED_PROXIES`, default none: how many proxies stand before the API, or their networks; and
    /// `PAINEL_TRUSTED_HEADER`, default `x-forwarded-for`: the header in which they say whom they were asked by.
    pub client_address: ClientAddress,
    /// `PAINEL_TLS_CERT` and `PAINEL_TLS_KEY`, default none: HTTP over TLS, for who has no proxy that does that.
    pub tls: Option<TlsConfig>,
}

impl HttpConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let workers = vars.number_or("PAINEL_HTTP_WORKERS", 2)?;
        Ok(Self {
            address: vars.address_or("PAINEL_HTTP_ADDR", SocketAddr::from(([127, 0, 0, 1], 8080)))?,
            workers: usize::try_from(workers.min(MOST_WORKERS)).unwrap_or(1),
            request_limit: vars.millis_or("PAINEL_HTTP_TIMEOUT_MS", 15_000)?,
            cors_origins: origins(vars)?,
            cache_bytes: vars.number_or("PAINEL_CACHE_BYTES", 64 * 1024 * 1024)?,
            drain_deadline: vars.seconds_or("PAINEL_DRAIN_SECONDS", 20)?,
            client_address: ClientAddress::from_vars(vars)?,
            tls: TlsConfig::from_vars(vars)?,
        })
    }
}

fn origins(vars: &Vars) -> Result<Vec<String>, ConfigError> {
    let listed = vars.text("PAINEL_CORS_ORIGINS").unwrap_or_default().split(',').map(str::trim);
    listed
        .filter(|origin| !origin.is_empty())
        .map(|origin| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            match host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' '])) {
                true => Ok(origin.to_owned()),
                false => Err(ConfigError::new(
                    "PAINEL_CORS_ORIGINS",
                    format!("holds `{origin}`; an origin looks like https://panel.example"),
                )),
            }
        })
        .collect()
}

/// How much is served at most.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// `PAINEL_HTTP_CONNECTIONS`, default 768: connections at once. Whoever comes beside them takes the place of the one that has
    /// waited longest for its client. The process must be allowed 200 open files more; it asks for as many as it can have.
    pub connections: usize,
    /// `PAINEL_HTTP_CONNECTIONS_ADDRESS`, default 256: connections at once of one address that is no trusted proxy.
    pub connections_of_one_address: usize,
    /// `PAINEL_HTTP_IN_FLIGHT`, default 256: requests under way at once; more are answered 503. A quarter is for operators alone.
    pub in_flight: usize,
    /// `PAINEL_HTTP_IN_FLIGHT_CALLER`, default 32: requests of one caller under way at once; more are answered 429.
    pub in_flight_of_caller: usize,
    /// `PAINEL_HTTP_IN_FLIGHT_TENANT`, default 64: requests of all users of one tenant under way at once.
    pub in_flight_of_tenant: usize,
    /// `PAINEL_HTTP_CONCURRENCY`, default 16: commands being accepted and answers being computed at once; others wait a moment
    /// for their turn, and are answered 503 where it does not come.
    pub concurrency: usize,
    /// `PAINEL_RATE_CALLER`, default 100: requests a second of one caller; more are answered 429.
    pub caller_rate: NonZeroU32,
    /// `PAINEL_RATE_TENANT`, default 300: requests a second of all users of one tenant.
    pub tenant_rate: NonZeroU32,
}

impl LimitsConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let rate = |name, default| {
            let number = vars.number_or(name, default)?;
            Ok(u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX))
        };
        let count = |name, default| Ok(usize::try_from(vars.number_or(name, default)?).unwrap_or(usize::MAX));
        Ok(Self {
            connections: count("PAINEL_HTTP_CONNECTIONS", 768)?,
            connections_of_one_address: count("PAINEL_HTTP_CONNECTIONS_ADDRESS", 256)?,
            in_flight: count("PAINEL_HTTP_IN_FLIGHT", 256)?,
            in_flight_of_caller: count("PAINEL_HTTP_IN_FLIGHT_CALLER", 32)?,
            in_flight_of_tenant: count("PAINEL_HTTP_IN_FLIGHT_TENANT", 64)?,
            concurrency: count("PAINEL_HTTP_CONCURRENCY", 16)?,
            caller_rate: rate("PAINEL_RATE_CALLER", 100)?,
            tenant_rate: rate("PAINEL_RATE_TENANT", 300)?,
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

impl TokenUse {
    /// Reads `PAINEL_AUTH_TOKEN_USE`.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        vars.word_or("PAINEL_AUTH_TOKEN_USE", &[("access", Self::Access), ("id", Self::Id)], Self::Access)
    }
}

/// Whose tokens are taken.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `PAINEL_AUTH_ISSUER`, required: the user pool's URL, as `iss` bears it.
    pub issuer: String,
    /// `PAINEL_AUTH_JWKS_URL`, default the issuer with `/.well-known/jwks.json`.
    pub jwks_url: String,
    /// `PAINEL_AUTH_JWKS_SECONDS`, default 3600: how old the issuer's keys may be before they are fetched anew.
    pub jwks_age: Duration,
    /// `PAINEL_AUTH_CLIENT_IDS`, required: the app clients whose tokens are taken, separated by commas.
    pub client_ids: Vec<String>,
    /// `PAINEL_AUTH_TOKEN_USE`, default `access`: `access` or `id`.
    pub token_use: TokenUse,
}

impl AuthConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let issuer = vars.required_secure_url("PAINEL_AUTH_ISSUER")?;
        let jwks_url = vars.secure_url("PAINEL_AUTH_JWKS_URL")?;
        let clients = vars.required("PAINEL_AUTH_CLIENT_IDS", "a comma-separated list of app client ids")?;
        Ok(Self {
            jwks_url: jwks_url.unwrap_or_else(|| format!("{issuer}/.well-known/jwks.json")),
            jwks_age: vars.seconds_or("PAINEL_AUTH_JWKS_SECONDS", 3_600)?,
            issuer,
            client_ids: clients.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            token_use: TokenUse::from_vars(vars)?,
        })
    }
}
