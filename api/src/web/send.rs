//! Sending a command: what is to be done and to whom, then what that will touch, then the deed.
//!
//! The form bears its Idempotency-Key from the preview on: a double click, a reload or Back makes one command.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use painel_shared::{
    command::NewCommand,
    commands::{CommandType, FieldError, TenantRule},
    secrets::random_token,
    work_queue::WorkQueue,
};
use secrecy::ExposeSecret;

use super::{
    command_words::{self, status_chip},
    confirm::Confirmation,
    dead,
    filled::{CHOSEN, Filled, PICKED},
    href::Href,
    posted::Posted,
    sections::Section,
    see_other,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::KindTexts,
    visit::Visit,
    words,
};
use crate::{
    internal::{
        command_request::idempotency_key_of,
        preview::{self, Preview, ShortCommand},
        tenants::TenantsQuery,
    },
    observe,
    problem::ApiError,
    query::QueryFields,
    tenant::{agents::AgentsQuery, integrations::IntegrationsQuery, me::MeQuery},
};

/// How many customers a search offers.
const OFFERED: &str = "20";
/// A choice: what is sent, and what it is called.
type Choice = (String, String);

#[derive(Template)]
#[template(path = "command_new.html")]
struct NewPage {
    shell: Shell,
    /// Null until a type is chosen.
    chosen: Option<&'static KindTexts>,
    types: &'static [KindTexts],
    /// Whether a customer must be chosen first, from these.
    tenants: Option<Vec<Choice>>,
    search: String,
    form: Option<Form>,
    errors: Vec<(String, String)>,
}

impl NewPage {
    /// Whether something is wrong with that field.
    fn is_wrong(&self, name: &str) -> bool {
        self.errors.iter().any(|(field, _)| field == name)
    }
}

/// The fields of a type.
struct Form {
    tenant: Option<Choice>,
    /// The field that names the target, and what can be chosen.
    target: Option<(&'static str, &'static str, Vec<Choice>)>,
    chosen: String,
    count: Option<String>,
    /// The commands that are ticked.
    picked: Vec<String>,
    reason: String,
    needs_reason: bool,
}

