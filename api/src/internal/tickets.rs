//! `/internal/tickets`: what the customers ask, to be answered and closed.

use actix_web::HttpResponse;

use crate::{
    openapi::{ReadProblems, WriteProblems},
    problem::ApiError,
    query::uuid_in_path,
    read::{self, Read},
    tickets::{
        NewAnswer, TicketQuery, TicketStatusFilter, TicketWithMessages, TicketWrite, Tickets, TicketsQuery, Writing,
    },
    write::{self, Write},
};

/// `GET`: the tickets, those that wait for an answer first, the longest wait before.
#[utoipa::path(
    get, path = "/internal/tickets", tag = "internal",
    params(
        ("status" = Option<TicketStatusFilter>, Query, description = "By default open."),
        ("tenant_id" = Option<Uuid>, Query, description = "Only of this tenant."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 20."),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1000000, description = "By default 0."),
    ),
    responses((status = 200, body = Tickets), ReadProblems),
)]
pub async fn list(read: Read<TicketsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// `GET`: a ticket, and what was written.
#[utoipa::path(
    get, path = "/internal/tickets/{ticket_id}", tag = "internal",
    params(("ticket_id" = Uuid, Path, description = "The ticket.")),
    responses((status = 200, body = TicketWithMessages), ReadProblems),
)]
pub async fn show(read: Read<TicketQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// `POST`: 201 with the ticket, answered or closed.
#[utoipa::path(
    post, path = "/internal/tickets/{ticket_id}/messages", tag = "internal",
    params(
        ("ticket_id" = Uuid, Path, description = "The ticket."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "The same key with the same request writes it once."),
    ),
    request_body(content = NewAnswer, example = json!({"message": "Reiniciamos o agente.", "close": true})),
    responses(
        (status = 201, body = TicketWithMessages, headers(("Location" = String, description = "Where the ticket is."))),
        WriteProblems,
    ),
)]
pub async fn answer(write: Write) -> Result<HttpResponse, ApiError> {
    let Write { caller, object, request, state, place: _place } = write;
    let ticket = uuid_in_path("ticket_id", request.match_info().get("ticket_id").unwrap_or_default())?;
    let writing = Writing::by_operator(&request, &caller, ticket).with_key(write::key(&request)?)?;
    let written = state.write_ticket(writing, TicketWrite::answer(object)?, &caller).await?;
    let found = read::compute(&state, &TicketQuery::of(written.ticket)).await?;
    Ok(written.respond("/internal/tickets", &found))
}
