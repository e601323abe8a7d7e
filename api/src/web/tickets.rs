//! `/app/company/tickets`: what the customers ask, those that wait for an answer first.

use actix_web::HttpResponse;

use super::{
    filter::{FilterField, options},
    href::Href,
    list::ListPage,
    sections::Section,
    table::{self, Cell, Column, Empty, Pages, Row, Table},
    visit::Visit,
    words,
};
use crate::{
    problem::ApiError,
    tickets::{Ticket, Tickets, TicketsQuery},
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let t = visit.t();
    let found = visit.ask::<TicketsQuery>(visit.fields()).await;
    let states = options([
        ("", t.tickets.open_ones),
        ("answered", t.tickets.answered_ones),
        ("closed", t.tickets.closed_ones),
        ("all", t.table.all),
    ]);
    let filters = vec![
        FilterField::select("status", t.states.state, states),
        FilterField::text("tenant_id", t.operations.tenant_id),
    ];
    let page = ListPage::of(&visit, Section::Tickets, filters, found, |here, found| Table {
        columns: std::iter::once(Column::text(t.tickets.subject))
            .chain([Column::text(t.operations.tenant)])
            .chain(columns(&visit).into_iter().skip(1))
            .collect(),
        rows: found
            .tickets
            .iter()
            .map(|ticket| with_tenant(row(&visit, here_of(ticket), ticket), ticket))
            .collect(),
        ..table(&visit, here, found)
    });
    page?.respond()
}

/// An operator's page of a ticket.
fn here_of(ticket: &Ticket) -> Href {
    Href::to(format!("{}/{}", Section::Tickets.path(), ticket.id))
}

fn with_tenant(mut row: Row, ticket: &Ticket) -> Row {
    row.cells.insert(1, Cell::Text(ticket.tenant_name.clone()));
    row
}

/// Tickets without rows: each side's lead to its own pages.
pub(super) fn table(visit: &Visit, here: &Href, found: &Tickets) -> Table {
    let t = visit.t();
    let range = table::range(found.offset, found.tickets.len());
    Table {
        caption: table::caption(t, t.tickets.tickets, range, &visit.format().count(found.total)),
        columns: columns(visit),
        rows: Vec::new(),
        pages: Pages::by_offset(here, found.offset, found.limit, found.total),
        empty: Empty::of(here, &t.table, t.tickets.none),
    }
}

fn columns(visit: &Visit) -> Vec<Column> {
    let t = visit.t();
    vec![
        Column::text(t.tickets.subject),
        Column::text(t.states.state),
        Column::text(t.tickets.opened_by).wide(),
        Column::text(t.tickets.opened_at).wide(),
        Column::text(t.tickets.updated_at).wide(),
    ]
}

/// A ticket, which leads there.
pub(super) fn row(visit: &Visit, page: Href, ticket: &Ticket) -> Row {
    Row {
        key: ticket.id.to_string(),
        cells: vec![
            Cell::Link { text: ticket.subject.clone(), href: page.to_string() },
            Cell::Chip(words::ticket_chip(visit.t(), &ticket.status)),
            Cell::or_dash(ticket.opened_by_email.as_deref()),
            Cell::Time(visit.stamp(ticket.created_at)),
            Cell::Time(visit.stamp(ticket.updated_at)),
        ],
    }
}
