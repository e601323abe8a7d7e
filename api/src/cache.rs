//! What has been computed and is kept, under the question that it answers.
//!
//! Concurrent requests for the same share one computation, which goes on when whoever asked gives up. An answer bears the
//! generation of what it is about at the moment when its computation began: whatever happens raises the generation, and
//! nothing from before is handed out again.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt::Debug,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix_web::web::Bytes;
use moka::{Expiry, future::Cache};
use painel_shared::{
    changes::{Change, Subject},
    ids::TenantId,
    secrets::sha256_hex,
};
use serde::Serialize;
use tokio::{runtime::Handle, sync::watch};
use tracing::Instrument;

use crate::problem::ApiError;

/// What an answer is about: what makes it stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheTag {
    /// One tenant, and what is recorded about it.
    Tenant(TenantId),
    /// All tenants together.
    Platform,
    /// The commands.
    Commands,
    /// The rollup runs.
    Runs,
    /// The tickets.
    Tickets,
    /// The audit log.
    AuditLog,
}

impl CacheTag {
    /// What is stale by a change.
    pub fn stale_by(change: Change) -> impl Iterator<Item = Self> {
        let of_subject: &[Self] = match change.subject {
            Subject::Command => &[Self::Commands, Self::AuditLog],
            Subject::Aggregation => &[Self::Runs, Self::AuditLog],
            Subject::Run => &[Self::Runs],
            Subject::Usage => &[Self::Runs, Self::Platform],
            Subject::Ticket => &[Self::Tickets, Self::AuditLog],
            Subject::Look | Subject::Other => &[Self::AuditLog],
        };
        // These change nothing else of a tenant.
        let tenant = change.tenant.filter(|_| !matches!(change.subject, Subject::Look | Subject::Ticket));
        of_subject.iter().copied().chain(tenant.map(Self::Tenant))
    }
}

/// How long an answer is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// So long, also in the hands of whoever asked.
    Private(Duration),
    /// So long in this process; whoever asked must ask again each time.
    Revalidated(Duration),
    /// For the moment alone.
    NotStored,
}

impl Lifetime {
    /// How long it is kept here.
    fn kept(self) -> Duration {
        match self {
            Self::Private(age) | Self::Revalidated(age) => age,
            Self::NotStored => Duration::ZERO,
        }
    }
}

/// A computed answer: the value, for whoever makes something else of it, and the JSON.
#[derive(Debug)]
pub struct Computed<V> {
    /// What was computed.
    pub value: V,
    /// The same as JSON.
    pub body: Bytes,
    /// By which the JSON is recognised (RFC 9110, 8.8.3), without quotes.
    pub etag: String,
    /// How long it is good.
    pub lifetime: Lifetime,
    /// When its computation ended.
    pub made: Instant,
}

impl<V: Serialize> Computed<V> {
    /// An answer that is good for so long.
    pub fn new(value: V, lifetime: Lifetime) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(&value).map_err(|error| ApiError::Failed(error.to_string()))?;
        let etag = sha256_hex(&body).get(..32).unwrap_or_default().to_owned();
        Ok(Self { value, body: body.into(), etag, lifetime, made: Instant::now() })
    }
}

/// What a request will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// What is kept is good enough.
    Kept,
    /// Nothing that was computed from an earlier moment on.
    Since(Instant),
}

/// For how long what is kept is handed out though nobody can tell what has happened meanwhile.
const UNFOLLOWED: Duration = Duration::from_secs(10);
/// A command is in the log before it is in the command store, and its end before it is there: a page of commands that was
/// read so soon after may lack it.
const BEHIND_THE_LOG: Duration = Duration::from_secs(15);
/// How long such a page is kept.
const BRIEFLY: Duration = Duration::from_secs(1);

/// The answers that are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QueryCache {
    kept: Cache<Key, Kept>,
    state: Arc<Mutex<State>>,
    /// Where computations go on.
    runtime: Handle,
}

#[derive(Debug)]
struct State {
    generations: HashMap<CacheTag, Generation>,
    /// Raised where it is not known what has happened.
    epoch: u64,
    followed: Instant,
    computations: HashMap<Key, Computation>,
    begun: u64,
}

/// How often something has changed, and when it last did.
#[derive(Clone, Copy, Debug, Default)]
struct Generation {
    number: u64,
    raised: Option<Instant>,
}

/// The epoch, and the generation in it.
type Version = (u64, u64);

