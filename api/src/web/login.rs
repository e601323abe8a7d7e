//! Signing in and out: to the login site and back (its code flow), and a session from what it says.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::Cookie,
    http::header::{self, HeaderValue},
};
use painel_shared::{
    secrets::{SecretError, random_token},
    time::now,
};
use secrecy::ExposeSecret;
use url::Url;

use super::{
    login_site::{RedeemError, Tokens},
    panel::{Open, Panel},
    preferences::Preferences,
    session::{self, Attempt, Session},
    shell::{self, Stop},
};
use crate::{auth::SignedIn, problem::ApiError, profile::find_preferences, query::QueryFields, state::AppState};

/// Where somebody goes who wanted to go nowhere in particular.
const HOME: &str = "/app";
const LONGEST_PATH: usize = 1_000;
/// No code, state or error of a login site is longer.
const LONGEST_ANSWER: usize = 4_000;

/// `GET /app/login?return=`: sends somebody to sign in, and then to a page.
pub(super) async fn depart(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let panel = Panel::of(&request)?;
    let Some(open) = panel.open() else { return Ok(shell::stop(&request, Stop::Missing)) };
    let mut fields = QueryFields::of(&request);
    let return_to = fields.text("return", LONGEST_PATH).filter(|path| is_page(path));
    let nonce = random_token()?.expose_secret().to_owned();
    let departure = open.login_site.departure(nonce.clone());
    let attempt = Attempt {
        verifier: departure.verifier,
        state: departure.state,
        nonce,
        return_to: return_to.unwrap_or_else(|| HOME.to_owned()),
        began: now().timestamp(),
    };
    let cookies = open.sessions.seal_attempt(&attempt)?;
    Ok(redirect(departure.url.as_str(), cookies))
}

/// `GET /app/callback`: somebody comes back from the login site.
pub(super) async fn arrive(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let panel = Panel::of(&request)?;
    let Some(open) = panel.open() else { return Ok(shell::stop(&request, Stop::Missing)) };
    let mut fields = QueryFields::of(&request);
    let mut given = |name: &str| fields.text(name, LONGEST_ANSWER);
    let (state, code, error) = (given("state"), given("code"), given("error"));
    let attempt = open.sessions.attempt(&request).filter(|attempt| state.as_ref() == Some(&attempt.state));
    let Some(attempt) = attempt else {
        // Of several pages that went to sign in at once, the others have come back.
        let is_signed_in = open.sessions.of(&request).is_some();
        return Ok(if is_signed_in {
            redirect(HOME, Vec::new())
        } else {
            shell::stop(&request, Stop::AttemptOver)
        });
    };
    let Some(code) = code else {
        tracing::info!(error, "the login site sent somebody back without a code");
        return Ok(shell::stop(&request, Stop::Declined));
    };
    let tokens = match open.login_site.redeem(code, attempt.verifier).await {
        Ok(tokens) => tokens,
        Err(error) => return Ok(shell::stop(&request, stop_of(&error))),
    };
    match session_of(open, tokens, Some(&attempt.nonce), Preferences::default()).await {
        Ok(mut session) => {
            session.preferences = preferences_of(&request, &session).await;
            let mut cookies = open.sessions.seal(&session)?;
            cookies.push(session::attempt_removal());
            Ok(redirect(&attempt.return_to, cookies))
        }
        Err(ApiError::Unauthorized) => Ok(shell::stop(&request, Stop::BadToken)),
        Err(error) => Err(error),
    }
}

/// What somebody has chosen before, or else the default: that it is not known keeps nobody out.
async fn preferences_of(request: &HttpRequest, session: &Session) -> Preferences {
    let Ok(state) = AppState::of(request) else { return session.preferences };
    let found = find_preferences(&state.stores.db, &session.caller.sub).await;
    let found = found.unwrap_or_else(|error| {
        tracing::warn!(%error, "what somebody has chosen is not known: PostgreSQL did not answer");
        None
    });
    found.unwrap_or(session.preferences)
}

