//! What the pages stand on beside the endpoints' state: sessions, and the site where people sign in.

use std::{fmt, net::SocketAddr};

use actix_web::{HttpRequest, web::Data};
use url::Url;

use super::{
    config::{PanelConfig, PanelSettings},
    login_site::LoginSite,
    session::Sessions,
};
use crate::{
    auth::Verifier,
    config::{AuthConfig, TokenUse},
    problem::ApiError,
};

/// The panel, where it is configured.
pub enum Panel {
    /// It opens.
    Open(Box<Open>),
    /// These variables are missing.
    Missing(Vec<&'static str>),
}

/// A panel that opens.
pub struct Open {
    pub(super) sessions: Sessions,
    pub(super) login_site: LoginSite,
    pub(super) verifier: Verifier,
    /// The origin that its own pages have (RFC 6454).
    pub(super) origin: String,
}

impl Panel {
    /// The panel as configured, of an API that listens there. Whoever signs in is of the issuer whose tokens that takes.
    pub fn new(config: PanelConfig, auth: &AuthConfig, address: SocketAddr) -> anyhow::Result<Self> {
        match config.settle(address) {
            Ok(settings) => Ok(Self::Open(Box::new(Open::new(&settings, auth)?))),
            Err(missing) => Ok(Self::Missing(missing)),
        }
    }

    /// That of the server which has the request.
    pub(super) fn of(request: &HttpRequest) -> Result<Data<Self>, ApiError> {
        request.app_data().cloned().ok_or_else(|| ApiError::Failed("the server has no panel".to_owned()))
    }

    /// The panel, if it opens.
    pub(super) fn open(&self) -> Option<&Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Missing(_) => None,
        }
    }

    /// The variables that are missing.
    pub(super) fn missing(&self) -> &[&'static str] {
        match self {
            Self::Open(_) => &[],
            Self::Missing(variables) => variables,
        }
    }
}

impl Open {
    fn new(settings: &PanelSettings, auth: &AuthConfig) -> anyhow::Result<Self> {
        let auth =
            AuthConfig { client_ids: vec![settings.client_id.clone()], token_use: TokenUse::Id, ..auth.clone() };
        Ok(Self {
            sessions: Sessions::new(settings.session_keys.clone(), settings.longest, settings.idle),
            login_site: LoginSite::new(settings)?,
            verifier: Verifier::new(auth)?,
            origin: Url::parse(&settings.public_url)?.origin().ascii_serialization(),
        })
    }
}

impl fmt::Debug for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panel").field("missing", &self.missing()).finish_non_exhaustive()
    }
}