#[derive(Template)]
#[template(path = "command_preview.html")]
struct PreviewPage {
    shell: Shell,
    /// What it will do, and what of that nobody can undo.
    does: &'static str,
    irreversible: Option<&'static str>,
    facts: Vec<(&'static str, String)>,
    /// What touches the same and has not ended.
    open: Option<Table>,
    /// Those that died last, of those that would move.
    dead: Option<Table>,
    /// What is sent again with the deed.
    hidden: Vec<(String, String)>,
    /// How what must be typed is asked for.
    typed: Option<String>,
    is_wrong: bool,
    /// The deed's name; none where there is nothing to do.
    deed: Option<String>,
    /// Who else sees it.
    seen_by: Option<&'static str>,
    back: String,
}

/// `GET` of what only a form leads to: the form.
pub(super) async fn begin_anew(visit: Visit) -> Result<HttpResponse, ApiError> {
    visit.caller.require_internal()?;
    Ok(see_other(&format!("{}/new", Section::Operations.path())))
}

/// `GET /app/company/operations/new`: the form, as far as it has been filled in.
pub(super) async fn begin(visit: Visit) -> Result<HttpResponse, ApiError> {
    visit.caller.require_internal()?;
    let here = Href::of(&visit.request);
    // Who chooses one by one and chooses none does not mean all.
    if here.has(CHOSEN) && !here.names().any(|name| name.starts_with(PICKED)) {
        return Ok(see_other(&dead::none_chosen(here.get("queue_name").unwrap_or_default())));
    }
    let here = here.without(CHOSEN);
    shell::page(&new_page(&visit, &here, &[]).await?)
}

async fn new_page(visit: &Visit, here: &Href, faults: &[FieldError]) -> Result<NewPage, ApiError> {
    let t = visit.t();
    let kind = here.get("command_type").and_then(CommandType::named);
    let chosen = kind.and_then(|kind| t.commands.iter().find(|words| words.command_type == kind.name()));
    let errors = faults.iter().map(|fault| (field_name(fault).to_owned(), t.faults.of(fault)));
    let mut page = NewPage {
        shell: Shell::of(visit, Section::Operations).titled(t.send.title).with_errors(!faults.is_empty()),
        chosen,
        types: &t.commands,
        tenants: None,
        search: here.get("search").unwrap_or_default().to_owned(),
        form: None,
        errors: errors.collect(),
    };
    let Some(kind) = kind else { return Ok(page) };
    let tenant = here.get("tenant_id").filter(|_| kind.tenant_rule() != TenantRule::Absent);
    match (kind.tenant_rule(), tenant) {
        (TenantRule::Required, None) => page.tenants = Some(offered(visit, &page.search).await?),
        (_, tenant) => page.form = Some(form(visit, here, kind, tenant).await?),
    }
    Ok(page)
}

/// The field's name as the form has it.
fn field_name(fault: &FieldError) -> &str {
    match fault.field.strip_prefix("parameters.").unwrap_or(&fault.field) {
        "command_ids" => "picked",
        "tenant_id" => "search",
        name => name,
    }
}

async fn offered(visit: &Visit, search: &str) -> Result<Vec<Choice>, ApiError> {
    let search = Some(("search", search)).filter(|(_, search)| !search.is_empty());
    let fields = QueryFields::of_pairs([("status", "all"), ("limit", OFFERED)].into_iter().chain(search));
    let found = visit.ask::<TenantsQuery>(fields).await?;
    Ok(found.value.tenants.iter().map(|tenant| (tenant.id.to_string(), tenant.name.clone())).collect())
}

async fn form(visit: &Visit, here: &Href, kind: CommandType, tenant: Option<&str>) -> Result<Form, ApiError> {
    let t = visit.t();
    let tenant = match tenant {
        Some(tenant) => Some((tenant.to_owned(), tenant_name(visit, tenant).await?)),
        None => None,
    };
    let id = tenant.as_ref().map(|(id, _)| id.as_str());
    let (field, label, choices) = match kind.name() {
        "RESTART_AGENT" => ("agent_id", t.agents.agent, agents(visit, id).await?),
        "RESET_TOKEN" => ("integration_id", t.integrations.integration, integrations(visit, id).await?),
        "REPROCESS_QUEUE" => {
            let queues = WorkQueue::all().map(|queue| (queue.name().to_owned(), queue.name().to_owned()));
            ("queue_name", t.send.queue, queues.collect())
        }
        _ => ("", "", Vec::new()),
    };
    let target = (!field.is_empty()).then_some((field, label, choices));
    Ok(Form {
        chosen: here.get(field).unwrap_or_default().to_owned(),
        target,
        tenant,
        picked: here.names().filter(|name| name.starts_with(PICKED)).map(str::to_owned).collect(),
        count: (kind.name() == "REPROCESS_QUEUE").then(|| here.get("message_count").unwrap_or("1000").to_owned()),
        reason: here.get("reason").unwrap_or_default().to_owned(),
        needs_reason: kind.name() != "HEALTH_CHECK",
    })
}

async fn tenant_name(visit: &Visit, tenant: &str) -> Result<String, ApiError> {
    let found = visit.ask::<MeQuery>(QueryFields::of_pairs([("tenant_id", tenant)])).await?;
    Ok(found.value.name.clone())
}

async fn agents(visit: &Visit, tenant: Option<&str>) -> Result<Vec<Choice>, ApiError> {
    let tenant = tenant.map(|tenant| ("tenant_id", tenant));
    let found = visit.ask::<AgentsQuery>(QueryFields::of_pairs(tenant)).await?;
    Ok(found.value.agents.iter().map(|agent| (agent.id.to_string(), agent.name.clone())).collect())
}

async fn integrations(visit: &Visit, tenant: Option<&str>) -> Result<Vec<Choice>, ApiError> {
    let tenant = tenant.map(|tenant| ("tenant_id", tenant));
    let found = visit.ask::<IntegrationsQuery>(QueryFields::of_pairs(tenant)).await?;
    Ok(found.value.integrations.iter().map(|one| (one.id.to_string(), one.name.clone())).collect())
}

/// `POST /app/company/operations/preview`: what the command will touch. Nothing is stored.
pub(super) async fn preview(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, mut fields, place: _place } = posted;
    visit.caller.require_internal()?;
    let filled = Filled::read(&mut fields);
    fields.finish()?;
    let key = random_token()?.expose_secret().to_owned();
    look(&visit, &filled, key).await
}

