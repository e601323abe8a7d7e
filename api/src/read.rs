//! The one way of every read: who asks is known, what is asked is read and allowed, then it is found or computed, and
//! answered.

use std::{fmt::Debug, future::Future, hash::Hash, pin::Pin, sync::Arc, time::Instant};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::header::{self, CacheControl, CacheDirective, ETag, EntityTag, Header, HeaderValue, IfNoneMatch},
    web::Data,
};
use painel_shared::ids::TenantId;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    auth::Caller,
    cache::{CacheTag, Computed, Freshness, Lifetime},
    in_flight::{Place, Share},
    problem::ApiError,
    query::{QueryFields, uuid_in_path},
    state::AppState,
    turns::{Rank, Turn},
};

/// A question that a read asks, with all its parameters: equal ones have one answer.
pub trait Query: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// What is computed, kept and shown.
    type Answer: Serialize + Send + Sync + 'static;

    /// Reads it from a request, where its caller may ask it.
    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError>;

    /// What it is about.
    fn tag(&self) -> CacheTag;

    /// How long that answer is good.
    fn lifetime(answer: &Self::Answer) -> Lifetime;

    /// Computes the answer. It may be asked twice: where a session turns out to be useless.
    fn compute(&self, state: &AppState) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;
}

/// A request being read. Its parameters are to be had by those who may ask.
#[derive(Debug)]
pub struct Asked<'r> {
    caller: &'r Caller,
    request: &'r HttpRequest,
    fields: QueryFields,
}

impl<'r> Asked<'r> {
    /// What that caller asks by these parameters; the path's are the request's.
    pub fn new(caller: &'r Caller, request: &'r HttpRequest, fields: QueryFields) -> Self {
        Self { caller, request, fields }
    }

    /// Ends the reading: what was not asked for is unknown, and refused.
    pub fn finish(self) -> Result<(), ApiError> {
        self.fields.finish()
    }

    /// Of a tenant: the caller's own, or the one that an operator names.
    pub fn of_tenant(&mut self) -> Result<(TenantId, &mut QueryFields), ApiError> {
        let tenant = self.caller.tenant_asked(&mut self.fields)?;
        Ok((tenant, &mut self.fields))
    }

    /// Who asks.
    pub fn caller(&self) -> &'r Caller {
        self.caller
    }

    /// What the path names.
    pub fn named(&self, name: &'static str) -> Result<Uuid, ApiError> {
        let text = self.request.match_info().get(name).unwrap_or_default();
        uuid_in_path(name, text)
    }

    /// By operators.
    pub fn by_operator(&mut self) -> Result<&mut QueryFields, ApiError> {
        self.caller.require_internal()?;
        Ok(&mut self.fields)
    }

    /// By administrators among the operators.
    pub fn by_administrator(&mut self) -> Result<&mut QueryFields, ApiError> {
        self.caller.require_internal_admin()?;
        Ok(&mut self.fields)
    }

    /// By operators, about what the path names.
    pub fn by_operator_about(&mut self, name: &'static str) -> Result<(Uuid, &mut QueryFields), ApiError> {
        self.by_operator()?;
        Ok((self.named(name)?, &mut self.fields))
    }
}

/// A read of `Q`, as an endpoint takes it: its caller may ask it.
#[derive(Debug)]
pub struct Read<Q> {
    query: Q,
    request: HttpRequest,
    state: Data<AppState>,
    freshness: Freshness,
    rank: Rank,
    /// Its place among its caller's requests.
    share: Share,
}

impl<Q: Query> Read<Q> {
    /// Nothing from before the request is good enough.
    pub fn fresh(mut self) -> Self {
        self.freshness = Freshness::Since(Instant::now());
        self
    }

    /// Answers from what is kept, or computes.
    pub async fn answer(self) -> Result<HttpResponse, ApiError> {
        let Self { query, request, state, freshness, rank, share } = self;
        // What is kept takes no place from what must be computed.
        let admitted = async {
            let place = share.enter(&request)?;
            Ok((place, state.turns.wait(rank).await?))
        };
        let answer = answer(&state, &query, freshness, admitted).await?;
        Ok(respond(&request, &answer))
    }
}

/// The answer to `query`: kept, or computed once whoever asks is `admitted` to have it computed.
pub async fn answer<Q: Query>(
    state: &AppState,
    query: &Q,
    freshness: Freshness,
    admitted: impl Future<Output = Result<(Place, Turn), ApiError>>,
) -> Result<Arc<Computed<Q::Answer>>, ApiError> {
    let compute_once = |admission| {
        let (state, query) = (state.clone(), query.clone());
        async move {
            let _admission: (Place, Turn) = admission;
            let value = compute(&state, &query).await?;
            let lifetime = Q::lifetime(&value);
            Computed::new(value, lifetime)
        }
    };
    state.cache.answer(query, query.tag(), freshness, admitted, compute_once).await
}

/// The answer as it is now; asked once more where a session turns out to be useless.
pub async fn compute<Q: Query>(state: &AppState, query: &Q) -> Result<Q::Answer, ApiError> {
    match state.stores.db.watch(query.compute(state)).await {
        Err(ApiError::Database(error)) if state.stores.db.learn(&error) => {
            state.stores.db.watch(query.compute(state)).await
        }
        outcome => outcome,
    }
}

impl<Q: Query> FromRequest for Read<Q> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let state = AppState::of(&request)?;
            let freshness = freshness(&request);
            let caller = caller.await?;
            let mut asked = Asked::new(&caller, &request, QueryFields::of(&request));
            let query = Q::read(&mut asked)?;
            asked.finish()?;
            let share = state.in_flight.join(&caller)?;
            Ok(Self { query, request, state, freshness, rank: caller.rank(), share })
        })
    }
}

/// Whether the client will have nothing that was kept (RFC 9111, 5.2.1.4).
pub fn freshness(request: &HttpRequest) -> Freshness {
    use CacheDirective::{MaxAge, NoCache, NoStore};
    let given = request.headers().get_all(header::CACHE_CONTROL).filter_map(|value| value.to_str().ok());
    // A directive's case does not matter.
    let fresh = given
        .flat_map(|value| value.split(','))
        .any(|one| matches!(one.trim().to_ascii_lowercase().parse(), Ok(NoCache | NoStore | MaxAge(0))));
    if fresh { Freshness::Since(Instant::now()) } else { Freshness::Kept }
}

/// Whether the client has what that names (RFC 9110, 13.1.2).
pub fn is_known(request: &HttpRequest, etag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|one| one.weak_eq(etag)),
        Err(_) => false,
    }
}

fn respond<V>(request: &HttpRequest, answer: &Computed<V>) -> HttpResponse {
    let etag = EntityTag::new_strong(answer.etag.clone());
    let unchanged = is_known(request, &etag);
    let stored = match answer.lifetime {
        Lifetime::Private(age) => CacheDirective::MaxAge(u32::try_from(age.as_secs()).unwrap_or(u32::MAX)),
        Lifetime::Revalidated(_) => CacheDirective::NoCache,
        Lifetime::NotStored => CacheDirective::NoStore,
    };
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header(CacheControl(vec![CacheDirective::Private, stored]))
        .insert_header((header::VARY, HeaderValue::from_static("Authorization")))
        .insert_header(ETag(etag))
        .insert_header((header::AGE, answer.made.elapsed().as_secs()));
    match unchanged {
        true => response.finish(),
        false => response.content_type("application/json").body(answer.body.clone()),
    }
}
