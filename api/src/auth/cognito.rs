//! Verifying a Cognito token.
//!
//! "Verifying JSON web tokens" in the Amazon Cognito developer guide: signature by `kid`, `iss`, `exp`,
//! `token_use`, and `client_id` (access tokens, which bear no `aud`) or `aud` (id tokens).

use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use painel_shared::time::now;
use serde::Deserialize;
use serde_json::Value;

use super::{
    caller::{Caller, Group},
    jwks::{KeyError, KeySet},
};
use crate::{
    config::{AuthConfig, TokenUse},
    problem::ApiError,
};

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 30;
/// No token of ours is longer.
const LONGEST_TOKEN: usize = 8 * 1024;
/// No name of ours is longer: a subject, an address, a key's id.
const LONGEST_NAME: usize = 320;
/// The latest end of a token, in seconds since 1970: the year 9999.
const LATEST: i64 = 253_402_300_799;

/// Verifies tokens.
#[derive(Debug)]
pub struct Verifier {
    config: AuthConfig,
    keys: KeySet,
    validation: Validation,
}

/// Why a token was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// The token is bad; why, for the log.
    BadToken(String),
    /// The issuer's keys have never been had; why, for the log.
    NoKeys(String),
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoKeys(cause) => Self::Unavailable(cause),
            Refused::BadToken(cause) => {
                tracing::info!(cause, "token refused");
                Self::Unauthorized
            }
        }
    }
}

/// Whom an id token signs in.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub caller: Caller,
    /// Their name, where the pool knows it.
    pub name: Option<String>,
    /// The attempt to sign in that it was made for (OpenID Connect Core, 2).
    pub nonce: Option<String>,
    /// Until when it says so, in seconds since 1970.
    pub expires_at: i64,
}

/// A caller, and until when the token says so, in seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    expires_at: i64,
}

impl Verified {
    /// Whether the token has not expired since.
    pub(super) fn is_still_good(&self) -> bool {
        now().timestamp() <= self.expires_at.saturating_add_unsigned(LEEWAY)
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    /// Verified already; one issuer, not a list of which it is one.
    #[serde(rename = "iss")]
    _issuer: String,
    exp: i64,
    token_use: String,
    client_id: Option<String>,
    email: Option<String>,
    username: Option<String>,
    name: Option<String>,
    nonce: Option<String>,
    #[serde(rename = "custom:tenant_id")]
    tenant_id: Option<String>,
    /// What is no list of names names no right.
    #[serde(rename = "cognito:groups", default)]
    groups: Value,
}

impl Verifier {
    /// A verifier of the configured issuer's tokens; its keys are fetched on first use.
    pub fn new(config: AuthConfig) -> anyhow::Result<Self> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&config.issuer]);
        match config.token_use {
            TokenUse::Access => {
                validation.validate_aud = false;
                validation.set_required_spec_claims(&["exp", "iss", "sub"]);
            }
            TokenUse::Id => {
                validation.set_audience(&config.client_ids);
                validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
            }
        }
        Ok(Self { keys: KeySet::new(&config.jwks_url, config.jwks_age)?, config, validation })
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Verified, Refused> {
        let claims = self.claims(token).await?;
        let expires_at = claims.exp;
        Ok(Verified { caller: self.caller(claims)?, expires_at })
    }

    /// Verifies an id token that somebody has signed in with.
    pub async fn sign_in(&self, token: &str) -> Result<SignedIn, ApiError> {
        let mut claims = self.claims(token).await?;
        let (name, nonce, expires_at) = (claims.name.take(), claims.nonce.take(), claims.exp);
        Ok(SignedIn { caller: self.caller(claims)?, name: name.filter(|name| is_name(name)), nonce, expires_at })
    }

    async fn claims(&self, token: &str) -> Result<Claims, Refused> {
        if token.len() > LONGEST_TOKEN {
            return Err(bad("it is too long"));
        }
        let header = decode_header(token).map_err(|error| bad(error.to_string()))?;
        let kid = key_of(header)?;
        let key = self.keys.find(&kid).await.map_err(|error| match error {
            KeyError::Unknown => bad("its key is not the issuer's"),
            KeyError::Unavailable(cause) => Refused::NoKeys(cause),
        })?;
        Ok(decode(token, &key, &self.validation).map_err(|error| bad(error.to_string()))?.claims)
    }

    fn caller(&self, claims: Claims) -> Result<Caller, Refused> {
        let expected = match self.config.token_use {
            TokenUse::Access => "access",
            TokenUse::Id => "id",
        };
        if claims.token_use != expected {
            return Err(bad(format!("its use is not {expected}")));
        }
        let known = |client: &String| self.config.client_ids.contains(client);
        if self.config.token_use == TokenUse::Access && !claims.client_id.as_ref().is_some_and(known) {
            return Err(bad("it was issued to another client"));
        }
        let tenant_id = match &claims.tenant_id {
            None => None,
            Some(text) if text.len() == 36 => Some(text.parse().map_err(|_| bad("its tenant is no UUID"))?),
            Some(_) => return Err(bad("its tenant is no UUID")),
        };
        if !is_name(&claims.sub) {
            return Err(bad("it names nobody"));
        }
        if !(0..=LATEST).contains(&claims.exp) {
            return Err(bad("its end is no time"));
        }
        if ![&claims.email, &claims.username].into_iter().flatten().all(|name| is_name(name)) {
            return Err(bad("the name or address in it is none"));
        }
        let groups = claims.groups.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(Caller {
            // A pool whose users sign in by address names them by their `sub`, which is no address.
            email: claims.email.or(claims.username.filter(|name| *name != claims.sub)),
            sub: claims.sub,
            tenant_id,
            groups: groups.filter_map(Group::named).collect(),
        })
    }
}

/// The id of the key that a token says it is signed with, where its header is one that is taken.
pub fn key_id(token: &str) -> Option<String> {
    key_of(decode_header(token).ok()?).ok()
}

/// What a header must be, and must not ask for (RFC 7515, 4.1).
fn key_of(header: Header) -> Result<String, Refused> {
    if header.alg != Algorithm::RS256 {
        return Err(bad("its algorithm is not RS256"));
    }
    if header.crit.is_some() {
        return Err(bad("it must be understood in a way that is not known here"));
    }
    let known = |kind: &String| ["JWT", "at+jwt"].iter().any(|name| kind.eq_ignore_ascii_case(name));
    if !header.typ.as_ref().is_none_or(known) {
        return Err(bad("it is no access or id token"));
    }
    header.kid.filter(|kid| is_name(kid)).ok_or_else(|| bad("it names no key"))
}

/// Whether a text can name somebody or something.
fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && !text.contains(char::is_control)
}

fn bad(cause: impl Into<String>) -> Refused {
    Refused::BadToken(cause.into())
}
