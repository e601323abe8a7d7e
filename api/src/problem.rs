//! The only map from an error to an HTTP answer: `application/problem+json` (RFC 9457).

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use painel_shared::{
    commands::{Fault, FieldError},
    dispatch::DispatchError,
};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, as the handlers speak of it. Internal causes are logged and never sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// Fields of the request are wrong.
    #[error("the request is not valid")]
    Validation(Vec<FieldError>),
    /// No token, or a bad one.
    #[error("a valid bearer token is required")]
    Unauthorized,
    /// A good token in the wrong place.
    #[error("the caller may not do this")]
    Forbidden,
    /// What was asked for does not exist, or does not for this caller.
    #[error("not found")]
    NotFound(Option<FieldError>),
    /// The body is not JSON.
    #[error("the body must be sent as application/json")]
    NotJson,
    /// The body is in a content coding.
    #[error("the body must be sent as it is, without a Content-Encoding")]
    Encoded,
    /// The body is too large.
    #[error("the body is larger than 64 KiB")]
    TooLarge,
    /// The body has not come in time.
    #[error("the body did not come in time; it must be sent within 5 seconds")]
    TooSlow,
    /// An idempotency key was used for another request.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    /// The caller, or their tenant, has asked too often; how long to wait.
    #[error("too many requests; wait a little")]
    RateLimited(Duration),
    /// The caller, or their tenant, has too many requests under way; how long to wait.
    #[error("too many requests at once; wait for the answers")]
    TooManyAtOnce(Duration),
    /// More requests are under way than can be served.
    #[error("the service is busy; try again")]
    Overloaded,
    /// The request took longer than it may.
    #[error("the request took too long; try again")]
    TimedOut,
    /// A store did not answer.
    #[error("the service is not available; try again")]
    Unavailable(String),
    /// PostgreSQL did not answer.
    #[error("the service is not available; try again")]
    Database(Arc<sqlx::Error>),
    /// Something that cannot happen has.
    #[error("the request failed")]
    Failed(String),
}

impl ApiError {
    /// One wrong field.
    pub fn field(field: &str, fault: Fault) -> Self {
        Self::Validation(vec![FieldError::new(field, fault)])
    }

    /// What a field names does not exist, or not for this caller.
    pub fn missing(field: &str, fault: Fault) -> Self {
        Self::NotFound(Some(FieldError::new(field, fault)))
    }

    /// What is logged and never sent.
    pub(crate) fn cause(&self) -> Option<String> {
        match self {
            Self::Unavailable(cause) | Self::Failed(cause) => Some(cause.clone()),
            Self::Database(error) => Some(error.to_string()),
            _ => None,
        }
    }

    /// After how many seconds it is worth trying again.
    pub(crate) fn wait(&self) -> Option<u64> {
        match self {
            Self::RateLimited(wait) | Self::TooManyAtOnce(wait) => {
                Some(u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX))
            }
            error => (error.status_code() == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Validation(errors) => errors.clone(),
            Self::NotFound(error) => error.iter().cloned().collect(),
            Self::KeyReused => vec![FieldError::new("Idempotency-Key", Fault::KeyReused)],
            _ => Vec::new(),
        }
    }
}

impl From<DispatchError> for ApiError {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Invalid(field) => Self::Validation(vec![field]),
            DispatchError::NotFound(field) => Self::NotFound(Some(field)),
            DispatchError::KeyReused => Self::KeyReused,
            DispatchError::Database(error) => error.into(),
            DispatchError::Store(error) => error.into(),
        }
    }
}

impl From<painel_shared::command_store::StoreError> for ApiError {
    fn from(error: painel_shared::command_store::StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Validation(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotJson | Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited(_) | Self::TooManyAtOnce(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::TimedOut | Self::Unavailable(_) | Self::Database(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldProblem)]
pub struct FieldView {
    /// Its name; inside of an object, `parameters.agent_id`.
    field: String,
    /// What is wrong, as a stable code, such as `required` or `out_of_range`.
    code: String,
    /// What the code speaks of, such as `min` and `max`; absent where it speaks of nothing.
    values: Option<serde_json::Map<String, serde_json::Value>>,
    /// What would be right.
    message: String,
}

/// The description of the body below, for the API's description.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// The path that was asked for.
    instance: String,
    /// A stable code, such as `VALIDATION_ERROR`.
    error: String,
    /// For people: the first fault in words, where there are faults.
    message: String,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldView>>,
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    error: &'static str,
    message: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// The answer for an error of ours, of actix, or for a bare status.
pub fn response(
    status: StatusCode,
    error: Option<&actix_web::Error>,
    instance: &str,
    request_id: &str,
) -> HttpResponse {
    let ours = error.and_then(|error| error.as_error::<ApiError>());
    if let Some(cause) = ours.and_then(ApiError::cause) {
        tracing::error!(cause, "the request could not be answered");
    } else if let (true, Some(error)) = (status.is_server_error(), error) {
        tracing::error!(%error, "the request failed");
    }
    let title = status.canonical_reason().unwrap_or("Error");
    let detail = ours.map_or_else(|| detail(status).to_owned(), ToString::to_string);
    let errors = ours.map(ApiError::errors).unwrap_or_default();
    // What is wrong first, in words.
    let message = errors.first().map_or_else(|| detail.clone(), ToString::to_string);
    let problem = Problem {
        kind: "about:blank",
        title,
        status: status.as_u16(),
        detail: &detail,
        instance,
        error: code(status),
        message: &message,
        request_id,
        errors,
    };
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    if let Some(seconds) = ours.and_then(ApiError::wait) {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    response.content_type("application/problem+json").body(body)
}

/// The stable code of a status.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "VALIDATION_ERROR",
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::REQUEST_TIMEOUT => "REQUEST_TIMEOUT",
        StatusCode::PAYLOAD_TOO_LARGE => "PAYLOAD_TOO_LARGE",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
        StatusCode::UNPROCESSABLE_ENTITY => "IDEMPOTENCY_KEY_REUSED",
        StatusCode::TOO_MANY_REQUESTS => "RATE_LIMITED",
        StatusCode::SERVICE_UNAVAILABLE => "SERVICE_UNAVAILABLE",
        status if status.is_client_error() => "BAD_REQUEST",
        _ => "INTERNAL_ERROR",
    }
}

/// What a bare status means here.
fn detail(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "there is nothing at this path",
        StatusCode::METHOD_NOT_ALLOWED => "this path does not know this method",
        StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than 64 KiB",
        status if status.is_client_error() => "the request cannot be read",
        _ => "the request failed",
    }
}