/// A computation that is under way.
#[derive(Debug)]
struct Computation {
    id: u64,
    version: Version,
    began: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// An answer, of whatever type.
type Erased = Arc<dyn Any + Send + Sync>;
type Outcome = Result<Erased, ApiError>;

#[derive(Clone, Debug)]
struct Kept {
    version: Version,
    /// When its computation began.
    began: Instant,
    bytes: u32,
    lifetime: Duration,
    answer: Erased,
}

/// A question, of whatever type.
#[derive(Clone, Debug)]
struct Key(Arc<dyn Question>);

trait Question: Any + Debug + Send + Sync {
    fn equals(&self, other: &dyn Any) -> bool;
    fn hash_into(&self, hasher: &mut dyn Hasher);
}

impl<Q: Any + Debug + Eq + Hash + Send + Sync> Question for Q {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Q>() == Some(self)
    }

    fn hash_into(&self, mut hasher: &mut dyn Hasher) {
        TypeId::of::<Q>().hash(&mut hasher);
        self.hash(&mut hasher);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash_into(hasher);
    }
}

/// An answer is forgotten when it is no longer good, however often it was replaced.
struct Keep;

impl Expiry<Key, Kept> for Keep {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.lifetime)
    }

    fn expire_after_update(&self, _: &Key, kept: &Kept, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.lifetime)
    }
}

/// What a request does.
enum Step {
    /// It waits for a computation that began late enough.
    Join(watch::Receiver<Option<Outcome>>),
    /// It waits for one that began too early, and looks again.
    LookAgain(watch::Receiver<Option<Outcome>>),
    /// It computes.
    Compute(Landing, watch::Receiver<Option<Outcome>>),
}

