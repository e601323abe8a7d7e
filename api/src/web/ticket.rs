//! `/app/dashboard/support/{ticket_id}` and `/app/company/tickets/{ticket_id}`: a ticket, what was written, and a form to go on.

use std::sync::Arc;

use actix_web::HttpResponse;
use askama::Template;
use uuid::Uuid;

use super::{
    account::Account,
    draft::Draft,
    href::Href,
    posted::Posted,
    sections::Section,
    see_other,
    shell::{self, Shell},
    table::{Chip, Stamp},
    visit::Visit,
    words,
};
use crate::{
    cache::Computed,
    problem::ApiError,
    query::{QueryFields, uuid_in_path},
    tickets::{AccountTicketQuery, TicketMessage, TicketQuery, TicketWithMessages, TicketWrite, Writing, Written},
};

#[derive(Template)]
#[template(path = "ticket.html")]
struct TicketPage {
    shell: Shell,
    /// This page, and the list that it is of.
    here: String,
    all: String,
    chip: Chip,
    is_closed: bool,
    facts: Vec<(&'static str, String)>,
    messages: Vec<Message>,
    /// None for whom it is not to go on with.
    draft: Option<Draft>,
    /// What going on is called.
    reply: &'static str,
    /// Whether whoever looks may close it.
    closes: bool,
}

struct Message {
    by_operator: bool,
    author: String,
    at: Stamp,
    body: String,
}

/// A customer's page of their own ticket, or an operator's look at it.
pub(super) async fn show_own(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Support).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let draft = if account.visit.caller.is_internal() { None } else { Some(Draft::new()?) };
    let found = account.visit.ask_of_tenant::<AccountTicketQuery>(&[]).await?;
    let all = account.href(Section::Support).to_string();
    shell::page(&own_page(&account.visit, account.shell, all, &found.value, draft))
}

/// `POST`: a customer writes on.
pub(super) async fn go_on(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, fields, place: _place } = posted;
    let tenant = visit.caller.own_tenant()?;
    let ticket = ticket_id(&visit)?;
    let draft = Draft::read(fields)?;
    let writing = Writing::by_customer(&visit.request, &visit.caller, tenant, Some(ticket));
    let Err(error) = write(&visit, writing, &draft, TicketWrite::message(draft.body(&["message"]))).await else {
        return Ok(see_other(&done(&visit)));
    };
    let (status, draft) = draft.after(visit.t(), error)?;
    let found = visit.ask::<AccountTicketQuery>(QueryFields::of_pairs([])).await?;
    let (shell, all) = (Shell::of(&visit, Section::Support), Section::Support.path().to_owned());
    shell::render(status, &own_page(&visit, shell, all, &found.value, Some(draft)))
}

/// Writes what was read, once a form.
pub(super) async fn write(
    visit: &Visit,
    writing: Writing,
    draft: &Draft,
    read: Result<TicketWrite, ApiError>,
) -> Result<Written, ApiError> {
    visit.state.write_ticket(writing.with_key(Some(&draft.key))?, read?, &visit.caller).await
}

/// An operator's page of a ticket.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let found = find(&visit).await?;
    shell::page(&operators_page(&visit, &found.value, Draft::new()?))
}

/// `POST`: an operator answers, or closes it, or both.
pub(super) async fn answer(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, fields, place: _place } = posted;
    visit.caller.require_internal()?;
    let ticket = ticket_id(&visit)?;
    let draft = Draft::read(fields)?;
    let writing = Writing::by_operator(&visit.request, &visit.caller, ticket);
    let Err(error) = write(&visit, writing, &draft, TicketWrite::answer(draft.body(&["message", "close"]))).await
    else {
        return Ok(see_other(&done(&visit)));
    };
    let (status, draft) = draft.after(visit.t(), error)?;
    let found = find(&visit).await?;
    shell::render(status, &operators_page(&visit, &found.value, draft))
}

async fn find(visit: &Visit) -> Result<Arc<Computed<TicketWithMessages>>, ApiError> {
    visit.ask::<TicketQuery>(QueryFields::of_pairs([])).await
}

/// The ticket that the address names.
fn ticket_id(visit: &Visit) -> Result<Uuid, ApiError> {
    uuid_in_path("ticket_id", visit.request.match_info().get("ticket_id").unwrap_or_default())
}

/// The same page, which says that it was written.
fn done(visit: &Visit) -> String {
    Href::to(visit.request.path()).with("written", "1").to_string()
}

fn own_page(
    visit: &Visit,
    shell: Shell,
    all: String,
    found: &TicketWithMessages,
    draft: Option<Draft>,
) -> TicketPage {
    let t = visit.t();
    TicketPage { reply: t.tickets.write, closes: false, draft, ..page(visit, shell, all, found) }
}

fn operators_page(visit: &Visit, found: &TicketWithMessages, draft: Draft) -> TicketPage {
    let (t, shell) = (visit.t(), Shell::of(visit, Section::Tickets));
    let page = page(visit, shell, Section::Tickets.path().to_owned(), found);
    let tenant = (t.operations.tenant, found.ticket.tenant_name.clone());
    let facts = std::iter::once(tenant).chain(page.facts).collect();
    TicketPage { reply: t.tickets.answer, closes: true, draft: Some(draft), facts, ..page }
}

fn page(visit: &Visit, shell: Shell, all: String, found: &TicketWithMessages) -> TicketPage {
    let (t, ticket) = (visit.t(), &found.ticket);
    let notice = Href::of(&visit.request).has("written").then(|| t.tickets.written.to_owned());
    let opened_by = ticket.opened_by_email.clone().map(|email| (t.tickets.opened_by, email));
    let times = [
        (t.tickets.opened_at, visit.stamp(ticket.created_at).text),
        (t.tickets.updated_at, visit.stamp(ticket.updated_at).text),
    ];
    TicketPage {
        shell: Shell { notice, ..shell.titled(ticket.subject.clone()) },
        here: visit.request.path().to_owned(),
        all,
        chip: words::ticket_chip(t, &ticket.status),
        is_closed: ticket.status == "closed",
        facts: opened_by.into_iter().chain(times).collect(),
        messages: found.messages.iter().map(|message| said(visit, message)).collect(),
        draft: None,
        reply: "",
        closes: false,
    }
}

fn said(visit: &Visit, message: &TicketMessage) -> Message {
    let nameless = if message.by_operator { visit.t().tickets.operators } else { visit.t().settings.customer };
    Message {
        by_operator: message.by_operator,
        author: message.author_email.clone().unwrap_or_else(|| nameless.to_owned()),
        at: visit.stamp(message.created_at),
        body: message.body.clone(),
    }
}
