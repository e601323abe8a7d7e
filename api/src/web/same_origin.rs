//! What changes something is asked by a page of the panel itself.

use actix_web::{
    Error, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
};

use super::panel::Panel;
use crate::problem::ApiError;

/// The middleware that refuses an unsafe method from elsewhere: from another site, from another port of the same host, or
/// from a program that does not say where it comes from. Browsers say so by `Sec-Fetch-Site`, older ones by `Origin`.
pub(super) async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if is_safe(request.method()) || comes_from_here(&request) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let (request, _) = request.into_parts();
    Ok(ServiceResponse::new(request, HttpResponse::from_error(ApiError::Forbidden)))
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
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
