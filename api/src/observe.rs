//! Every request: its id, its trace, its log line, its metrics, its time limit, and a problem where it failed.

use std::time::{Duration, Instant};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use painel_shared::{events::Origin, trace::TraceContext};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    client_address::ClientAddress,
    problem::{self, ApiError},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;
const LONGEST_USER_AGENT: usize = 300;

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

/// By what a request is known.
#[derive(Clone)]
struct Known {
    id: String,
    trace: TraceContext,
}

/// The trace of a request: the caller's, continued, or a new one.
pub fn trace(request: &HttpRequest) -> TraceContext {
    request.extensions().get::<Known>().map_or_else(TraceContext::root, |known| known.trace)
}

/// Where a request came from, for the audit log.
pub fn origin(request: &HttpRequest) -> Origin {
    let agent = request.headers().get(header::USER_AGENT);
    let found = request.app_data::<web::Data<ClientAddress>>();
    let client = found.and_then(|address| address.of(request));
    Origin {
        ip_address: client.map(|client| client.to_string()),
        user_agent: agent.map(|agent| legible(agent.as_bytes())),
    }
}

/// By what the request is known.
pub fn request_id_of(request: &HttpRequest) -> String {
    request.extensions().get::<Known>().map(|known| known.id.clone()).unwrap_or_default()
}

/// As far as it can be read: what is no UTF-8, and what cannot be seen, is replaced.
fn legible(text: &[u8]) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(text).chars().take(LONGEST_USER_AGENT).map(visible).collect()
}

/// The outermost middleware: what is known of the request, and what is told of its answer.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let known = Known { id: request_id(&request), trace: continued_trace(&request) };
    request.extensions_mut().insert(known.clone());
    let method = request.method().clone();
    let span = tracing::info_span!(
        "request",
        http.method = %method,
        http.path = request.path(),
        request.id = known.id,
        trace_id = known.trace.trace_id(),
    );
    async {
        let mut response = next.call(request).await?.map_into_boxed_body();
        // Of what has not changed, whoever asks has the headers, too (RFC 9110, 15.4.5).
        if response.status() != StatusCode::NOT_MODIFIED {
            add_security_headers(response.headers_mut());
        }
        add_request_id(response.headers_mut(), &known.id);
        report(&response, &method, began);
        Ok(response)
    }
    .instrument(span)
    .await
}

/// The middleware that gives every error its body. It stands within CORS, so that a page can read that, too.
pub async fn explain(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    // The router turns every error of a handler into a response.
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(with_problem(response))
}

/// The middleware of each route that gives a request up when it has taken too long.
pub async fn limit_time(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let limit = request.app_data::<RequestLimit>().map_or(Duration::MAX, |limit| limit.0);
    // Before the request has found its route, this would be in the router's way.
    let given_up = request.request().clone();
    match tokio::time::timeout(limit, next.call(request)).await {
        Ok(answered) => Ok(answered?.map_into_boxed_body()),
        Err(_) => {
            tracing::warn!("the request took longer than it may, and was given up");
            Ok(ServiceResponse::new(given_up, HttpResponse::from_error(ApiError::TimedOut)))
        }
    }
}

fn add_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
}

fn add_request_id(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
}

/// Replaces the body of an error by a problem. An answer that already says more is left alone.
fn with_problem(response: ServiceResponse) -> ServiceResponse {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let bare = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    if !failed || !(bare || response.response().error().is_some()) {
        return response;
    }
    let request = response.request();
    let id = request_id_of(request);
    let mut problem = problem::response(status, response.response().error(), request.path(), &id);
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response.into_response(problem)
}

fn report(response: &ServiceResponse, method: &Method, began: Instant) {
    let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let took = began.elapsed();
    let labels = [("method", label(method).to_owned()), ("route", route)];
    metrics::histogram!("painel_http_request_duration_seconds", &labels).record(took);
    let [method, route] = labels;
    let status = response.status().as_u16();
    metrics::counter!("painel_http_requests_total", &[method, route, ("status", status.to_string())]).increment(1);
    tracing::info!(http.status = status, duration_ms = took.as_secs_f64() * 1000.0, "answered");
}

/// A method as metrics name it: anybody can make one up.
fn label(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

/// The caller's id for the request where it is harmless to repeat, otherwise a new one.
fn request_id(request: &ServiceRequest) -> String {
    let given = only(request, REQUEST_ID.as_str());
    let harmless =
        |id: &&str| (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    given.filter(harmless).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// The value of a header that may stand once.
fn only<'r>(request: &'r ServiceRequest, name: &str) -> Option<&'r str> {
    let mut values = request.headers().get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn continued_trace(request: &ServiceRequest) -> TraceContext {
    let given = only(request, "traceparent");
    given.and_then(|text| text.parse::<TraceContext>().ok()).map_or_else(TraceContext::root, TraceContext::child)
}
