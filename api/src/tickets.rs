//! Tickets: what customers ask the operators, and what is answered. Both sides list, read and write them here.
//!
//! An administrator of a tenant sees all of its tickets, another user those that they have opened. Customers are not told
//! which operator has answered.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION};
use painel_shared::{
    changes::{Change, Subject},
    command_store::IdempotencyKey,
    commands::{Fault, Fields},
    db::{Bound, Session, Value},
    events::{Event, Origin},
    ids::TenantId,
    statement,
};
use serde::Serialize;
use serde_json::{Map, json};
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::Caller,
    cache::{CacheTag, Lifetime},
    observe,
    problem::ApiError,
    query::{Page, QueryFields},
    read::{Asked, Query},
    state::{AppState, carry_through},
    time::Time,
    write,
};

/// How long an answer is good; others write at any time.
const ONE_MINUTE: Lifetime = Lifetime::Revalidated(Duration::from_secs(60));
const PAGE: u32 = 20;
/// The longest subject and the longest message, in characters.
pub(crate) const LONGEST_SUBJECT: usize = 200;
pub(crate) const LONGEST_MESSAGE: usize = 5_000;
/// A tenant has no more tickets that are not closed.
const MOST_OPEN: i64 = 100;
/// So many of a ticket's latest messages are shown.
const MESSAGES: i64 = 200;

/// A page of tickets.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tickets {
    pub(crate) tickets: Vec<Ticket>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    pub(crate) limit: i64,
    pub(crate) offset: i64,
}

/// A ticket.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Ticket {
    pub(crate) id: Uuid,
    pub(crate) tenant_id: Uuid,
    pub(crate) tenant_name: String,
    pub(crate) subject: String,
    /// `open` (an operator is to answer), `answered` or `closed`.
    pub(crate) status: String,
    pub(crate) opened_by_email: Option<String>,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

/// A ticket and what was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct TicketWithMessages {
    #[serde(flatten)]
    pub(crate) ticket: Ticket,
    /// The latest 200, oldest first.
    pub(crate) messages: Vec<TicketMessage>,
}

/// Something that was written.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct TicketMessage {
    /// Whether an operator wrote it, or else the customer.
    pub(crate) by_operator: bool,
    /// Who wrote it; of operators, customers are not told.
    pub(crate) author_email: Option<String>,
    pub(crate) body: String,
    pub(crate) created_at: Time,
}

/// How a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TicketStatusFilter {
    /// An operator is to answer.
    Open,
    /// The customer is to say whether that helped.
    Answered,
    /// Done with.
    Closed,
    /// In any state.
    All,
}

impl TicketStatusFilter {
    fn read(fields: &mut QueryFields, default: Self) -> Self {
        let words =
            [("open", Self::Open), ("answered", Self::Answered), ("closed", Self::Closed), ("all", Self::All)];
        fields.word("status", &words).unwrap_or(default)
    }

    fn wanted(self) -> Option<&'static str> {
        match self {
            Self::Open => Some("open"),
            Self::Answered => Some("answered"),
            Self::Closed => Some("closed"),
            Self::All => None,
        }
    }
}

/// Whose tickets somebody sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    /// All tenants'.
    Operator { tenant: Option<Uuid> },
    /// A tenant's, or of it what one user has opened.
    Tenant { tenant: TenantId, opened_by: Option<String> },
}

impl Scope {
    /// The caller's own account, or the one that an operator names.
    fn of_account(caller: &Caller, tenant: TenantId) -> Self {
        let sees_all = caller.is_internal() || caller.is_tenant_admin();
        Self::Tenant { tenant, opened_by: (!sees_all).then(|| caller.sub.clone()) }
    }

    fn tenant(&self) -> Value {
        match self {
            Self::Operator { tenant } => (*tenant).into(),
            Self::Tenant { tenant, .. } => (*tenant).into(),
        }
    }

    fn opened_by(&self) -> Value {
        match self {
            Self::Operator { .. } | Self::Tenant { opened_by: None, .. } => Value::None,
            Self::Tenant { opened_by: Some(sub), .. } => sub.clone().into(),
        }
    }

