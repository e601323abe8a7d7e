//! `/app/company/integrations`: what the customers have connected: how much of each type is in which state, and what.

use std::{collections::BTreeSet, rc::Rc};

use actix_web::HttpResponse;
use askama::Template;

use super::{
    csv,
    filter::{FilterBar, FilterField, options},
    href::Href,
    part::{Failure, age, part},
    sections::Section,
    shell::{self, Shell},
    table::{self, Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
    words,
};
use crate::{
    internal::integrations::{PlatformIntegration, PlatformIntegrations, PlatformIntegrationsQuery},
    problem::ApiError,
};

/// The states, as they are stored, in the order in which they are shown.
const STATES: [&str; 4] = ["active", "error", "pending", "inactive"];

#[derive(Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    shell: Shell,
    filter: FilterBar,
    file: String,
    found: Result<Found, Failure>,
}

struct Found {
    age: String,
    matrix: Table,
    integrations: Table,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    if csv::is_wanted(&visit) {
        let columns = columns(visit.t());
        return csv::file(visit, "integrations", columns, file_part).await;
    }
    let (t, here) = (visit.t(), Href::of(&visit.request));
    let found = visit.ask::<PlatformIntegrationsQuery>(visit.fields()).await;
    let types = found.as_ref().map(|found| types(&found.value)).unwrap_or_default();
    let types = types.into_iter().map(|kind| (kind.to_owned(), kind.to_owned()));
    let all = (String::new(), t.table.all.to_owned());
    let fields = vec![
        FilterField::search("search", t.connections.search),
        FilterField::select("type", t.integrations.kind, std::iter::once(all).chain(types).collect()),
        FilterField::select("status", t.states.state, states(t)),
    ];
    let filter = FilterBar::new(&here, t, fields, found.as_ref().err());
    let page = ConnectionsPage {
        shell: Shell::of(&visit, Section::Connections).with_errors(filter.has_errors()),
        filter,
        file: csv::href(&here),
        found: part(t, found)?.map(|found| Found {
            age: age(&visit, &found),
            matrix: matrix(&visit, &found.value),
            integrations: integrations(&visit, &here, &found.value),
        }),
    };
    shell::page_with(&page, page.found.as_ref().err())
}

/// A part of the list, for its file.
async fn file_part(visit: Rc<Visit>, offset: Option<String>) -> Result<csv::Part, ApiError> {
    let fields = visit.fields().with("limit", csv::PART).with("offset", offset.as_deref().unwrap_or("0"));
    let found = &visit.ask::<PlatformIntegrationsQuery>(fields).await?.value;
    let rows = found.integrations.iter().map(|one| row(&visit, one)).collect();
    Ok(csv::Part::by_offset(rows, found.offset + found.limit, found.total))
}

fn types(found: &PlatformIntegrations) -> BTreeSet<&str> {
    found.counts.iter().map(|count| count.r#type.as_str()).collect()
}

fn states(t: &'static Texts) -> Vec<(String, String)> {
    let words = &t.states;
    options([
        ("", t.table.all),
        ("active", words.active),
        ("error", words.error),
        ("pending", words.pending),
        ("inactive", words.inactive),
    ])
}

/// How many there are of each type in each state; a count leads to them.
fn matrix(visit: &Visit, found: &PlatformIntegrations) -> Table {
    let (t, words) = (visit.t(), &visit.t().states);
    let here = Href::to(Section::Connections.path());
    let cell = |kind: &str, state: &str| {
        let count = found.counts.iter().find(|count| count.r#type == kind && count.status == state);
        count.map_or(Cell::Nothing, |count| Cell::Link {
            text: visit.format().count(count.integrations),
            href: here.with("type", kind).with("status", state).to_string(),
        })
    };
    let row = |kind: &str| Row {
        key: kind.to_owned(),
        cells: std::iter::once(Cell::Link { text: kind.to_owned(), href: here.with("type", kind).to_string() })
            .chain(STATES.map(|state| cell(kind, state)))
            .collect(),
    };
    Table {
        caption: t.connections.matrix.to_owned(),
        columns: vec![
            Column::text(t.integrations.kind),
            Column::number(words.active),
            Column::number(words.error),
            Column::number(words.pending).wide(),
            Column::number(words.inactive).wide(),
        ],
        rows: types(found).into_iter().map(row).collect(),
        pages: Pages::default(),
        empty: Empty { text: t.connections.none.to_owned(), link: None },
    }
}

fn integrations(visit: &Visit, here: &Href, found: &PlatformIntegrations) -> Table {
    let t = visit.t();
    let total = visit.format().count(found.total);
    let range = table::range(found.offset, found.integrations.len());
    Table {
        caption: table::caption(t, t.menu.integrations, range, &total),
        columns: columns(t),
        rows: found.integrations.iter().map(|one| row(visit, one)).collect(),
        pages: Pages::by_offset(here, found.offset, found.limit, found.total),
        empty: Empty::of(here, &t.table, t.connections.none),
    }
}

fn columns(t: &'static Texts) -> Vec<Column> {
    vec![
        Column::text(t.operations.tenant),
        Column::text(t.integrations.integration).wide(),
        Column::text(t.integrations.kind).wide(),
        Column::text(t.states.state),
        Column::text(t.integrations.synced).wide(),
        Column::text(t.integrations.error).wide(),
    ]
}

/// An integration; it leads to its customer's.
fn row(visit: &Visit, one: &PlatformIntegration) -> Row {
    let tenant = Href::to(format!("{}/{}", Section::Tenants.path(), one.tenant_id)).with("tab", "integrations");
    Row {
        key: one.id.to_string(),
        cells: vec![
            Cell::Link { text: one.tenant_name.clone(), href: tenant.to_string() },
            Cell::Text(one.name.clone()),
            Cell::Text(one.r#type.clone()),
            words::state(visit.t(), &one.status),
            Cell::time_or_dash(one.last_sync_at.map(|at| visit.stamp(at))),
            Cell::or_dash(one.last_error.as_deref()),
        ],
    }
}