impl QueryCache {
    /// Keeps at most so many bytes. Within the runtime that lives as long as the process.
    pub fn new(bytes: u64) -> Self {
        let kept =
            Cache::builder().max_capacity(bytes).weigher(|_, kept: &Kept| kept.bytes).expire_after(Keep).build();
        let state = State {
            generations: HashMap::new(),
            epoch: 0,
            followed: Instant::now(),
            computations: HashMap::new(),
            begun: 0,
        };
        Self { kept, state: Arc::new(Mutex::new(state)), runtime: Handle::current() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept about these is stale.
    pub fn raise(&self, tags: impl IntoIterator<Item = CacheTag>) {
        let mut state = self.state();
        for tag in tags {
            let generation = state.generations.entry(tag).or_default();
            *generation = Generation { number: generation.number + 1, raised: Some(Instant::now()) };
        }
    }

    /// All that is kept is stale.
    pub fn raise_all(&self) {
        self.state().epoch += 1;
    }

    /// What had happened until `moment` has been told.
    pub fn followed_until(&self, moment: Instant) {
        self.state().followed = moment;
    }

    /// The answer to `query`, which is about `tag`: kept, or being computed, or computed for this request once it has its
    /// turn. Its turn is waited for by the request itself, and not where what is computed would be in its way.
    pub async fn answer<Q, V, T, F>(
        &self,
        query: &Q,
        tag: CacheTag,
        freshness: Freshness,
        turn: impl Future<Output = Result<T, ApiError>>,
        compute: impl FnOnce(T) -> F,
    ) -> Result<Arc<Computed<V>>, ApiError>
    where
        Q: Any + Clone + Debug + Eq + Hash + Send + Sync,
        V: Any + Send + Sync,
        F: Future<Output = Result<Computed<V>, ApiError>> + Send + 'static,
    {
        let key = Key(Arc::new(query.clone()));
        if let Some(kept) = self.find(&key, tag, freshness).await {
            count("hit");
            return downcast(kept);
        }
        let mut has_joined_in_vain = false;
        loop {
            match self.step(&key, tag, freshness) {
                Step::Join(outcome) => match wait(outcome).await {
                    // That it was nobody else's turn says nothing of this request's.
                    Some(Err(ApiError::Overloaded)) if !has_joined_in_vain => has_joined_in_vain = true,
                    Some(outcome) => {
                        count("joined");
                        return downcast(outcome?);
                    }
                    // One that broke off, perhaps because its request was given up, has told nothing.
                    None => {}
                },
                // What comes of it is not for this request.
                Step::LookAgain(outcome) => drop(wait(outcome).await),
                Step::Compute(landing, outcome) => {
                    count("miss");
                    match turn.await {
                        Ok(turn) => {
                            let computation = compute(turn);
                            let landed = async move { landing.land(computation.await).await };
                            self.runtime.spawn(landed.in_current_span());
                        }
                        Err(error) => landing.land::<V>(Err(error)).await,
                    }
                    let broken_off = || ApiError::Failed("a computation broke off".to_owned());
                    return downcast(wait(outcome).await.ok_or_else(broken_off)??);
                }
            }
        }
    }

    /// What is kept, where nothing has happened to it, and its computation began late enough.
    async fn find(&self, key: &Key, tag: CacheTag, freshness: Freshness) -> Option<Erased> {
        let kept = self.kept.get(key).await?;
        let is_late_enough = match freshness {
            Freshness::Kept => true,
            Freshness::Since(moment) => kept.began >= moment,
        };
        let state = self.state();
        let is_good = is_late_enough && kept.version == state.version(tag) && state.followed.elapsed() < UNFOLLOWED;
        is_good.then_some(kept.answer)
    }

    fn step(&self, key: &Key, tag: CacheTag, freshness: Freshness) -> Step {
        let mut state = self.state();
        let version = state.version(tag);
        if let Some(running) = state.computations.get(key).filter(|running| running.version == version) {
            let outcome = running.outcome.clone();
            return match freshness {
                Freshness::Since(moment) if running.began < moment => Step::LookAgain(outcome),
                _ => Step::Join(outcome),
            };
        }
        let (told, outcome) = watch::channel(None);
        state.begun += 1;
        let id = state.begun;
        let began = Instant::now();
        state.computations.insert(key.clone(), Computation { id, version, began, outcome: outcome.clone() });
        Step::Compute(Landing { cache: self.clone(), key: key.clone(), tag, id, version, began, told }, outcome)
    }
}

impl State {
    fn version(&self, tag: CacheTag) -> Version {
        (self.epoch, self.generations.get(&tag).map_or(0, |generation| generation.number))
    }

    /// For how long an answer about `tag` is kept that is good for `lifetime`.
    fn kept(&self, tag: CacheTag, lifetime: Duration) -> Duration {
        let raised = self.generations.get(&tag).and_then(|generation| generation.raised);
        let recent = raised.is_some_and(|raised| raised.elapsed() < BEHIND_THE_LOG);
        if tag == CacheTag::Commands && recent { lifetime.min(BRIEFLY) } else { lifetime }
    }
}

/// A computation's end, whichever it is: also where it panics, nobody waits for it any more.
struct Landing {
    cache: QueryCache,
    key: Key,
    tag: CacheTag,
    id: u64,
    version: Version,
    began: Instant,
    told: watch::Sender<Option<Outcome>>,
}

impl Landing {
    async fn land<V: Any + Send + Sync>(self, outcome: Result<Computed<V>, ApiError>) {
        let outcome = match outcome {
            Ok(computed) => Ok(self.keep(computed).await),
            Err(error) => Err(error),
        };
        self.told.send_replace(Some(outcome));
    }

    async fn keep<V: Any + Send + Sync>(&self, computed: Computed<V>) -> Erased {
        let lifetime = self.cache.state().kept(self.tag, computed.lifetime.kept());
        // The value takes about as much as its JSON.
        let bytes = u32::try_from(2 * computed.body.len() + computed.etag.len()).unwrap_or(u32::MAX);
        let answer: Erased = Arc::new(computed);
        if !lifetime.is_zero() {
            let (version, began) = (self.version, self.began);
            let kept = Kept { version, began, bytes, lifetime, answer: Arc::clone(&answer) };
            self.cache.kept.insert(self.key.clone(), kept).await;
        }
        answer
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        // Another may have begun since, because of what has happened.
        if state.computations.get(&self.key).is_some_and(|running| running.id == self.id) {
            state.computations.remove(&self.key);
        }
    }
}

/// What comes of a computation; none where it breaks off.
async fn wait(mut outcome: watch::Receiver<Option<Outcome>>) -> Option<Outcome> {
    outcome.wait_for(Option::is_some).await.ok()?.clone()
}

fn downcast<V: Any + Send + Sync>(answer: Erased) -> Result<Arc<Computed<V>>, ApiError> {
    answer.downcast().map_err(|_| ApiError::Failed("an answer is of another type than its question".to_owned()))
}

fn count(outcome: &'static str) {
    metrics::counter!("painel_cache_lookups_total", "outcome" => outcome).increment(1);
}