    async fn ask<A, B>(
        &self,
        state: &AppState,
        first: Bound<A>,
        second: Bound<B>,
    ) -> Result<(Vec<A>, Vec<B>), ApiError>
    where
        A: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send,
        B: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send,
    {
        match self {
            Self::Operator { .. } => Ok(state.stores.db.ask_as_operator(&(first, second)).await?),
            Self::Tenant { tenant, .. } => state.ask_as_tenant(*tenant, (first, second)).await,
        }
    }
}

/// A page of the tickets of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountTicketsQuery(TicketsQuery);

/// A page of all tickets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TicketsQuery {
    scope: Scope,
    status: TicketStatusFilter,
    page: Page,
}

#[derive(FromRow)]
struct Total {
    total: i64,
}

statement!(
    TOTAL: Total =
        r#"SELECT count(*) AS "total!" FROM tickets
           WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR opened_by = $2)
             AND ($3::text IS NULL OR status = $3)"#,
    None::<Uuid>,
    None::<String>,
    None::<String>,
);

// Those that wait for an operator come first, the longest wait before; then the latest.
statement!(
    PAGE_OF: Ticket =
        r#"SELECT k.id, k.tenant_id, t.name AS tenant_name, k.subject, k.status, k.opened_by_email,
                  k.created_at AS "created_at: Time", k.updated_at AS "updated_at: Time"
           FROM tickets k JOIN tenants t ON t.id = k.tenant_id
           WHERE ($1::uuid IS NULL OR k.tenant_id = $1) AND ($2::text IS NULL OR k.opened_by = $2)
             AND ($3::text IS NULL OR k.status = $3)
           ORDER BY k.status <> 'open', CASE WHEN k.status = 'open' THEN k.updated_at END, k.updated_at DESC, k.id
           LIMIT $4 OFFSET $5"#,
    None::<Uuid>,
    None::<String>,
    None::<String>,
    0,
    0,
);

impl TicketsQuery {
    async fn find(&self, state: &AppState) -> Result<Tickets, ApiError> {
        let filter = [self.scope.tenant(), self.scope.opened_by(), self.status.wanted().into()];
        let [tenant, opened_by, status] = filter.clone();
        let page = PAGE_OF.bind([tenant, opened_by, status, self.page.limit.into(), self.page.offset.into()]);
        let (total, tickets) = self.scope.ask(state, TOTAL.bind(filter), page).await?;
        Ok(Tickets {
            tickets,
            total: total.first().map_or(0, |row| row.total),
            limit: self.page.limit,
            offset: self.page.offset,
        })
    }
}

impl Query for AccountTicketsQuery {
    type Answer = Tickets;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (tenant, fields) = asked.of_tenant()?;
        let status = TicketStatusFilter::read(fields, TicketStatusFilter::All);
        let page = Page::read(fields, PAGE);
        Ok(Self(TicketsQuery { scope: Scope::of_account(asked.caller(), tenant), status, page }))
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tickets
    }

    fn lifetime(_: &Tickets) -> Lifetime {
        ONE_MINUTE
    }

    async fn compute(&self, state: &AppState) -> Result<Tickets, ApiError> {
        self.0.find(state).await
    }
}

impl Query for TicketsQuery {
    type Answer = Tickets;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let fields = asked.by_operator()?;
        Ok(Self {
            scope: Scope::Operator { tenant: fields.uuid("tenant_id") },
            status: TicketStatusFilter::read(fields, TicketStatusFilter::Open),
            page: Page::read(fields, PAGE),
        })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tickets
    }

    fn lifetime(_: &Tickets) -> Lifetime {
        ONE_MINUTE
    }

    async fn compute(&self, state: &AppState) -> Result<Tickets, ApiError> {
        self.find(state).await
    }
}

/// A ticket of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountTicketQuery(TicketQuery);

/// Any ticket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TicketQuery {
    scope: Scope,
    /// Whether operators are named to whoever asks.
    names_operators: bool,
    ticket: Uuid,
}

