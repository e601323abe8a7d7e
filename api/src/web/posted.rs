//! A form that somebody who is signed in has sent.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::visit::Visit;
use crate::{
    in_flight::Place,
    problem::ApiError,
    query::QueryFields,
    write::{check_form, read_body},
};

/// A form: all of it has come.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) visit: Visit,
    pub(super) fields: QueryFields,
    /// Its place among all that are under way.
    pub(super) place: Place,
}

impl FromRequest for Posted {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let visit = Visit::from_request(request, payload);
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let visit = visit.await?;
            let share = visit.state.in_flight.join(&visit.caller)?;
            check_form(&request)?;
            let body = read_body(payload).await?;
            let place = share.enter(&request)?;
            let fields = QueryFields::read(std::str::from_utf8(&body).unwrap_or("%FF")).without_empty();
            Ok(Self { visit, fields, place })
        })
    }
}
