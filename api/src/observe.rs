//! Every request: its id, its trace, its log line, its metrics, and a problem where it failed.

use std::time::{Duration, Instant};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use painel_shared::{events::Origin, trace::TraceContext};
use tracing::Instrument;
use uuid::Uuid;

use crate::problem::{self, ApiError};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;

/// What every answer says, unless it says otherwise: it is nobody else's, and no page's to embed or to guess at.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ),
];

/// How long a request may take, its body included.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimit(pub Duration);

#[derive(Clone, Copy)]
struct Trace(TraceContext);

/// The trace of a request: the caller's, continued, or a new one.
pub fn trace(request: &HttpRequest) -> TraceContext {
    request.extensions().get::<Trace>().map_or_else(TraceContext::root, |trace| trace.0)
}

/// Where a request came from, for the audit log.
pub fn origin(request: &HttpRequest) -> Origin {
    let agent = request.headers().get("user-agent").and_then(|value| value.to_str().ok());
    Origin {
        ip_address: request.peer_addr().map(|peer| peer.ip().to_string()),
        user_agent: agent.map(|agent| agent.chars().take(300).collect()),
    }
}

/// The outermost middleware.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let request_id = request_id(&request);
    let trace = continued_trace(&request);
    request.extensions_mut().insert(Trace(trace));
    let method = request.method().clone();
    let path = request.path().to_owned();
    let span = tracing::info_span!(
        "request",
        http.method = %method,
        http.path = path,
        request.id = request_id,
        trace_id = trace.trace_id(),
    );
    async {
        let limit = request.app_data::<RequestLimit>().map_or(Duration::MAX, |limit| limit.0);
        // The router turns every error of a handler into a response.
        let Ok(answered) = tokio::time::timeout(limit, next.call(request)).await else {
            return Err(timed_out(&path, &request_id));
        };
        let response = answered?.map_into_boxed_body();
        let mut response = with_problem(response, &path, &request_id);
        add_headers(response.headers_mut(), &request_id);
        report(&response, method.as_str(), began);
        Ok(response)
    }
    .instrument(span)
    .await
}

fn timed_out(path: &str, request_id: &str) -> Error {
    tracing::warn!("the request took longer than it may, and was given up");
    let error = Error::from(ApiError::TimedOut);
    let mut response = problem::response(StatusCode::SERVICE_UNAVAILABLE, Some(&error), path, request_id);
    add_headers(response.headers_mut(), request_id);
    InternalError::from_response("the request took too long", response).into()
}

fn add_headers(headers: &mut HeaderMap, request_id: &str) {
    for (name, value) in SECURITY_HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
}

/// Replaces the body of an error by a problem. An answer that already says more is left alone.
fn with_problem(response: ServiceResponse, path: &str, request_id: &str) -> ServiceResponse {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let bare = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    if !failed || !(bare || response.response().error().is_some()) {
        return response;
    }
    let mut problem = problem::response(status, response.response().error(), path, request_id);
    if let Some(allow) = response.headers().get("allow") {
        problem.headers_mut().insert(HeaderName::from_static("allow"), allow.clone());
    }
    response.into_response(problem)
}

fn report(response: &ServiceResponse, method: &str, began: Instant) {
    let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let took = began.elapsed();
    let labels = [("method", method.to_owned()), ("route", route)];
    metrics::histogram!("painel_http_request_duration_seconds", &labels).record(took);
    let [method, route] = labels;
    let status = response.status().as_u16();
    metrics::counter!("painel_http_requests_total", &[method, route, ("status", status.to_string())]).increment(1);
    tracing::info!(http.status = status, duration_ms = took.as_secs_f64() * 1000.0, "answered");
}

/// The caller's id for the request where it is harmless to repeat, otherwise a new one.
fn request_id(request: &ServiceRequest) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless =
        |id: &&str| (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    given.filter(harmless).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn continued_trace(request: &ServiceRequest) -> TraceContext {
    let given = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    given.and_then(|text| text.parse::<TraceContext>().ok()).map_or_else(TraceContext::root, TraceContext::child)
}
