//! Sessions: sealed cookies. Nothing of one is kept on the server, so that any replica answers.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration as CookieAge},
};
use painel_shared::{
    secrets::{Keyring, SecretError},
    time::now,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::preferences::Preferences;
use crate::auth::Caller;

/// A browser keeps no larger cookie (RFC 6265, 6.1: 4,096 bytes with its name and attributes).
const LARGEST_COOKIE: usize = 3_800;
/// One sealed text takes no more of them.
const MOST_COOKIES: usize = 3;
/// How long somebody has to sign in.
pub(super) const ATTEMPT_AGE: Duration = Duration::from_secs(600);
/// After so many seconds a session is sealed anew: not at each of several pages a second.
const RESEALED: i64 = 60;

/// Somebody who is signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    /// Who, as their id token says.
    pub(super) caller: Caller,
    /// Their name, where the pool knows it.
    pub(super) name: Option<String>,
    /// How they read the panel.
    pub(super) preferences: Preferences,
    /// When they signed in, in seconds since 1970.
    pub(super) began: i64,
    /// When they last opened a page.
    pub(super) seen: i64,
    /// When what their id token says must be asked anew.
    pub(super) good_until: i64,
    /// By which it is asked.
    pub(super) refresh_token: Option<String>,
}

/// Somebody who is about to sign in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) verifier: String,
    pub(super) state: String,
    pub(super) nonce: String,
    /// Where they wanted to go.
    pub(super) return_to: String,
    pub(super) began: i64,
}

/// Seals and opens sessions.
#[derive(Clone)]
pub(super) struct Sessions {
    keys: Arc<Keyring>,
    longest: i64,
    idle: i64,
}

/// What is kept in a cookie: under which name, and bound to it.
trait Kept: Serialize + DeserializeOwned {
    const COOKIE: &'static str;
}

impl Kept for Session {
    const COOKIE: &'static str = "__Host-painel";
}

impl Kept for Attempt {
    const COOKIE: &'static str = "__Host-painel-login";
}

impl Session {
    /// When it ends unless another page is opened, in seconds since 1970.
    pub(super) fn ends_at(&self, sessions: &Sessions) -> i64 {
        (self.began + sessions.longest).min(self.seen + sessions.idle)
    }

    /// Notes that a page was opened; whether the seal is old enough to be renewed.
    pub(super) fn see(&mut self) -> bool {
        let is_old = now().timestamp() - self.seen >= RESEALED;
        if is_old {
            self.seen = now().timestamp();
        }
        is_old
    }
}

impl Sessions {
    pub(super) fn new(keys: Arc<Keyring>, longest: Duration, idle: Duration) -> Self {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4);
        Self { keys, longest: seconds(longest), idle: seconds(idle) }
    }

    /// The session of a request, where it has one that has not ended.
    pub(super) fn of(&self, request: &HttpRequest) -> Option<Session> {
        let session: Session = self.open(request)?;
        let now = now().timestamp();
        // A clock of another replica may be a little ahead.
        (now < session.ends_at(self) && session.began <= now + 60).then_some(session)
    }

    /// The attempt to sign in that a request belongs to.
    pub(super) fn attempt(&self, request: &HttpRequest) -> Option<Attempt> {
        let attempt: Attempt = self.open(request)?;
        let age = now().timestamp() - attempt.began;
        u64::try_from(age.max(0)).is_ok_and(|age| age < ATTEMPT_AGE.as_secs()).then_some(attempt)
    }

    /// The cookies that hold a session.
    pub(super) fn seal(&self, session: &Session) -> Result<Vec<Cookie<'static>>, SecretError> {
        self.cookies(session, None)
    }

    /// The cookies that hold an attempt.
    pub(super) fn seal_attempt(&self, attempt: &Attempt) -> Result<Vec<Cookie<'static>>, SecretError> {
        self.cookies(attempt, Some(ATTEMPT_AGE))
    }

    fn cookies<K: Kept>(&self, kept: &K, age: Option<Duration>) -> Result<Vec<Cookie<'static>>, SecretError> {
        let text = serde_json::to_vec(kept).map_err(|_| SecretError::Crypto)?;
        let sealed = self.keys.seal_text(text, K::COOKIE.as_bytes())?;
        let count = sealed.len().div_ceil(LARGEST_COOKIE);
        if count > MOST_COOKIES {
            return Err(SecretError::TooLong);
        }
        // The first says how many there are: what an earlier session left behind is no part of this one.
        let counted = format!("{count}{sealed}");
        let (first, rest) = counted.split_at(counted.len().min(LARGEST_COOKIE + 1));
        let rest = rest.as_bytes().chunks(LARGEST_COOKIE).map(|part| String::from_utf8_lossy(part).into_owned());
        let parts = std::iter::once(first.to_owned()).chain(rest);
        Ok(parts.enumerate().map(|(place, part)| cookie(cookie_name::<K>(place), part, age)).collect())
    }

    fn open<K: Kept>(&self, request: &HttpRequest) -> Option<K> {
        let part = |place| request.cookie(&cookie_name::<K>(place)).map(|cookie| cookie.value().to_owned());
        let first = part(0)?;
        let (count, begin) = first.split_at_checked(1)?;
        let count = count.parse().ok().filter(|count| (1..=MOST_COOKIES).contains(count))?;
        let rest: String = (1..count).map(part).collect::<Option<_>>()?;
        let text = self.keys.open_text(&format!("{begin}{rest}"), K::COOKIE.as_bytes()).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// What removes the session that a request bears, or what is left of one.
pub(super) fn removals(request: &HttpRequest) -> Vec<Cookie<'static>> {
    let names = (0..MOST_COOKIES).map(cookie_name::<Session>);
    let borne = names.filter(|name| request.cookie(name).is_some());
    borne.map(|name| cookie(name, String::new(), Some(Duration::ZERO))).collect()
}

/// What removes an attempt to sign in.
pub(super) fn attempt_removal() -> Cookie<'static> {
    cookie(cookie_name::<Attempt>(0), String::new(), Some(Duration::ZERO))
}

fn cookie_name<K: Kept>(place: usize) -> String {
    if place == 0 { K::COOKIE.to_owned() } else { format!("{}-{place}", K::COOKIE) }
}

/// A cookie of this host alone, over TLS or loopback, out of reach of scripts. Lax, as a strict one is sent neither to the
/// callback nor to the page that it leads to.
fn cookie(name: String, value: String, age: Option<Duration>) -> Cookie<'static> {
    let mut cookie = Cookie::new(name, value);
    cookie.set_secure(true);
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Lax);
    cookie.set_path("/");
    if let Some(age) = age {
        cookie.set_max_age(CookieAge::seconds(i64::try_from(age.as_secs()).unwrap_or_default()));
    }
    cookie
}
