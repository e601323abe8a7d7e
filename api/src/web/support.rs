//! `/app/dashboard/support`: what went wrong for the tenant, newest first, and what it asks the operators.

use actix_web::HttpResponse;
use askama::Template;

use super::{
    account::Account,
    draft::Draft,
    href::Href,
    part::{Failure, part},
    posted::Posted,
    sections::Section,
    see_other,
    shell::{self, Shell},
    table::{self, Cell, Column, Empty, Pages, Row, Table},
    ticket, tickets,
    visit::Visit,
    words,
};
use crate::{
    problem::ApiError,
    tenant::incidents::{Incident, Incidents, IncidentsQuery},
    tickets::{AccountTicketsQuery, Ticket, TicketWrite, Tickets, Writing},
};

/// How many incidents are on a page.
const PAGE: i64 = 20;
/// How many tickets are shown.
const TICKETS: &str = "20";
/// By this parameter the tickets are paged.
const OFFSET: &str = "tickets_offset";

#[derive(Template)]
#[template(path = "support.html")]
struct SupportPage {
    shell: Shell,
    incidents: Result<Table, Failure>,
    tickets: Result<Table, Failure>,
    /// None for whom there is nothing to ask here.
    draft: Option<Draft>,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Support).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let draft = if account.visit.caller.is_internal() { None } else { Some(Draft::new()?) };
    let page = page(account, draft).await?;
    shell::page_with(&page, page.incidents.as_ref().err())
}

/// `POST`: a customer opens a ticket.
pub(super) async fn open(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, fields, place: _place } = posted;
    let tenant = visit.caller.own_tenant()?;
    let draft = Draft::read(fields)?;
    let writing = Writing::by_customer(&visit.request, &visit.caller, tenant, None);
    let read = TicketWrite::opening(draft.body(&["subject", "message"]));
    match ticket::write(&visit, writing, &draft, read).await {
        Ok(written) => {
            let page = Href::to(format!("{}/{}", Section::Support.path(), written.ticket));
            Ok(see_other(&page.with("written", "1").to_string()))
        }
        Err(error) => {
            let (status, draft) = draft.after(visit.t(), error)?;
            let account = Account::own(visit, Section::Support);
            shell::render(status, &page(account, Some(draft)).await?)
        }
    }
}

async fn page(account: Account, draft: Option<Draft>) -> Result<SupportPage, ApiError> {
    let (visit, t) = (&account.visit, account.visit.t());
    let here = Href::of(&visit.request);
    // Each of the two lists has a place of its own in the address.
    let asked = [("limit", TICKETS), ("offset", here.get(OFFSET).unwrap_or("0"))];
    let (incidents, tickets) = tokio::join!(
        visit.ask::<IncidentsQuery>(visit.fields().without(OFFSET)),
        visit.ask_of_tenant::<AccountTicketsQuery>(&asked),
    );
    let incidents = part(t, incidents)?.map(|found| incident_page(visit, &here, &found.value));
    let tickets = part(t, tickets)?.map(|found| ticket_table(&account, &here, &found.value));
    let has_errors = draft.as_ref().is_some_and(Draft::has_errors);
    Ok(SupportPage { incidents, tickets, draft, shell: account.shell.with_errors(has_errors) })
}

fn incident_page(visit: &Visit, here: &Href, found: &Incidents) -> Table {
    let t = visit.t();
    let number = |name| here.get(name).and_then(|text| text.parse::<i64>().ok());
    let (offset, limit) = (number("offset").unwrap_or(0), number("limit").unwrap_or(PAGE));
    let total = visit.format().count(found.total);
    Table {
        caption: table::caption(t, t.support.incidents, table::range(offset, found.incidents.len()), &total),
        pages: Pages::by_offset(here, offset, limit, found.total),
        ..incidents(visit, here, &found.incidents.iter().collect::<Vec<_>>())
    }
}

fn ticket_table(account: &Account, here: &Href, found: &Tickets) -> Table {
    let visit = &account.visit;
    let page = |ticket: &Ticket| account.below(Section::Support, &ticket.id.to_string());
    Table {
        rows: found.tickets.iter().map(|ticket| tickets::row(visit, page(ticket), ticket)).collect(),
        pages: Pages::by(OFFSET, here, found.offset, found.limit, found.total),
        empty: Empty { text: visit.t().tickets.none.to_owned(), link: None },
        ..tickets::table(visit, here, found)
    }
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
