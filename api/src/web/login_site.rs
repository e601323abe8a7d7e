//! The site where people sign in: Cognito's, or one that speaks as it does. The code flow with PKCE (RFC 6749, 4.1;
//! RFC 7636), and Cognito's own ways out.

use std::time::Duration;

use anyhow::Context;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, ExtraTokenFields,
    HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError,
    Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use reqwest::{header::CONTENT_TYPE, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use url::{Url, form_urlencoded};

use super::config::PanelSettings;

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How many questions it is asked at once.
const MOST_AT_ONCE: usize = 32;
/// No answer of it is larger.
const LARGEST_ANSWER: usize = 64 * 1024;
/// Where it sends people back to.
pub(super) const CALLBACK: &str = "/app/callback";
/// Where it sends people who have signed out.
pub(super) const SIGNED_OUT: &str = "/app/signed-out";

/// What the token endpoint tells beside the access token (OpenID Connect Core, 3.1.3.3).
#[derive(Debug, Deserialize, Serialize)]
struct IdToken {
    id_token: String,
}

impl ExtraTokenFields for IdToken {}

type Answer = StandardTokenResponse<IdToken, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The site, for one app client.
pub(super) struct LoginSite {
    client: Client,
    http: reqwest::Client,
    /// Who comes back with a code, whoever they are.
    comers: Semaphore,
    /// Who has a session: strangers take none of these places.
    members: Semaphore,
    client_id: String,
    client_secret: Option<SecretString>,
    revocation: Url,
    logout: Url,
}

/// Where to send somebody to sign in, and what must be known when they come back.
pub(super) struct Departure {
    pub(super) url: Url,
    pub(super) state: String,
    pub(super) verifier: String,
}

/// What a code, or a refresh token, was redeemed for.
pub(super) struct Tokens {
    pub(super) id_token: String,
    pub(super) refresh_token: Option<String>,
}

/// Why nothing was redeemed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedeemError {
    /// The site does not take the code, or the token.
    #[error("it was refused: {0}")]
    Refused(String),
    /// The site did not answer as it should.
    #[error("the login site did not answer: {0}")]
    Unavailable(String),
}

impl LoginSite {
    pub(super) fn new(settings: &PanelSettings) -> anyhow::Result<Self> {
        let at = |path: &str| format!("{}{path}", settings.oauth_url);
        let mut client = oauth2::Client::new(ClientId::new(settings.client_id.clone()))
            .set_auth_uri(AuthUrl::new(at("/oauth2/authorize"))?)
            .set_token_uri(TokenUrl::new(at("/oauth2/token"))?)
            .set_redirect_uri(RedirectUrl::new(format!("{}{CALLBACK}", settings.public_url))?);
        if let Some(secret) = &settings.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        // A token endpoint that sends elsewhere is none.
        let http = reqwest::Client::builder().timeout(LIMIT).redirect(Policy::none()).build();
        let mut logout = Url::parse(&at("/logout"))?;
        let back = format!("{}{SIGNED_OUT}", settings.public_url);
        logout.query_pairs_mut().append_pair("client_id", &settings.client_id).append_pair("logout_uri", &back);
        Ok(Self {
            client,
            http: http.context("no HTTP client for the login site")?,
            comers: Semaphore::new(MOST_AT_ONCE),
            members: Semaphore::new(MOST_AT_ONCE),
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            revocation: Url::parse(&at("/oauth2/revoke"))?,
            logout,
        })
    }

    /// Sends somebody to sign in; their token must bear `nonce`.
    pub(super) fn departure(&self, nonce: String) -> Departure {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = ["openid", "email", "profile"].map(|scope| Scope::new(scope.to_owned()));
        let asked = self.client.authorize_url(CsrfToken::new_random).add_scopes(scopes);
        let (url, state) = asked.set_pkce_challenge(challenge).add_extra_param("nonce", nonce).url();
        Departure { url, state: state.into_secret(), verifier: verifier.into_secret() }
    }

    /// Redeems what somebody came back with.
    pub(super) async fn redeem(&self, code: String, verifier: String) -> Result<Tokens, RedeemError> {
        let asked = self.client.exchange_code(AuthorizationCode::new(code));
        let asked = asked.set_pkce_verifier(PkceCodeVerifier::new(verifier));
        asked.request_async(&|request| self.send(request, &self.comers)).await.map(tokens).map_err(refusal)
    }

    /// Asks anew for what is said of somebody.
    pub(super) async fn refresh(&self, refresh_token: String) -> Result<Tokens, RedeemError> {
        let token = RefreshToken::new(refresh_token);
        let asked = self.client.exchange_refresh_token(&token);
        asked.request_async(&|request| self.send(request, &self.members)).await.map(tokens).map_err(refusal)
    }

    /// Has a refresh token forgotten (RFC 7009). The library's own way asks for TLS also on loopback.
    pub(super) async fn revoke(&self, refresh_token: &str) -> anyhow::Result<()> {
        let _one = place(&self.members).await?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", refresh_token).append_pair("client_id", &self.client_id);
        let asked =
            self.http.post(self.revocation.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let asked = match &self.client_secret {
            Some(secret) => asked.basic_auth(&self.client_id, Some(secret.expose_secret())),
            None => asked,
        };
        asked.body(form.finish()).send().await?.error_for_status()?;
        Ok(())
    }

    /// Where somebody signs out of the site itself.
    pub(super) fn logout(&self) -> &Url {
        &self.logout
    }

    async fn send(&self, request: HttpRequest, places: &Semaphore) -> Result<HttpResponse, SendError> {
        let _one = place(places).await?;
        let mut response = self.http.execute(request.try_into()?).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            body.extend_from_slice(&part);
            if body.len() > LARGEST_ANSWER {
                return Err(SendError::TooLarge);
            }
        }
        let mut answer = HttpResponse::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

/// A place among those who ask the site at once: soon, or not at all.
async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, SendError> {
    let place = timeout(LIMIT, places.acquire()).await;
    place.ok().and_then(Result::ok).ok_or(SendError::Busy)
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("too many sign in at once")]
    Busy,
    #[error("the answer is larger than {LARGEST_ANSWER} bytes")]
    TooLarge,
}

fn tokens(answer: Answer) -> Tokens {
    let refresh_token = answer.refresh_token().map(|token| token.secret().clone());
    Tokens { id_token: answer.extra_fields().id_token.clone(), refresh_token }
}

fn refusal(error: RequestTokenError<SendError, BasicErrorResponse>) -> RedeemError {
    match error {
        // Any other error (RFC 6749, 5.2) says something of the site, or of how it is asked, and nothing of the person.
        RequestTokenError::ServerResponse(refused) if *refused.error() == BasicErrorResponseType::InvalidGrant => {
            RedeemError::Refused(refused.to_string())
        }
        error => RedeemError::Unavailable(error.to_string()),
    }
}