statement!(
    TICKET: Ticket =
        r#"SELECT k.id, k.tenant_id, t.name AS tenant_name, k.subject, k.status, k.opened_by_email,
                  k.created_at AS "created_at: Time", k.updated_at AS "updated_at: Time"
           FROM tickets k JOIN tenants t ON t.id = k.tenant_id
           WHERE k.id = $1 AND ($2::uuid IS NULL OR k.tenant_id = $2) AND ($3::text IS NULL OR k.opened_by = $3)"#,
    Uuid::nil(),
    None::<Uuid>,
    None::<String>,
);

statement!(
    MESSAGES_OF: TicketMessage =
        r#"SELECT m.by_operator AS "by_operator!", m.author_email, m.body AS "body!", m.created_at AS "created_at!: Time"
           FROM (SELECT * FROM ticket_messages WHERE ticket_id = $1 ORDER BY id DESC LIMIT $2) m ORDER BY m.id"#,
    Uuid::nil(),
    0,
);

impl TicketQuery {
    async fn find(&self, state: &AppState) -> Result<TicketWithMessages, ApiError> {
        let ticket = TICKET.bind([self.ticket.into(), self.scope.tenant(), self.scope.opened_by()]);
        let messages = MESSAGES_OF.bind([self.ticket.into(), MESSAGES.into()]);
        let (mut found, mut messages) = self.scope.ask(state, ticket, messages).await?;
        let ticket = found.pop().ok_or(ApiError::NotFound(None))?;
        if !self.names_operators {
            messages
                .iter_mut()
                .filter(|message| message.by_operator)
                .for_each(|message| message.author_email = None);
        }
        Ok(TicketWithMessages { ticket, messages })
    }
}

impl AccountTicketQuery {
    /// A ticket of that tenant, as far as the caller sees it.
    pub fn of(caller: &Caller, tenant: TenantId, ticket: Uuid) -> Self {
        let (scope, names_operators) = (Scope::of_account(caller, tenant), caller.is_internal());
        Self(TicketQuery { scope, names_operators, ticket })
    }
}

impl TicketQuery {
    /// That one, as operators see it.
    pub fn of(ticket: Uuid) -> Self {
        Self { scope: Scope::Operator { tenant: None }, names_operators: true, ticket }
    }
}

impl Query for AccountTicketQuery {
    type Answer = TicketWithMessages;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let ticket = asked.named("ticket_id")?;
        let (tenant, _) = asked.of_tenant()?;
        Ok(Self::of(asked.caller(), tenant, ticket))
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tickets
    }

    fn lifetime(_: &TicketWithMessages) -> Lifetime {
        ONE_MINUTE
    }

    async fn compute(&self, state: &AppState) -> Result<TicketWithMessages, ApiError> {
        self.0.find(state).await
    }
}

impl Query for TicketQuery {
    type Answer = TicketWithMessages;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let (ticket, _) = asked.by_operator_about("ticket_id")?;
        Ok(Self::of(ticket))
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Tickets
    }

    fn lifetime(_: &TicketWithMessages) -> Lifetime {
        ONE_MINUTE
    }

    async fn compute(&self, state: &AppState) -> Result<TicketWithMessages, ApiError> {
        self.find(state).await
    }
}

/// What is written to a ticket.
#[derive(Debug)]
pub enum TicketWrite {
    /// A customer opens one.
    Open {
        /// What it is about, in a line.
        subject: String,
        /// All of it.
        message: String,
    },
    /// A customer, or an operator, writes on.
    Message {
        /// What is said.
        message: String,
        /// Whether that is the end of it.
        closes: bool,
    },
    /// An operator ends it.
    Close,
}

/// What to open a ticket with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTicket {
    /// What it is about, in a line.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) subject: String,
    /// All of it.
    #[schema(min_length = 1, max_length = 5000)]
    pub(crate) message: String,
}

/// What to write to a ticket.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// What is said.
    #[schema(min_length = 1, max_length = 5000)]
    pub(crate) message: String,
}

/// What to answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAnswer {
    /// What is said; only who closes may say nothing.
    #[schema(min_length = 1, max_length = 5000)]
    pub(crate) message: Option<String>,
    /// Whether that is the end of it; by default not.
    pub(crate) close: Option<bool>,
}

