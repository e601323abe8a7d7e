//! `/app/company/audit`: who did what, on what, and what came of it.

use std::rc::Rc;

use actix_web::HttpResponse;

use super::{
    command_words, csv,
    filter::FilterField,
    href::Href,
    list::ListPage,
    sections::Section,
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
    words,
};
use crate::{
    internal::events::{EventView, EventsQuery},
    problem::ApiError,
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    if csv::is_wanted(&visit) {
        let columns = columns(&visit);
        return csv::file(visit, "audit", columns, part).await;
    }
    let found = visit.ask::<EventsQuery>(visit.fields()).await;
    let page = ListPage::of(&visit, Section::Audit, filters(visit.t()), found, |here, found| {
        let pages = Pages::by_cursor(here, found.next_cursor.as_deref());
        table(&visit, here, &found.events, pages)
    });
    page?.with_file(&visit).respond()
}

/// A part of the list, for its file.
async fn part(visit: Rc<Visit>, cursor: Option<String>) -> Result<csv::Part, ApiError> {
    let found = &visit.ask::<EventsQuery>(csv::after(&visit, cursor.as_deref())).await?.value;
    let rows = found.events.iter().map(|event| row(&visit, event)).collect();
    Ok(csv::Part { rows, next: found.next_cursor.clone() })
}

fn filters(t: &'static Texts) -> Vec<FilterField> {
    vec![
        FilterField::text("tenant_id", t.operations.tenant_id),
        FilterField::text("event_type", t.audit.event),
        FilterField::text("user_id", t.audit.user_id),
        FilterField::day("from", t.table.from_day),
        FilterField::day("to", t.table.to_day),
    ]
}

/// Events, newest first.
pub(super) fn table(visit: &Visit, here: &Href, events: &[EventView], pages: Pages) -> Table {
    let t = visit.t();
    Table {
        caption: (t.audit.shown)(events.len()),
        columns: columns(visit),
        rows: events.iter().map(|event| row(visit, event)).collect(),
        pages,
        empty: Empty::of(here, &t.table, t.audit.none),
    }
}

fn columns(visit: &Visit) -> Vec<Column> {
    let words = &visit.t().audit;
    vec![
        Column::text(words.event),
        Column::text(words.when),
        Column::text(words.who).wide(),
        Column::text(words.what).wide(),
        Column::text(words.outcome).wide(),
        Column::text(words.from).wide(),
    ]
}

fn row(visit: &Visit, event: &EventView) -> Row {
    let t = visit.t();
    let link =
        |text: String, section: Section, id: &str| Cell::Link { text, href: format!("{}/{id}", section.path()) };
    let what = match (event.resource_type.as_deref(), event.resource_id.as_deref()) {
        (Some("command"), Some(id)) => link(command_words::name(t, &event.action), Section::Operations, id),
        (Some("ticket"), Some(id)) => link(t.audit.ticket.to_owned(), Section::Tickets, id),
        (Some("account"), Some(id)) => link(t.audit.account.to_owned(), Section::Tenants, id),
        (_, Some(about)) => Cell::Text(about.to_owned()),
        (_, None) => Cell::Text(event.action.clone()),
    };
    Row {
        key: event.id.to_string(),
        cells: vec![
            Cell::Text(words::event(t, &event.event_type)),
            Cell::Time(visit.stamp(event.created_at)),
            Cell::or_dash(event.user_email.as_deref().or(event.user_id.as_deref())),
            what,
            words::status(t, &event.status),
            Cell::or_dash(event.ip_address.as_deref()),
        ],
    }
}
