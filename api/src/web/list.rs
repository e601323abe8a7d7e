//! The page of a list: what narrows it, how old it is, and its table.

use std::sync::Arc;

use actix_web::HttpResponse;
use askama::Template;

use super::{
    csv,
    filter::{FilterBar, FilterField},
    href::Href,
    part::{Failure, age, part},
    sections::Section,
    shell::{self, Shell},
    table::Table,
    visit::Visit,
};
use crate::{cache::Computed, problem::ApiError};

/// A list's page.
#[derive(Template)]
#[template(path = "list.html")]
pub(super) struct ListPage {
    pub(super) shell: Shell,
    /// What is to be known beforehand.
    pub(super) intro: Option<String>,
    pub(super) filter: Option<FilterBar>,
    pub(super) age: Option<String>,
    /// Where the list is to be had as a file.
    pub(super) file: Option<String>,
    pub(super) table: Result<Table, Failure>,
}

impl ListPage {
    /// The page of what was found, narrowed by those fields.
    pub(super) fn of<V>(
        visit: &Visit,
        section: Section,
        fields: Vec<FilterField>,
        found: Result<Arc<Computed<V>>, ApiError>,
        table: impl FnOnce(&Href, &V) -> Table,
    ) -> Result<Self, ApiError> {
        let (t, here) = (visit.t(), Href::of(&visit.request));
        let filter = (!fields.is_empty()).then(|| FilterBar::new(&here, t, fields, found.as_ref().err()));
        let has_errors = filter.as_ref().is_some_and(FilterBar::has_errors);
        let found = part(t, found)?;
        Ok(Self {
            shell: Shell::of(visit, section).with_errors(has_errors),
            intro: None,
            filter,
            age: found.as_ref().ok().map(|found| age(visit, found)),
            file: None,
            table: found.map(|found| table(&here, &found.value)),
        })
    }

    /// The same with what is to be known beforehand.
    pub(super) fn with_intro(self, intro: impl Into<String>) -> Self {
        Self { intro: Some(intro.into()), ..self }
    }

    /// The same, to be had as a file.
    pub(super) fn with_file(self, visit: &Visit) -> Self {
        Self { file: Some(csv::href(&Href::of(&visit.request))), ..self }
    }

    /// The same with another shell.
    pub(super) fn within(self, shell: impl FnOnce(Shell) -> Shell) -> Self {
        Self { shell: shell(self.shell), ..self }
    }

    /// The answer.
    pub(super) fn respond(&self) -> Result<HttpResponse, ApiError> {
        shell::page_with(self, self.table.as_ref().err())
    }
}
