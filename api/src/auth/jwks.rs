//! The issuer's keys, cached.
//!
//! A known key never waits for the issuer: the set is fetched anew beside the requests once it is an hour old, and is good
//! for a day. A key that is not known is looked for at most once in ten seconds, by one fetch for all who wait, which goes
//! on though they give up: tokens with made-up key ids cannot cause a storm. While the issuer is down it is asked again
//! each second.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jsonwebtoken::{
    DecodingKey,
    jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;

/// The shortest time between two fetches.
const PAUSE: Duration = Duration::from_secs(10);
/// The shortest time between a fetch that failed and the next.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Past this age it is trusted no more: a key that was withdrawn must be forgotten, whatever the issuer does.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How long one fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(3);
/// No key set is larger.
const LARGEST_SET: usize = 256 * 1024;

/// Why a key was not found.
#[derive(Debug)]
pub(super) enum KeyError {
    /// The issuer has no such key.
    Unknown,
    /// The issuer's keys have never been had.
    Unavailable(String),
}

/// The keys of one issuer.
#[derive(Clone)]
pub(super) struct KeySet {
    url: Arc<str>,
    refresh_age: Duration,
    client: Client,
    state: Arc<Mutex<State>>,
}

/// A fetch under way, for all who wait; why it failed.
type Fetch = Shared<BoxFuture<'static, Result<(), Arc<str>>>>;

#[derive(Default)]
struct State {
    by_id: HashMap<String, DecodingKey>,
    fetched_at: Option<Instant>,
    fetch: Option<Fetch>,
    next_fetch: Option<Instant>,
}

impl State {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.fetched_at.is_some_and(|at| at.elapsed() < age)
    }

    /// The key, if the set can be trusted.
    fn find(&self, kid: &str) -> Option<DecodingKey> {
        self.by_id.get(kid).filter(|_| self.is_younger_than(MAX_AGE)).cloned()
    }
}

/// A fetch is under way until this is dropped.
struct UnderWay<'a>(&'a KeySet);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().fetch = None;
    }
}

impl KeySet {
    /// Those at that URL, to be fetched anew when they are so old.
    pub(super) fn new(url: &str, refresh_age: Duration) -> anyhow::Result<Self> {
        // What is asked over HTTPS is not answered from elsewhere.
        let client = Client::builder().timeout(FETCH_LIMIT).redirect(Policy::none()).build();
        let client = client.context("no HTTP client for the key set")?;
        Ok(Self { url: url.into(), refresh_age, client, state: Arc::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of that id.
    pub(super) async fn find(&self, kid: &str) -> Result<DecodingKey, KeyError> {
        let fetch = {
            let mut state = self.state();
            let found = state.find(kid);
            let is_fresh = found.is_some() && state.is_younger_than(self.refresh_age);
            let fetch = if is_fresh { None } else { self.refresh(&mut state) };
            if let Some(key) = found {
                return Ok(key);
            }
            fetch
        };
        let fetched = match fetch {
            Some(fetch) => fetch.await,
            None => Ok(()),
        };
        let state = self.state();
        match (state.find(kid), fetched) {
            (Some(key), _) => Ok(key),
            (None, _) if state.is_younger_than(MAX_AGE) => Err(KeyError::Unknown),
            (None, Err(error)) => Err(KeyError::Unavailable(error.to_string())),
            (None, Ok(())) => Err(KeyError::Unavailable("the issuer's keys could not be fetched".to_owned())),
        }
    }

    /// Begins a fetch, or joins the one under way; none where it is too early for another.
    fn refresh(&self, state: &mut State) -> Option<Fetch> {
        if let Some(under_way) = &state.fetch {
            return Some(under_way.clone());
        }
        if state.next_fetch.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        let own = self.clone();
        let task = tokio::spawn(async move { own.fetch_and_keep().await });
        let ended = |joined: Result<_, tokio::task::JoinError>| {
            joined.unwrap_or_else(|error| Err(error.to_string().into()))
        };
        let fetch = task.map(ended).boxed().shared();
        state.fetch = Some(fetch.clone());
        Some(fetch)
    }

    async fn fetch_and_keep(&self) -> Result<(), Arc<str>> {
        // Dropped last, and also where this is.
        let _under_way = UnderWay(self);
        let fetched = self.fetch().await;
        let mut state = self.state();
        state.next_fetch = Some(Instant::now() + if fetched.is_ok() { PAUSE } else { PAUSE_AFTER_FAILURE });
        match fetched {
            Ok(by_id) => {
                (state.by_id, state.fetched_at) = (by_id, Some(Instant::now()));
                Ok(())
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "the issuer's keys were not fetched; known ones go on");
                Err(error.into())
            }
        }
    }

    async fn fetch(&self) -> anyhow::Result<HashMap<String, DecodingKey>> {
        let mut response = self.client.get(&*self.url).send().await?.error_for_status()?;
        anyhow::ensure!(response.status().is_success(), "the issuer answers {}", response.status());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            body.extend_from_slice(&part);
            anyhow::ensure!(body.len() <= LARGEST_SET, "the key set is larger than {LARGEST_SET} bytes");
        }
        let set: Set = serde_json::from_slice(&body)?;
        // One that cannot be read, such as of a kind that comes later, takes nothing from the others.
        let read = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let usable = read.filter(verifies);
        let keys: HashMap<String, DecodingKey> = usable
            .filter_map(|jwk| Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(&jwk).ok()?)))
            .collect();
        anyhow::ensure!(!keys.is_empty(), "the key set holds no RS256 key for signatures");
        Ok(keys)
    }
}

/// A JWK set (RFC 7517, 5).
#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// Whether a key is for verifying RS256, as far as it says what it is for (RFC 7517, 4.2 to 4.4).
fn verifies(jwk: &Jwk) -> bool {
    let common = &jwk.common;
    common.key_algorithm.is_none_or(|algorithm| algorithm == KeyAlgorithm::RS256)
        && common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("url", &self.url).finish_non_exhaustive()
    }
}
