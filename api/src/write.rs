//! The one way of every write: who asks is known and may ask, before the first byte of the body is read.

use std::{future::Future, pin::Pin};

use actix_web::{
    FromRequest, HttpRequest, body,
    dev::Payload,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
    web::{Bytes, Data},
};
use painel_shared::{commands::Fault, ids::TenantId};
use serde_json::{Map, Value};

use crate::{
    auth::Caller, connection::life::BODY, in_flight::Place, json::json_object, problem::ApiError,
    query::QueryFields, state::AppState,
};

/// The largest body that is read.
pub const BODY_LIMIT: usize = 64 * 1024;

/// No idempotency key is longer.
const LONGEST_KEY: usize = 255;

/// A write by an operator, as an endpoint takes it: all of it has come.
#[derive(Debug)]
pub struct Write {
    /// Who asks.
    pub caller: Caller,
    /// What was sent.
    pub object: Map<String, Value>,
    /// The request without its body.
    pub request: HttpRequest,
    /// What the endpoint stands on.
    pub state: Data<AppState>,
    /// Its place among all that are under way.
    pub place: Place,
}

impl FromRequest for Write {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Self::read(request, payload, Caller::require_internal)
    }
}

/// A write by a tenant's user about their own account.
#[derive(Debug)]
pub struct OwnWrite {
    /// The tenant whose user asks.
    pub tenant: TenantId,
    /// What was asked.
    pub write: Write,
}

impl FromRequest for OwnWrite {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let write = Write::read(request, payload, |caller| caller.own_tenant().map(drop));
        Box::pin(async move {
            let write = write.await?;
            Ok(Self { tenant: write.caller.own_tenant()?, write })
        })
    }
}

/// A write by anybody who is known, about themselves.
#[derive(Debug)]
pub struct AnyWrite(pub Write);

impl FromRequest for AnyWrite {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let write = Write::read(request, payload, |_| Ok(()));
        Box::pin(async move { write.await.map(Self) })
    }
}

impl Write {
    /// Reads one of whom `may` lets ask.
    fn read(
        request: &HttpRequest,
        payload: &mut Payload,
        may: fn(&Caller) -> Result<(), ApiError>,
    ) -> Pin<Box<dyn Future<Output = Result<Self, ApiError>>>> {
        let caller = Caller::from_request(request, payload);
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let caller = caller.await?;
            may(&caller)?;
            let state = AppState::of(&request)?;
            let share = state.in_flight.join(&caller)?;
            // A write takes no parameters.
            QueryFields::of(&request).finish()?;
            check_head(&request)?;
            let body = read_body(payload).await?;
            let place = share.enter(&request)?;
            let object = json_object(&body)?;
            Ok(Self { caller, object, request, state, place })
        })
    }
}

/// The `Idempotency-Key` as it was sent.
pub(crate) fn key(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::field("Idempotency-Key", Fault::Duplicate));
    }
    Ok(Some(value.to_str().unwrap_or_default()))
}

/// Whether that can be a key.
pub(crate) fn check_key(key: &str) -> Result<(), ApiError> {
    let fits = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(()),
        false => Err(ApiError::field("Idempotency-Key", Fault::NotVisibleAscii { max: LONGEST_KEY })),
    }
}

/// What can be told of a body by what stands before it.
fn check_head(request: &HttpRequest) -> Result<(), ApiError> {
    check_body(request, "application/json")
}

/// The same of a form.
pub(crate) fn check_form(request: &HttpRequest) -> Result<(), ApiError> {
    check_body(request, "application/x-www-form-urlencoded")
}

fn check_body(request: &HttpRequest, wanted: &str) -> Result<(), ApiError> {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let plain =
        |coding: &HeaderValue| coding.to_str().is_ok_and(|coding| coding.trim().eq_ignore_ascii_case("identity"));
    if !headers.get_all(CONTENT_ENCODING).all(plain) {
        return Err(ApiError::Encoded);
    }
    let essence = text(CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
    let is_wanted = essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted));
    if !is_wanted || headers.get_all(CONTENT_TYPE).count() > 1 {
        return Err(ApiError::NotJson);
    }
    match text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > BODY_LIMIT as u64 => Err(ApiError::TooLarge),
        _ => Ok(()),
    }
}

/// Reads a body, within what it may take.
pub(crate) async fn read_body(payload: Payload) -> Result<Bytes, ApiError> {
    let read = body::to_bytes_limited(body::BodyStream::new(payload), BODY_LIMIT);
    let Ok(read) = tokio::time::timeout(BODY, read).await else { return Err(ApiError::TooSlow) };
    let read = read.map_err(|_| ApiError::TooLarge)?;
    read.map_err(|error| ApiError::field("body", Fault::NotAJsonObject { reason: error.to_string() }))
}
