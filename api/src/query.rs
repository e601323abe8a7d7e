//! Reading a query string field by field, so that everything wrong with it is told at once.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, web};
use painel_shared::commands::FieldError;

use crate::problem::ApiError;

/// A query string being read.
#[derive(Debug)]
pub struct QueryFields {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl QueryFields {
    /// Starts reading. A parameter that stands twice is refused.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|_| ApiError::field("query", "must be a query string in UTF-8"))?;
        let mut fields = Self { values: BTreeMap::new(), errors: Vec::new() };
        for (name, value) in pairs.into_inner() {
            if fields.values.insert(name.clone(), value).is_some() {
                fields.refuse(&name, "must stand only once");
            }
        }
        Ok(fields)
    }

    /// A parameter that may be absent; `expected` ends the sentence "must be".
    pub fn optional<T>(
        &mut self,
        name: &str,
        expected: impl Into<String>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.values.remove(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.refuse(name, format!("must be {}", expected.into()));
        }
        parsed
    }

    /// A whole number within bounds, or the default.
    pub fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<u32>, default: u32) -> u32 {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let parse = |text: &str| text.parse().ok().filter(|number| bounds.contains(number));
        self.optional(name, expected, parse).unwrap_or(default)
    }

    /// Notes that a parameter is wrong.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(name, message));
    }

    /// Ends the reading: what was not asked for is unknown, and refused.
    pub fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.values) {
            self.refuse(&name, "is not a known parameter");
        }
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::Validation(self.errors)),
        }
    }
}
