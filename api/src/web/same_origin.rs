//! What changes something is asked by a page of the panel itself, and what scripts read, too.

use actix_web::{
    Error, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap},
    },
    middleware::Next,
};

use painel_shared::planted::{Hole, is_open};

use super::panel::Panel;
use crate::problem::ApiError;

/// The middleware that refuses an unsafe method from elsewhere: from another site, from another port of the same host, or
/// from a program that does not say where it comes from. Browsers say so by `Sec-Fetch-Site`, older ones by `Origin`.
///
/// Another origin's script is refused whatever it asks: those that may read the JSON routes read them by a token, and no page
/// by somebody's cookie.
pub(super) async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_harmless = is_safe(request.method()) && !is_read_by_a_script(request.headers());
    if is_harmless || comes_from_here(&request) || is_open(Hole::NoOriginCheck) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let (request, _) = request.into_parts();
    Ok(ServiceResponse::new(request, HttpResponse::from_error(ApiError::Forbidden)))
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a script may read the answer: a link, or an image of another site's page, is no such request.
fn is_read_by_a_script(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-mode") {
        Some(mode) => mode == "cors",
        None => headers.contains_key(header::ORIGIN),
    }
}

fn comes_from_here(request: &ServiceRequest) -> bool {
    let once = |name: &str| {
        let mut values = request.headers().get_all(name);
        (values.next().and_then(|value| value.to_str().ok()), values.next().is_some())
    };
    match once("sec-fetch-site") {
        (Some(site), false) => site == "same-origin",
        (_, true) => false,
        (None, false) if request.headers().contains_key("sec-fetch-site") => false,
        (None, false) => {
            let (origin, again) = once(header::ORIGIN.as_str());
            let panel = Panel::of(request.request()).ok();
            let own = panel.as_ref().and_then(|panel| panel.open()).map(|open| open.origin.as_str());
            !again && origin.is_some() && origin == own
        }
    }
}
