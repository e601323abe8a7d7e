//! What a list is narrowed by: a form whose values stand in the address, and what is set.

use painel_shared::commands::FieldError;

use super::{href::Href, texts::Texts};
use crate::problem::ApiError;

/// A form that narrows a list.
pub(super) struct FilterBar {
    pub(super) action: String,
    pub(super) fields: Vec<FilterField>,
    /// Parameters that are kept, such as the tenant whose account is looked at.
    pub(super) kept: Vec<(String, String)>,
    pub(super) set: Vec<SetFilter>,
}

/// A field of it.
pub(super) struct FilterField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) kind: FilterKind,
    pub(super) value: String,
    /// What is wrong with the value.
    pub(super) error: Option<String>,
    /// Whether it stands behind a fold.
    pub(super) is_rare: bool,
}

/// How a field is filled in.
pub(super) enum FilterKind {
    /// One of these, each with its name; the first is what counts where none is chosen.
    Select(Vec<(String, String)>),
    /// Words.
    Search,
    /// An id or a word.
    Text,
    /// A day.
    Day,
}

/// A filter that is set.
pub(super) struct SetFilter {
    pub(super) text: String,
    /// The same list without it.
    pub(super) without: String,
}

impl FilterBar {
    /// The form of that address. `error` is what came of it.
    pub(super) fn new(
        here: &Href,
        t: &'static Texts,
        mut fields: Vec<FilterField>,
        error: Option<&ApiError>,
    ) -> Self {
        let base = here.without("offset").without("cursor");
        let faults: &[FieldError] = match error {
            Some(ApiError::Validation(faults)) => faults,
            _ => &[],
        };
        let mut set = Vec::new();
        for field in &mut fields {
            let fault = faults.iter().find(|fault| fault.field == field.name);
            field.error = fault.map(|fault| t.faults.of(fault));
            if let Some(value) = here.get(field.name) {
                field.value = value.to_owned();
                let shown = match &field.kind {
                    FilterKind::Select(options) => {
                        options.iter().find(|(known, _)| known == value).map(|(_, name)| name.as_str())
                    }
                    _ => None,
                };
                set.push(SetFilter {
                    text: format!("{}: {}", field.label, shown.unwrap_or(value)),
                    without: base.without(field.name).to_string(),
                });
            }
        }
        let kept = ["tenant_id", "sort_by", "sort_order", "tab"]
            .into_iter()
            .filter(|name| !fields.iter().any(|field| field.name == *name));
        let kept = kept.filter_map(|name| Some((name.to_owned(), here.get(name)?.to_owned()))).collect();
        Self { action: here.path().to_owned(), fields, kept, set }
    }

    /// Whether some fields stand behind a fold.
    pub(super) fn has_rare(&self) -> bool {
        self.fields.iter().any(|field| field.is_rare)
    }

    /// Whether one of those is in use.
    pub(super) fn uses_rare(&self) -> bool {
        self.fields.iter().any(|field| field.is_rare && !field.value.is_empty())
    }

    /// Whether something that was typed is wrong.
    pub(super) fn has_errors(&self) -> bool {
        self.fields.iter().any(|field| field.error.is_some())
    }
}

impl FilterField {
    /// One of a few.
    pub(super) fn select(name: &'static str, label: &'static str, options: Vec<(String, String)>) -> Self {
        Self { name, label, kind: FilterKind::Select(options), value: String::new(), error: None, is_rare: false }
    }

    /// The same, behind a fold.
    pub(super) fn rare(self) -> Self {
        Self { is_rare: true, ..self }
    }

    /// Words that are looked for.
    pub(super) fn search(name: &'static str, label: &'static str) -> Self {
        Self { name, label, kind: FilterKind::Search, value: String::new(), error: None, is_rare: false }
    }

    /// A day.
    pub(super) fn day(name: &'static str, label: &'static str) -> Self {
        Self { name, label, kind: FilterKind::Day, value: String::new(), error: None, is_rare: false }
    }

    /// An id or a word.
    pub(super) fn text(name: &'static str, label: &'static str) -> Self {
        Self { name, label, kind: FilterKind::Text, value: String::new(), error: None, is_rare: false }
    }
}

/// The options of a select: what is sent, and what it is called.
pub(super) fn options<const N: usize>(words: [(&str, &str); N]) -> Vec<(String, String)> {
    words.map(|(value, name)| (value.to_owned(), name.to_owned())).into()
}
