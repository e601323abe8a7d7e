//! `/tenant/tickets`: a customer asks the operators something, and sees what is answered.

use actix_web::HttpResponse;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    openapi::{ReadProblems, WriteProblems},
    problem::ApiError,
    query::uuid_in_path,
    read::{self, Read},
    tickets::{
        AccountTicketQuery, AccountTicketsQuery, NewMessage, NewTicket, TicketStatusFilter, TicketWithMessages,
        TicketWrite, Tickets, Writing,
    },
    write::{self, OwnWrite},
};

/// `GET`: the tickets, those that wait for an answer first.
#[utoipa::path(
    get, path = "/tenant/tickets", tag = "tenant",
    params(
        ("status" = Option<TicketStatusFilter>, Query, description = "By default all."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 20."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
        ("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one."),
    ),
    responses((status = 200, body = Tickets), ReadProblems),
)]
pub async fn list(read: Read<AccountTicketsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// `GET`: a ticket, and what was written.
#[utoipa::path(
    get, path = "/tenant/tickets/{ticket_id}", tag = "tenant",
    params(
        ("ticket_id" = Uuid, Path, description = "The ticket."),
        ("tenant_id" = Option<Uuid>, Query, description = "The tenant; only operators name one."),
    ),
    responses((status = 200, body = TicketWithMessages), ReadProblems),
)]
pub async fn show(read: Read<AccountTicketQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// `POST`: 201 with the ticket; operators see it at once.
#[utoipa::path(
    post, path = "/tenant/tickets", tag = "tenant",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "The same key with the same request makes one ticket.")),
    request_body(content = NewTicket, example = json!({"subject": "O agente não responde", "message": "Desde as nove horas."})),
    responses(
        (status = 201, body = TicketWithMessages, headers(("Location" = String, description = "Where the ticket is."))),
        WriteProblems,
    ),
)]
pub async fn open(own: OwnWrite) -> Result<HttpResponse, ApiError> {
    written(own, None, TicketWrite::opening).await
}

/// `POST`: 201 with the ticket, which waits for an answer again.
#[utoipa::path(
    post, path = "/tenant/tickets/{ticket_id}/messages", tag = "tenant",
    params(
        ("ticket_id" = Uuid, Path, description = "The ticket."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "The same key with the same request writes it once."),
    ),
    request_body(content = NewMessage, example = json!({"message": "Ainda não responde."})),
    responses(
        (status = 201, body = TicketWithMessages, headers(("Location" = String, description = "Where the ticket is."))),
        WriteProblems,
    ),
)]
pub async fn go_on(own: OwnWrite) -> Result<HttpResponse, ApiError> {
    let ticket = uuid_in_path("ticket_id", own.write.request.match_info().get("ticket_id").unwrap_or_default())?;
    written(own, Some(ticket), TicketWrite::message).await
}

async fn written(
    own: OwnWrite,
    ticket: Option<Uuid>,
    what: fn(Map<String, Value>) -> Result<TicketWrite, ApiError>,
) -> Result<HttpResponse, ApiError> {
    let OwnWrite { tenant, write: asked } = own;
    let write::Write { caller, object, request, state, place: _place } = asked;
    let writing = Writing::by_customer(&request, &caller, tenant, ticket).with_key(write::key(&request)?)?;
    let written = state.write_ticket(writing, what(object)?, &caller).await?;
    let query = AccountTicketQuery::of(&caller, tenant, written.ticket);
    Ok(written.respond("/tenant/tickets", &read::compute(&state, &query).await?))
}
