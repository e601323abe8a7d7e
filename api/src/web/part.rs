//! A part of a page that may fail by itself: the rest of the page stands.

use std::sync::Arc;

use actix_web::{ResponseError, http::StatusCode};

use super::{texts::Texts, visit::Visit};
use crate::{cache::Computed, problem::ApiError};

/// What is said in place of a part.
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
}

impl Failure {
    pub(super) fn of(t: &'static Texts, error: &ApiError) -> Self {
        let status = error.status_code();
        if let Some(cause) = error.cause() {
            tracing::error!(cause, "a part of a page could not be shown");
        }
        let (title, text) = t.errors.of(status);
        Self { status, title, text }
    }
}

/// What was found for a part of a page.
pub(super) type Part<V> = Result<Arc<Computed<V>>, Failure>;

/// What was found, or what is said in its place: where a store does not answer, or a filter is wrong. What says that the page
/// itself must not be shown goes on.
pub(super) fn part<V>(t: &'static Texts, found: Result<Arc<Computed<V>>, ApiError>) -> Result<Part<V>, ApiError> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.status_code().is_server_error() || error.status_code() == StatusCode::BAD_REQUEST => {
            Ok(Err(Failure::of(t, &error)))
        }
        Err(error) => Err(error),
    }
}

/// "Dados de 12:03": how old what a page shows is.
pub(super) fn age<V>(visit: &Visit, computed: &Computed<V>) -> String {
    let (t, format) = (visit.t(), visit.format());
    let elapsed = chrono::TimeDelta::from_std(computed.made.elapsed()).unwrap_or_default();
    (t.table.as_of)(&format.clock(painel_shared::time::now() - elapsed))
}