/// `POST /app/company/operations`: the deed, and then the command's page.
pub(super) async fn send(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, mut fields, place: _place } = posted;
    visit.caller.require_internal()?;
    let filled = Filled::read(&mut fields);
    fields.finish()?;
    let key = filled.get("idempotency_key").unwrap_or_default().to_owned();
    let (new, preview) = match demanded(&visit, &filled).await {
        Ok(demanded) => demanded,
        Err(error) => return again(&visit, &filled, error).await,
    };
    let confirmation = Confirmation::of(visit.t(), &preview);
    if confirmation.as_ref().is_some_and(|wanted| !wanted.is_met_by(&filled)) {
        let page = preview_page(&visit, &filled, &new, &preview, key, true);
        return shell::render(StatusCode::BAD_REQUEST, &page);
    }
    let key = idempotency_key_of(&key, &visit.caller, &new)?;
    match visit.state.accept(new, Some(key), observe::origin(&visit.request)).await {
        Ok(done) => {
            let page = Href::to(format!("{}/{}", Section::Operations.path(), done.command.id()));
            Ok(see_other(&page.with("sent", "1").to_string()))
        }
        Err(error) => again(&visit, &filled, error).await,
    }
}

/// The form again, with what is wrong; other errors stay what they are.
async fn again(visit: &Visit, filled: &Filled, error: ApiError) -> Result<HttpResponse, ApiError> {
    let faults = match error {
        ApiError::Validation(faults) => faults,
        ApiError::NotFound(Some(fault)) => vec![fault],
        ApiError::KeyReused => {
            let mut page = new_page(visit, &filled.form(), &[]).await?;
            page.errors.push(("reason".to_owned(), visit.t().send.sent_already.to_owned()));
            let page = NewPage { shell: page.shell.with_errors(true), ..page };
            return shell::render(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
        error => return Err(error),
    };
    // Where it is the customer that is not there, another one is to be chosen.
    let form = if faults.iter().any(|fault| fault.field == "tenant_id") {
        filled.form().without("tenant_id")
    } else {
        filled.form()
    };
    let page = new_page(visit, &form, &faults).await?;
    shell::render(StatusCode::BAD_REQUEST, &page)
}

/// The command as it was filled in, and what it would touch.
async fn demanded(visit: &Visit, filled: &Filled) -> Result<(NewCommand, Preview), ApiError> {
    let new = filled.command(visit)?;
    let _turn = visit.state.turns.wait(visit.caller.rank()).await?;
    let preview = preview::look(&visit.state, &new).await?;
    Ok((new, preview))
}

async fn look(visit: &Visit, filled: &Filled, key: String) -> Result<HttpResponse, ApiError> {
    match demanded(visit, filled).await {
        Ok((new, preview)) => shell::page(&preview_page(visit, filled, &new, &preview, key, false)),
        Err(error) => again(visit, filled, error).await,
    }
}

fn preview_page(
    visit: &Visit,
    filled: &Filled,
    new: &NewCommand,
    preview: &Preview,
    key: String,
    is_wrong: bool,
) -> PreviewPage {
    let t = visit.t();
    let words = t.commands.iter().find(|words| words.command_type == new.command_type.name());
    let confirmation = Confirmation::of(t, preview);
    let counted = confirmation.as_ref().and_then(Confirmation::number);
    let counted = counted.map(|number| ("counted".to_owned(), number.to_string()));
    let own = std::iter::once(("idempotency_key".to_owned(), key)).chain(counted);
    PreviewPage {
        shell: Shell::of(visit, Section::Operations).titled(t.send.preview_title).with_errors(is_wrong),
        does: words.map_or("", |words| words.does),
        irreversible: words.map(|words| words.irreversible).filter(|_| preview.irreversible.is_some()),
        facts: facts(visit, new, preview),
        open: commands(visit, t.send.open, &preview.open_commands),
        dead: preview.dead_letters.as_ref().and_then(|dead| commands(visit, t.send.dead_commands, &dead.commands)),
        hidden: filled.kept().chain(own).collect(),
        typed: confirmation.map(|confirmation| confirmation.label),
        is_wrong,
        deed: preview.dead_letters.as_ref().is_none_or(|dead| dead.would_move > 0).then(|| deed(visit, preview)),
        seen_by: preview.tenant_id.map(|_| t.send.customer_sees),
        back: filled.form().to_string(),
    }
}

/// What the command would touch, as it is now.
fn facts(visit: &Visit, new: &NewCommand, preview: &Preview) -> Vec<(&'static str, String)> {
    let (t, format) = (visit.t(), visit.format());
    let count = |number: u64| format.count(i64::try_from(number).unwrap_or(i64::MAX));
    let mut facts = vec![(t.operations.command, command_words::name(t, new.command_type.name()))];
    facts.extend(preview.tenant_name.clone().map(|name| (t.operations.tenant, name)));
    if let Some(target) = &preview.target {
        facts.push((t.send.target, target.name.clone()));
        facts.push((t.states.state, words::state(t, &target.status).shown(format)));
        facts.extend(target.last_used_at.map(|at| (t.send.last_used, visit.stamp(at).text)));
        facts.extend(target.requests_last_hour.map(|number| (t.send.last_hour, format.count(number))));
        facts.extend(target.requests_last_day.map(|number| (t.send.last_day, format.count(number))));
    }
    if let Some(dead) = &preview.dead_letters {
        facts.push((t.send.queue, dead.queue_name.to_owned()));
        facts.push((t.send.dead_now, count(dead.dead_letters)));
        facts.extend(dead.oldest_dead_letter_at.map(|at| (t.queues.oldest, visit.stamp(at).text)));
        facts.push((t.send.would_move, count(dead.would_move)));
        facts.push((t.send.would_stay, count(dead.dead_letters.saturating_sub(dead.would_move))));
        if dead.would_be_skipped > 0 {
            facts.push((t.send.would_be_skipped, count(dead.would_be_skipped)));
        }
    }
    if preview.open_commands.is_empty() {
        facts.push((t.send.open, count(0)));
    }
    facts.extend(new.reason.clone().map(|reason| (t.command.reason, reason)));
    facts
}

/// Commands in a few words; none where there are none.
fn commands(visit: &Visit, caption: &'static str, found: &[ShortCommand]) -> Option<Table> {
    let t = visit.t();
    let row = |command: &ShortCommand| Row {
        key: command.command_id.to_string(),
        cells: vec![
            Cell::Link {
                text: visit.stamp(command.created_at).text,
                href: format!("{}/{}", Section::Operations.path(), command.command_id),
            },
            Cell::Chip(status_chip(t, command.status)),
            Cell::or_dash(command.created_by_email.as_deref()),
            Cell::or_dash(command.error_message.as_deref()),
        ],
    };
    let table = || Table {
        caption: caption.to_owned(),
        columns: vec![
            Column::text(t.operations.created_at),
            Column::text(t.operations.status),
            Column::text(t.operations.created_by).wide(),
            Column::text(t.command.error).wide(),
        ],
        rows: found.iter().map(row).collect(),
        pages: Pages::default(),
        empty: Empty { text: String::new(), link: None },
    };
    (!found.is_empty()).then(table)
}

/// The deed by its name, and whom it touches, or how many.
fn deed(visit: &Visit, preview: &Preview) -> String {
    let t = visit.t();
    let name = command_words::name(t, preview.command_type.name());
    let target = preview.target.as_ref().map(|target| target.name.clone());
    match (target, &preview.dead_letters) {
        (Some(target), _) => (t.send.deed)(&name, &target),
        (None, Some(dead)) => {
            (t.send.deed_of_many)(i64::try_from(dead.would_move).unwrap_or(i64::MAX), visit.format())
        }
        (None, None) => name,
    }
}