impl TicketWrite {
    /// Reads what opens a ticket.
    pub fn opening(body: Map<String, serde_json::Value>) -> Result<Self, ApiError> {
        let mut fields = Fields::of("", body);
        let subject = fields.required::<String>("subject").map(|subject| subject.trim().to_owned());
        let message = fields.required::<String>("message");
        if subject.as_ref().is_some_and(|subject| !is_a_line(subject)) {
            fields.refuse("subject", Fault::NotALine { max: LONGEST_SUBJECT });
        }
        check_message(&mut fields, message.as_deref());
        let (subject, message) = fields.finish(subject.zip(message)).map_err(ApiError::Validation)?;
        Ok(Self::Open { subject, message })
    }

    /// Reads what a customer writes on.
    pub fn message(body: Map<String, serde_json::Value>) -> Result<Self, ApiError> {
        let mut fields = Fields::of("", body);
        let message = fields.required::<String>("message");
        check_message(&mut fields, message.as_deref());
        let message = fields.finish(message).map_err(ApiError::Validation)?;
        Ok(Self::Message { message, closes: false })
    }

    /// Reads what an operator answers.
    pub fn answer(body: Map<String, serde_json::Value>) -> Result<Self, ApiError> {
        let mut fields = Fields::of("", body);
        let (message, closes) = (fields.optional::<String>("message"), fields.optional("close").unwrap_or(false));
        if message.is_none() && !closes {
            fields.refuse("message", Fault::Required { expected: "what is answered" });
        }
        check_message(&mut fields, message.as_deref());
        let message = fields.finish(Some(message)).map_err(ApiError::Validation)?;
        Ok(message.map_or(Self::Close, |message| Self::Message { message, closes }))
    }

    fn subject(&self) -> Option<&str> {
        match self {
            Self::Open { subject, .. } => Some(subject),
            Self::Message { .. } | Self::Close => None,
        }
    }

    fn said(&self) -> Option<&str> {
        match self {
            Self::Open { message, .. } | Self::Message { message, .. } => Some(message),
            Self::Close => None,
        }
    }

    fn closes(&self) -> bool {
        matches!(self, Self::Close | Self::Message { closes: true, .. })
    }

    /// The event of it: what happened, and what was done.
    fn event(&self, by_operator: bool) -> (&'static str, &'static str) {
        match (self, by_operator) {
            (Self::Open { .. }, _) => ("ticket.opened", "open"),
            _ if self.closes() => ("ticket.closed", "close"),
            (_, true) => ("ticket.answered", "answer"),
            (_, false) => ("ticket.continued", "write"),
        }
    }
}

fn is_a_line(text: &str) -> bool {
    let length = text.chars().count();
    (1..=LONGEST_SUBJECT).contains(&length) && !text.chars().any(char::is_control)
}

fn check_message(fields: &mut Fields, message: Option<&str>) {
    let is_wrong = message.is_some_and(|text| text.trim().is_empty() || text.chars().count() > LONGEST_MESSAGE);
    if is_wrong {
        fields.refuse("message", Fault::NotFilled { max: LONGEST_MESSAGE });
    }
}

/// Who writes, to which ticket, and by which key.
#[derive(Debug)]
pub struct Writing {
    /// The ticket; a new one has an id of its own.
    pub ticket: Uuid,
    by_operator: bool,
    scope: Scope,
    author: String,
    author_email: Option<String>,
    key: Option<String>,
    origin: Origin,
}

impl Writing {
    /// A customer's, of that tenant.
    pub fn by_customer(request: &HttpRequest, caller: &Caller, tenant: TenantId, ticket: Option<Uuid>) -> Self {
        Self::of(request, caller, Scope::of_account(caller, tenant), ticket.unwrap_or_else(Uuid::now_v7))
    }

    /// An operator's.
    pub fn by_operator(request: &HttpRequest, caller: &Caller, ticket: Uuid) -> Self {
        Self::of(request, caller, Scope::Operator { tenant: None }, ticket)
    }

