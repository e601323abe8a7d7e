//! The middleware of all pages: an error becomes a page in words, a stranger is sent to sign in, and each answer says what a
//! browser may do with it.

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};

use super::{
    login,
    panel::Panel,
    session,
    shell::{self, Stop},
    visit::{Cookies, is_fragment},
};
use crate::problem::ApiError;

/// What a page may do: what the panel itself serves, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'; trusted-types painel";

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    // Without it, the origin of a form would be `null`.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// See the file.
pub(super) async fn present(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let mut response = in_words(response);
    let cookies = response.request().extensions_mut().remove::<Cookies>();
    for cookie in cookies.into_iter().flat_map(|cookies| cookies.0) {
        response.response_mut().add_cookie(&cookie)?;
    }
    if response.status() != StatusCode::NOT_MODIFIED {
        add_headers(response.headers_mut());
    }
    Ok(response)
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
}

fn in_words(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let error = response.response().error().and_then(|error| error.as_error::<ApiError>()).cloned();
    let request = response.request().clone();
    let Some(error) = error.or_else(|| bare(response.status())) else { return response };
    if let Some(cause) = error.cause() {
        tracing::error!(cause, "the page could not be shown");
    }
    let answer = match error {
        ApiError::Unauthorized => to_sign_in(&request),
        error => shell::explain(&request, &error),
    };
    response.into_response(answer)
}

/// What a status without a body says.
fn bare(status: StatusCode) -> Option<ApiError> {
    match status {
        StatusCode::NOT_FOUND => Some(ApiError::NotFound(None)),
        StatusCode::METHOD_NOT_ALLOWED => None,
        _ => None,
    }
}

fn to_sign_in(request: &actix_web::HttpRequest) -> HttpResponse {
    let panel = Panel::of(request).ok();
    let Some(open) = panel.as_ref().and_then(|panel| panel.open()) else {
        return shell::stop(request, Stop::Missing);
    };
    // A session that does not open any more needs not be sent again. One that opens, and could not be used, is left alone:
    // another page may have renewed it meanwhile, or will.
    let removals = if open.sessions.of(request).is_none() { session::removals(request) } else { Vec::new() };
    let mut answer = if matches!(*request.method(), Method::GET | Method::HEAD) && !is_fragment(request) {
        let wanted = request.uri().path_and_query().map_or("/app", |wanted| wanted.as_str());
        HttpResponse::SeeOther().insert_header((header::LOCATION, login::way_in(wanted))).finish()
    } else {
        shell::stop(request, Stop::SessionOver)
    };
    for cookie in removals {
        if let Err(error) = answer.add_cookie(&cookie) {
            tracing::warn!(%error, "a session was not removed");
        }
    }
    answer
}
