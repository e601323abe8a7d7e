//! The address of a page: everything that it shows stands in it, so that a link, Back and a reload show the same.

use std::fmt;

use actix_web::HttpRequest;
use url::form_urlencoded;

/// What narrows no list.
const NO_FILTERS: [&str; 7] = ["offset", "limit", "cursor", "sort_by", "sort_order", "tenant_id", "tab"];

/// A path and its parameters, in their order.
#[derive(Clone, Debug)]
pub(super) struct Href {
    path: String,
    parameters: Vec<(String, String)>,
}

impl Href {
    /// A page without parameters.
    pub(super) fn to(path: impl Into<String>) -> Self {
        Self { path: path.into(), parameters: Vec::new() }
    }

    /// That of a request; what is empty, as forms send it, is left out.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let given = form_urlencoded::parse(request.query_string().as_bytes()).into_owned();
        let parameters = given.filter(|(name, value)| !value.is_empty() && name != "fragment").collect();
        Self { path: request.path().to_owned(), parameters }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The names of its parameters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_str())
    }

    /// Whether it has such a parameter.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The same with another value of a parameter.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.without(name);
        other.parameters.push((name.to_owned(), value.to_owned()));
        other
    }

    /// The same without a parameter.
    pub(super) fn without(&self, name: &str) -> Self {
        let parameters = self.parameters.iter().filter(|(known, _)| known != name).cloned().collect();
        Self { path: self.path.clone(), parameters }
    }

    /// Whether it narrows a list.
    pub(super) fn is_filtered(&self) -> bool {
        self.parameters.iter().any(|(name, _)| !NO_FILTERS.contains(&name.as_str()))
    }
}

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.parameters).finish();
        match query.is_empty() {
            true => f.write_str(&self.path),
            false => write!(f, "{}?{query}", self.path),
        }
    }
}
