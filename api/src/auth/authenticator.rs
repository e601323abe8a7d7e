//! From a token to a caller: verified, within their rate, and still a member of their tenant.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use moka::future::Cache;
use painel_shared::{
    db::{Database, Member},
    secrets::sha256_hex,
};

use super::{
    caller::Caller,
    cognito::{Verified, Verifier},
};
use crate::{problem::ApiError, rates::Rates};

/// How long it may take until a user who was made inactive is shut out.
const MEMBER_AGE: Duration = Duration::from_secs(10);
/// From which age on they are looked for anew, beside the requests: who asks often waits for that once.
const RENEWED: Duration = Duration::from_secs(5);
const MEMBERS_AT_MOST: u64 = 100_000;
/// How long a token that was verified is known by its hash.
const TOKEN_AGE: Duration = Duration::from_secs(5);
const TOKENS_AT_MOST: u64 = 100_000;

/// What was found of a user.
#[derive(Clone, Debug)]
struct Membership {
    member: Option<Member>,
    found: Instant,
    /// Whether somebody has begun to look anew.
    is_renewed: Arc<AtomicBool>,
}

impl Membership {
    fn of(member: Option<Member>) -> Self {
        Self { member, found: Instant::now(), is_renewed: Arc::default() }
    }
}

/// Tells who asks.
#[derive(Debug)]
pub struct Authenticator {
    verifier: Verifier,
    rates: Rates,
    db: Database,
    members: Cache<String, Membership>,
    tokens: Cache<String, Verified>,
}

impl Authenticator {
    /// One with that verifier and those rates, which finds users' tenants in `db`.
    pub fn new(verifier: Verifier, rates: Rates, db: Database) -> Self {
        let members = Cache::builder().max_capacity(MEMBERS_AT_MOST).time_to_live(MEMBER_AGE).build();
        let tokens = Cache::builder().max_capacity(TOKENS_AT_MOST).time_to_live(TOKEN_AGE).build();
        Self { verifier, rates, db, members, tokens }
    }

    /// The caller whose token this is.
    pub(super) async fn authenticate(&self, token: &str) -> Result<Caller, ApiError> {
        self.admit(self.verify(token).await?).await
    }

    /// Lets somebody in who is known: within their rate, and still a member of their tenant.
    pub async fn admit(&self, mut caller: Caller) -> Result<Caller, ApiError> {
        self.rates.check_caller(&caller.sub)?;
        // Operators are no tenant's users.
        if !caller.is_internal() {
            caller.join(self.find_member(&caller.sub).await?)?;
            if let Some(tenant) = caller.tenant_id {
                self.rates.check_tenant(tenant)?;
            }
        }
        Ok(caller)
    }

    /// Verifies a token, or recognises one that has just been verified.
    async fn verify(&self, token: &str) -> Result<Caller, ApiError> {
        let hash = sha256_hex(token.as_bytes());
        if let Some(known) = self.tokens.get(&hash).await.filter(Verified::is_still_good) {
            return Ok(known.caller);
        }
        let verified = self.verifier.verify(token).await.map_err(ApiError::from)?;
        self.tokens.insert(hash, verified.clone()).await;
        Ok(verified.caller)
    }

    async fn find_member(&self, sub: &str) -> Result<Option<Member>, ApiError> {
        let found = async { self.db.find_member(sub).await.map(Membership::of) };
        let known = self.members.try_get_with_by_ref(sub, found).await;
        let known = known.map_err(|error| ApiError::Unavailable(error.to_string()))?;
        if known.found.elapsed() > RENEWED && !known.is_renewed.swap(true, Ordering::Relaxed) {
            let (members, db, sub) = (self.members.clone(), self.db.clone(), sub.to_owned());
            tokio::spawn(async move {
                match db.find_member(&sub).await {
                    Ok(member) => members.insert(sub, Membership::of(member)).await,
                    // It is looked for once more when what is known has become too old.
                    Err(error) => tracing::debug!(%error, "a membership was not renewed"),
                }
            });
        }
        Ok(known.member)
    }
}
