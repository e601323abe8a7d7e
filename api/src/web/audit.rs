//! `/app/company/audit`: who did what, on what, and what came of it.

use actix_web::HttpResponse;

use super::{
    filter::FilterField,
    href::Href,
    list::ListPage,
    sections::Section,
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
};
use crate::{
    internal::events::{EventView, EventsQuery},
    problem::ApiError,
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let found = visit.ask::<EventsQuery>(visit.fields()).await;
    let page = ListPage::of(&visit, Section::Audit, filters(visit.t()), found, |here, found| {
        let pages = Pages::by_cursor(here, found.next_cursor.as_deref());
        table(&visit, here, &found.events, pages)
    });
    page?.respond()
}

fn filters(t: &'static Texts) -> Vec<FilterField> {
    vec![
        FilterField::text("tenant_id", t.operations.tenant_id),
        FilterField::text("event_type", t.audit.event),
        FilterField::text("user_id", t.audit.user_id),
    ]
}

/// Events, newest first.
pub(super) fn table(visit: &Visit, here: &Href, events: &[EventView], pages: Pages) -> Table {
    let t = visit.t();
    Table {
        caption: (t.audit.shown)(events.len()),
        columns: vec![
            Column::text(t.audit.event),
            Column::text(t.audit.when),
            Column::text(t.audit.who).wide(),
            Column::text(t.audit.what).wide(),
            Column::text(t.audit.outcome).wide(),
            Column::text(t.audit.from).wide(),
        ],
        rows: events.iter().map(|event| row(visit, event)).collect(),
        pages,
        empty: Empty::of(here, &t.table, t.audit.none),
    }
}

fn row(visit: &Visit, event: &EventView) -> Row {
    let about = event.resource_id.as_deref();
    let what = match (event.resource_type.as_deref(), about) {
        (Some("command"), Some(id)) => {
            Cell::Link { text: event.action.clone(), href: format!("{}/{id}", Section::Operations.path()) }
        }
        _ => Cell::Text(event.action.clone()),
    };
    Row {
        key: event.id.to_string(),
        cells: vec![
            Cell::Code(event.event_type.clone()),
            Cell::Time(visit.stamp(event.created_at)),
            Cell::or_dash(event.user_email.as_deref().or(event.user_id.as_deref())),
            what,
            Cell::Text(event.status.clone()),
            Cell::or_dash(event.ip_address.as_deref()),
        ],
    }
}
