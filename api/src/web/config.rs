//! Where the panel stands, and who signs people in, from the environment.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use painel_shared::{
    config::{ConfigError, Vars},
    secrets::Keyring,
};
use secrecy::SecretString;

const SESSION_KEYS: &str = "PAINEL_SESSION_KEYS";
const KEYS_FORM: &str =
    "a comma-separated list of id:base64 of a 32-byte key, each id once; the first one seals, all of them open";

/// The panel's configuration. Without what has no default the API runs all the same, and the panel says what is missing.
#[derive(Clone)]
pub struct PanelConfig {
    /// `PAINEL_PUBLIC_URL`: where browsers find the panel, without a path; default the address that is listened on, where that
    /// is on loopback.
    pub public_url: Option<String>,
    /// `PAINEL_OAUTH_URL`: where people sign in: the pool's domain, such as `https://example.auth.us-east-1.amazoncognito.com`.
    pub oauth_url: Option<String>,
    /// `PAINEL_OAUTH_CLIENT_ID`: the panel's app client.
    pub client_id: Option<String>,
    /// `PAINEL_OAUTH_CLIENT_SECRET`, default none: its secret, if it has one.
    pub client_secret: Option<SecretString>,
    /// `PAINEL_SESSION_KEYS`: `id:base64,id:base64`, of 32 bytes each; the first seals sessions, all open them.
    pub session_keys: Option<Arc<Keyring>>,
    /// `PAINEL_SESSION_HOURS`, default 12: when a session ends, whatever is done in it.
    pub longest: Duration,
    /// `PAINEL_SESSION_IDLE_MINUTES`, default 30: how long it goes on without a page or a form.
    pub idle: Duration,
}

/// The settings of a panel that opens.
pub(super) struct PanelSettings {
    pub(super) public_url: String,
    pub(super) oauth_url: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<SecretString>,
    pub(super) session_keys: Arc<Keyring>,
    pub(super) longest: Duration,
    pub(super) idle: Duration,
}

impl PanelConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self {
            public_url: vars.secure_url("PAINEL_PUBLIC_URL")?,
            oauth_url: vars.secure_url("PAINEL_OAUTH_URL")?,
            client_id: vars.text("PAINEL_OAUTH_CLIENT_ID").map(str::to_owned),
            client_secret: vars.text("PAINEL_OAUTH_CLIENT_SECRET").map(SecretString::from),
            session_keys: vars.text(SESSION_KEYS).map(read_keys).transpose()?,
            longest: Duration::from_secs(3600 * vars.number_or("PAINEL_SESSION_HOURS", 12)?),
            idle: Duration::from_secs(60 * vars.number_or("PAINEL_SESSION_IDLE_MINUTES", 30)?),
        })
    }

    /// The settings of a panel whose API listens there; or which variables are missing.
    pub(super) fn settle(self, address: SocketAddr) -> Result<PanelSettings, Vec<&'static str>> {
        let near = || address.ip().is_loopback().then(|| format!("http://{address}"));
        match (self.public_url.or_else(near), self.oauth_url, self.client_id, self.session_keys) {
            (Some(public_url), Some(oauth_url), Some(client_id), Some(session_keys)) => Ok(PanelSettings {
                public_url,
                oauth_url,
                client_id,
                client_secret: self.client_secret,
                session_keys,
                longest: self.longest,
                idle: self.idle,
            }),
            (public_url, oauth_url, client_id, session_keys) => {
                let all = [
                    ("PAINEL_PUBLIC_URL", public_url.is_none()),
                    ("PAINEL_OAUTH_URL", oauth_url.is_none()),
                    ("PAINEL_OAUTH_CLIENT_ID", client_id.is_none()),
                    (SESSION_KEYS, session_keys.is_none()),
                ];
                Err(all.into_iter().filter(|(_, is_missing)| *is_missing).map(|(name, _)| name).collect())
            }
        }
    }
}

fn read_keys(text: &str) -> Result<Arc<Keyring>, ConfigError> {
    let keyring = Keyring::read(text).ok_or_else(|| ConfigError::new(SESSION_KEYS, format!("must be {KEYS_FORM}")));
    keyring.map(Arc::new)
}

impl fmt::Debug for PanelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanelConfig").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}
