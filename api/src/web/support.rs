//! `/app/dashboard/support`: what went wrong for the tenant, newest first.

use actix_web::HttpResponse;

use super::{
    account::Account,
    href::Href,
    list::ListPage,
    sections::Section,
    table::{self, Cell, Column, Empty, Pages, Row, Table},
    visit::Visit,
    words,
};
use crate::{
    problem::ApiError,
    tenant::incidents::{Incident, Incidents, IncidentsQuery},
};

/// How many incidents are on a page.
const PAGE: i64 = 20;

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Support).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let (visit, t) = (&account.visit, account.visit.t());
    let found = visit.ask::<IncidentsQuery>(visit.fields()).await;
    let page = ListPage::of(visit, Section::Support, Vec::new(), found, |here, found: &Incidents| {
        let number = |name| here.get(name).and_then(|text| text.parse::<i64>().ok());
        let (offset, limit) = (number("offset").unwrap_or(0), number("limit").unwrap_or(PAGE));
        let shown = i64::try_from(found.incidents.len()).unwrap_or(i64::MAX);
        let total = visit.format().count(found.total);
        Table {
            caption: table::caption(t, t.support.incidents, (offset + 1, offset + shown), &total),
            pages: Pages::by_offset(here, offset, limit, found.total),
            ..incidents(visit, here, &found.incidents.iter().collect::<Vec<_>>())
        }
    });
    page?.within(|_| account.shell).respond()
}

/// Incidents as they come.
pub(super) fn incidents(visit: &Visit, here: &Href, incidents: &[&Incident]) -> Table {
    let t = visit.t();
    Table {
        caption: t.support.incidents.to_owned(),
        columns: vec![
            Column::text(t.support.incident),
            Column::text(t.support.severity),
            Column::text(t.support.began).wide(),
            Column::text(t.support.resolved),
            Column::text(t.support.description).wide(),
        ],
        rows: incidents.iter().map(|incident| row(visit, incident)).collect(),
        pages: Pages::default(),
        empty: Empty::of(here, &t.table, t.support.none),
    }
}

fn row(visit: &Visit, incident: &Incident) -> Row {
    let open = Cell::Text(visit.t().support.open.to_owned());
    Row {
        key: incident.id.to_string(),
        cells: vec![
            Cell::Text(incident.title.clone()),
            words::severity(visit.t(), &incident.severity),
            Cell::Time(visit.stamp(incident.created_at)),
            incident.resolved_at.map_or(open, |at| Cell::Time(visit.stamp(at))),
            Cell::Text(incident.description.clone()),
        ],
    }
}