    fn of(request: &HttpRequest, caller: &Caller, scope: Scope, ticket: Uuid) -> Self {
        Self {
            ticket,
            by_operator: matches!(scope, Scope::Operator { .. }),
            scope,
            author: caller.sub.clone(),
            author_email: caller.email.clone(),
            key: None,
            origin: observe::origin(request),
        }
    }

    /// The same with a key: with it, it is written once.
    pub fn with_key(self, key: Option<&str>) -> Result<Self, ApiError> {
        key.map(write::check_key).transpose()?;
        Ok(Self { key: key.map(str::to_owned), ..self })
    }
}

/// A ticket that was written to.
#[derive(Debug)]
pub struct Written {
    /// Which.
    pub ticket: Uuid,
    /// Whether an earlier request with the same key did it.
    pub replayed: bool,
}

impl Written {
    /// The answer to whoever wrote: the ticket as it is now, below that path.
    pub fn respond(&self, path: &str, found: &TicketWithMessages) -> HttpResponse {
        let mut response = HttpResponse::Created();
        response.insert_header((LOCATION, format!("{path}/{}", self.ticket)));
        if self.replayed {
            response.insert_header(("Idempotency-Replayed", "true"));
        }
        response.json(found)
    }
}

impl AppState {
    /// Writes to a ticket, and drops the answers that it makes stale.
    pub async fn write_ticket(
        &self,
        writing: Writing,
        what: TicketWrite,
        caller: &Caller,
    ) -> Result<Written, ApiError> {
        let turn = self.turns.wait(caller.rank()).await?;
        let state = self.clone();
        carry_through(async move {
            let _turn = turn;
            let written = write_ticket(&state, writing, &what).await?;
            state.cache.raise(CacheTag::stale_by(Change { subject: Subject::Ticket, tenant: None }));
            Ok(written)
        })
        .await
    }
}

async fn write_ticket(state: &AppState, writing: Writing, what: &TicketWrite) -> Result<Written, ApiError> {
    let Writing { ticket, by_operator, scope, author, author_email, key, origin } = writing;
    // A new ticket's id is no part of what was asked.
    let of_ticket = what.subject().is_none().then_some(ticket);
    let asked = json!({
        "ticket": of_ticket, "subject": what.subject(), "message": what.said(), "closes": what.closes(),
    });
    // Who sends no key has one for this request: a statement may be sent again over another session.
    let key = key.unwrap_or_else(|| Uuid::now_v7().to_string());
    let key = IdempotencyKey::new(&author, &key, asked.to_string().as_bytes());
    let (event_type, action) = what.event(by_operator);
    let event = Event::of_ticket(event_type, action, ticket, &author, author_email.as_deref(), origin);
    let (tenant, opened_by) = match scope {
        Scope::Operator { .. } => (None, None),
        Scope::Tenant { tenant, opened_by } => (Some(tenant.uuid()), opened_by),
    };
    let write = async |mut session: Session| {
        let written = sqlx::query!(
            r#"SELECT outcome AS "outcome!", ticket_id
               FROM write_ticket($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
            ticket,
            tenant,
            opened_by.as_deref(),
            what.subject(),
            what.said(),
            what.closes(),
            by_operator,
            author,
            author_email.as_deref(),
            key.id(),
            key.fingerprint(),
            Json(&event) as _,
            MOST_OPEN,
        )
        .fetch_one(&mut *session)
        .await;
        session.done(written)
    };
    let row = state.stores.db.statement(write).await?;
    match (row.outcome.as_str(), row.ticket_id) {
        ("written" | "unchanged", Some(ticket)) => Ok(Written { ticket, replayed: false }),
        ("replayed", Some(ticket)) => Ok(Written { ticket, replayed: true }),
        ("reused", _) => Err(ApiError::KeyReused),
        ("full", _) => Err(ApiError::field("subject", Fault::TooManyOpen { max: MOST_OPEN })),
        ("missing", _) => Err(ApiError::NotFound(None)),
        (outcome, _) => Err(ApiError::Failed(format!("a ticket was {outcome}"))),
    }
}
