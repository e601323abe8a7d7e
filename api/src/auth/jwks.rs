//! The issuer's keys, cached.
//!
//! A key that is not known is looked for at the issuer at most once in ten seconds, by one request at a
//! time: tokens with made-up key ids cannot cause a storm. While the issuer is down it is asked again each second, and
//! known keys go on.

use std::{
    collections::HashMap,
    fmt,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::Context;
use jsonwebtoken::{
    DecodingKey,
    jwk::{JwkSet, KeyAlgorithm},
};
use reqwest::Client;
use tokio::sync::Mutex;

/// The shortest time between two fetches.
const PAUSE: Duration = Duration::from_secs(10);
/// The shortest time between a fetch that failed and the next.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Past this age the set is fetched anew, so that a key that was withdrawn is forgotten.
const MAX_AGE: Duration = Duration::from_secs(3600);
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
pub(super) struct KeySet {
    url: String,
    client: Client,
    keys: RwLock<Keys>,
    next_fetch: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Keys {
    by_id: HashMap<String, DecodingKey>,
    fetched_at: Option<Instant>,
}

impl KeySet {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(FETCH_LIMIT).build().context("no HTTP client for the key set")?;
        Ok(Self { url: url.to_owned(), client, keys: RwLock::default(), next_fetch: Mutex::new(None) })
    }

    /// The key of that id.
    pub(super) async fn find(&self, kid: &str) -> Result<DecodingKey, KeyError> {
        if let Some(key) = self.fresh(kid) {
            return Ok(key);
        }
        let fetched = self.refresh(kid).await;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        match (keys.by_id.get(kid), fetched) {
            (Some(key), _) => Ok(key.clone()),
            (None, Err(error)) if keys.fetched_at.is_none() => Err(KeyError::Unavailable(format!("{error:#}"))),
            (None, _) if keys.fetched_at.is_none() => {
                Err(KeyError::Unavailable("the issuer's keys could not be fetched".to_owned()))
            }
            (None, _) => Err(KeyError::Unknown),
        }
    }

    /// The key, if the set is not too old to trust unasked.
    fn fresh(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let young = keys.fetched_at.is_some_and(|at| at.elapsed() < MAX_AGE);
        keys.by_id.get(kid).filter(|_| young).cloned()
    }

    /// Fetches the set, unless somebody just has.
    async fn refresh(&self, kid: &str) -> anyhow::Result<()> {
        let mut next_fetch = self.next_fetch.lock().await;
        if self.fresh(kid).is_some() || next_fetch.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        // Also where this is given up half-way.
        *next_fetch = Some(Instant::now() + FETCH_LIMIT);
        let fetched = self.fetch().await;
        *next_fetch = Some(Instant::now() + if fetched.is_ok() { PAUSE } else { PAUSE_AFTER_FAILURE });
        if let Err(error) = &fetched {
            tracing::warn!(error = format!("{error:#}"), "the issuer's keys were not fetched; known ones go on");
        }
        let by_id = fetched?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Keys { by_id, fetched_at: Some(Instant::now()) };
        Ok(())
    }

    async fn fetch(&self) -> anyhow::Result<HashMap<String, DecodingKey>> {
        let response = self.client.get(&self.url).send().await?.error_for_status()?;
        let body = response.bytes().await?;
        anyhow::ensure!(body.len() <= LARGEST_SET, "the key set is larger than {LARGEST_SET} bytes");
        let set: JwkSet = serde_json::from_slice(&body)?;
        let usable = set
            .keys
            .iter()
            .filter(|jwk| jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == KeyAlgorithm::RS256));
        let keys: HashMap<String, DecodingKey> =
            usable.filter_map(|jwk| Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(jwk).ok()?))).collect();
        anyhow::ensure!(!keys.is_empty(), "the key set holds no RS256 key");
        Ok(keys)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("url", &self.url).finish_non_exhaustive()
    }
}