/// `POST /app/logout`: ends the session here and at the login site. The answer leads there by `Refresh`, as a form's answer
/// may not redirect to another origin (`form-action`).
pub(super) async fn leave(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let panel = Panel::of(&request)?;
    let Some(open) = panel.open() else { return Ok(shell::stop(&request, Stop::Missing)) };
    if let Some(token) = open.sessions.of(&request).and_then(|session| session.refresh_token)
        && let Err(error) = open.login_site.revoke(&token).await
    {
        tracing::warn!(%error, "a refresh token was not revoked; it ends by itself");
    }
    let mut response = shell::stop(&request, Stop::Leaving);
    let url = HeaderValue::from_str(&format!("0; url={}", open.login_site.logout()));
    response.headers_mut().insert(header::REFRESH, url.map_err(|error| ApiError::Failed(error.to_string()))?);
    for cookie in session::removals(&request) {
        response.add_cookie(&cookie).map_err(|error| ApiError::Failed(error.to_string()))?;
    }
    Ok(response)
}

/// `GET /app/signed-out`: somebody comes back from signing out.
pub(super) async fn left(request: HttpRequest) -> HttpResponse {
    shell::stop(&request, Stop::SignedOut)
}

/// Asks the login site anew what it says of somebody: their groups, and whether they still may. None where it says no.
pub(super) async fn renew(open: &Open, old: &Session) -> Result<Option<Session>, ApiError> {
    let Some(refresh_token) = old.refresh_token.clone() else { return Ok(None) };
    let tokens = match open.login_site.refresh(refresh_token.clone()).await {
        Ok(tokens) => tokens,
        Err(RedeemError::Refused(cause)) => {
            tracing::info!(cause, "a session was not renewed");
            return Ok(None);
        }
        Err(RedeemError::Unavailable(cause)) => return Err(ApiError::Unavailable(cause)),
    };
    match session_of(open, tokens, None, old.preferences).await {
        // A session is one person's, and ends when it would have ended.
        Ok(new) if new.caller.sub == old.caller.sub => Ok(Some(Session {
            began: old.began,
            refresh_token: new.refresh_token.clone().or(Some(refresh_token)),
            ..new
        })),
        Ok(_) | Err(ApiError::Unauthorized) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn session_of(
    open: &Open,
    tokens: Tokens,
    nonce: Option<&str>,
    preferences: Preferences,
) -> Result<Session, ApiError> {
    let SignedIn { caller, name, nonce: borne, expires_at } = open.verifier.sign_in(&tokens.id_token).await?;
    if nonce.is_some_and(|wanted| borne.as_deref() != Some(wanted)) {
        tracing::info!("an id token was made for another attempt to sign in");
        return Err(ApiError::Unauthorized);
    }
    let now = now().timestamp();
    Ok(Session {
        caller,
        name,
        preferences,
        began: now,
        seen: now,
        good_until: expires_at,
        refresh_token: tokens.refresh_token,
    })
}

/// Whether somebody may be sent there: to a page of the panel, on this host, that is no part of signing in.
fn is_page(path: &str) -> bool {
    let own = ["/app/login", "/app/callback", "/app/logout", "/app/signed-out"];
    // A browser goes where the path leads when its dots are resolved.
    let leads_to = Url::parse("http://panel.invalid").and_then(|host| host.join(path));
    leads_to.is_ok_and(|url| path.split(['?', '#']).next() == Some(url.path()))
        && path.strip_prefix("/app").is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        && !path.contains("//")
        && !path.contains('\\')
        && !path.contains(char::is_control)
        && !own.iter().any(|prefix| path.starts_with(prefix))
}

/// Where somebody signs in who wants to go there.
pub(super) fn way_in(wanted: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if is_page(wanted) {
        query.append_pair("return", wanted);
    }
    let query = query.finish();
    if query.is_empty() { "/app/login".to_owned() } else { format!("/app/login?{query}") }
}

fn redirect(to: &str, cookies: Vec<Cookie<'static>>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, to));
    for cookie in cookies {
        response.cookie(cookie);
    }
    response.finish()
}

fn stop_of(error: &RedeemError) -> Stop {
    tracing::warn!(%error, "somebody could not sign in");
    match error {
        RedeemError::Refused(_) => Stop::AttemptOver,
        RedeemError::Unavailable(_) => Stop::LoginAway,
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        Self::Failed(error.to_string())
    }
}
