//! Answers kept in the process, and the headers that say how long they are good.
//!
//! Concurrent requests for the same answer share one computation. An answer is kept under a generation of what it
//! is about: a command raises the generation of its tenant, so that everything older is never found again, and
//! nothing of that tenant is kept until the command has ended.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::Bytes,
};
use moka::{Expiry, future::Cache};
use painel_shared::{
    command::{Command, CommandKey},
    command_store::CommandStore,
    ids::TenantId,
    secrets::sha256_hex,
};
use serde::Serialize;

use crate::problem::ApiError;

/// What an answer is about: what makes it stale at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// One tenant.
    Tenant(TenantId),
    /// The commands.
    Commands,
    /// The rollup runs.
    Runs,
    /// All tenants together.
    Everyone,
}

/// A question whose answer may be kept.
#[derive(Clone, Debug)]
pub struct Question {
    /// What it is about.
    pub about: About,
    /// The endpoint and its parameters, in one form for all spellings of the same question.
    pub text: String,
    /// How long an answer is good.
    pub max_age: Duration,
}

/// A computed answer.
#[derive(Debug)]
struct Answer {
    body: Bytes,
    etag: String,
    made: Instant,
    keep: Duration,
}

type Key = (About, u64, String);

/// The answers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Answers {
    kept: Cache<Key, Arc<Answer>>,
    state: Arc<Mutex<State>>,
    commands: CommandStore,
}

#[derive(Debug, Default)]
struct State {
    generations: HashMap<About, u64>,
    /// Commands of a tenant that had not ended when they were last looked at.
    unfinished: HashMap<TenantId, HashSet<CommandKey>>,
}

impl State {
    fn raise(&mut self, about: About) {
        *self.generations.entry(about).or_default() += 1;
    }
}

/// An answer is forgotten when it is no longer good.
struct Keep;

impl Expiry<Key, Arc<Answer>> for Keep {
    fn expire_after_create(&self, _: &Key, answer: &Arc<Answer>, _: Instant) -> Option<Duration> {
        Some(answer.keep)
    }
}

impl Answers {
    /// Keeps at most so many bytes of answers.
    pub fn new(bytes: u64, commands: CommandStore) -> Self {
        let weigh = |key: &Key, answer: &Arc<Answer>| {
            u32::try_from(key.2.len() + answer.body.len() + answer.etag.len()).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(Keep).build();
        Self { kept, state: Arc::default(), commands }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command was accepted: what is kept about it is stale.
    pub fn command_accepted(&self, command: &Command) {
        let mut state = self.state();
        state.raise(About::Commands);
        if let Some(tenant) = command.tenant_id {
            state.raise(About::Tenant(tenant));
            state.unfinished.entry(tenant).or_default().insert(command.key);
        }
    }

    /// Rollup runs were accepted: what is kept about runs is stale.
    pub fn runs_accepted(&self) {
        self.state().raise(About::Runs);
    }

    /// Answers from what is kept, or computes; `private, max-age`.
    pub async fn answer<T: Serialize>(
        &self,
        request: &HttpRequest,
        question: Question,
        compute: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<HttpResponse, ApiError> {
        let seconds = question.max_age.as_secs();
        let keep = question.max_age;
        let (answer, kept) = self.find(request, question, async { Ok((compute.await?, keep)) }).await?;
        let control = if kept { format!("private, max-age={seconds}") } else { "private, no-cache".to_owned() };
        Ok(respond(request, &answer, &control))
    }

    /// The same, where the answer itself says how long it is good, and a client must ask each time.
    pub async fn answer_afresh<T: Serialize>(
        &self,
        request: &HttpRequest,
        question: Question,
        compute: impl Future<Output = Result<(T, Duration), ApiError>>,
    ) -> Result<HttpResponse, ApiError> {
        let (answer, _) = self.find(request, question, compute).await?;
        Ok(respond(request, &answer, "private, no-cache"))
    }

    /// The answer, and whether it is kept.
    async fn find<T: Serialize>(
        &self,
        request: &HttpRequest,
        question: Question,
        compute: impl Future<Output = Result<(T, Duration), ApiError>>,
    ) -> Result<(Arc<Answer>, bool), ApiError> {
        let Question { about, text, .. } = question;
        if let About::Tenant(tenant) = about
            && self.has_unfinished(tenant).await
        {
            return Ok((make(compute).await?, false));
        }
        let key = (about, self.state().generations.get(&about).copied().unwrap_or(0), text);
        if wants_fresh(request) {
            let answer = make(compute).await?;
            self.kept.insert(key, Arc::clone(&answer)).await;
            return Ok((answer, true));
        }
        let entry = self.kept.entry(key).or_try_insert_with(make(compute)).await;
        let entry = entry.map_err(|error: Arc<ApiError>| ApiError::clone(&error))?;
        let outcome = if entry.is_fresh() { "miss" } else { "hit" };
        metrics::counter!("painel_cache_lookups_total", "outcome" => outcome).increment(1);
        Ok((entry.into_value(), true))
    }

    /// Whether a command of that tenant has not ended; those that have are forgotten.
    async fn has_unfinished(&self, tenant: TenantId) -> bool {
        let Some(keys) = self.state().unfinished.get(&tenant).cloned() else { return false };
        let mut ended = Vec::new();
        for key in keys {
            match self.commands.get_key(key).await {
                Ok(Some(command)) if !command.status.is_final() => {}
                Ok(_) => ended.push(key),
                Err(error) => {
                    tracing::warn!(%error, "nothing is kept: it is not known whether a command has ended")
                }
            }
        }
        let mut state = self.state();
        let Some(left) = state.unfinished.get_mut(&tenant) else { return false };
        left.retain(|key| !ended.contains(key));
        if !left.is_empty() {
            return true;
        }
        state.unfinished.remove(&tenant);
        // What was computed meanwhile may be older than the command's end.
        state.raise(About::Tenant(tenant));
        false
    }
}

async fn make<T: Serialize>(
    compute: impl Future<Output = Result<(T, Duration), ApiError>>,
) -> Result<Arc<Answer>, ApiError> {
    let (value, keep) = compute.await?;
    let body = serde_json::to_vec(&value).map_err(|error| ApiError::Failed(error.to_string()))?;
    let etag = format!("\"{}\"", sha256_hex(&body).get(..32).unwrap_or_default());
    Ok(Arc::new(Answer { body: body.into(), etag, made: Instant::now(), keep }))
}

fn respond(request: &HttpRequest, answer: &Answer, control: &str) -> HttpResponse {
    let unchanged = matches(request, &answer.etag);
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::CACHE_CONTROL, control))
        .insert_header((header::VARY, HeaderValue::from_static("Authorization")))
        .insert_header((header::ETAG, answer.etag.as_str()))
        .insert_header((header::AGE, answer.made.elapsed().as_secs()));
    match unchanged {
        true => response.finish(),
        false => response.content_type("application/json").body(answer.body.clone()),
    }
}

/// Whether the client has this very answer (RFC 9110, 13.1.2).
fn matches(request: &HttpRequest, etag: &str) -> bool {
    let given = request.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    given
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == etag)
}

/// Whether the client will have nothing that was kept (RFC 9111, 5.2.1.4).
fn wants_fresh(request: &HttpRequest) -> bool {
    let given = request.headers().get_all(header::CACHE_CONTROL).filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(str::trim).any(|one| {
        one.eq_ignore_ascii_case("no-cache") || one.eq_ignore_ascii_case("no-store") || one == "max-age=0"
    })
}
