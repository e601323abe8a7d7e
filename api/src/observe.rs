//! Every request: its id, its trace, its log line, its metrics, and a problem where it failed.

use std::time::Instant;

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};
use painel_shared::{events::Origin, trace::TraceContext};
use tracing::Instrument;
use uuid::Uuid;

use crate::problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;

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
        // The router turns every error of a handler into a response.
        let response = next.call(request).await?.map_into_boxed_body();
        let mut response = with_problem(response, &path, &request_id);
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        report(&response, method.as_str(), began);
        Ok(response)
    }
    .instrument(span)
    .await
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
