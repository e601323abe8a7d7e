//! Sending a command: what is to be done and to whom, then what that will touch, then the deed.
//!
//! The form bears its Idempotency-Key from the preview on: a double click, a reload or Back makes one command.

use actix_web::HttpResponse;
use askama::Template;
use painel_shared::{
    command::NewCommand,
    commands::{CommandType, Fault, FieldError, HealthCheck, TenantRule},
    ids::TenantId,
    secrets::random_token,
    work_queue::WorkQueue,
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{
    command_words,
    href::Href,
    posted::Posted,
    sections::Section,
    see_other,
    shell::{self, Shell},
    texts::{KindTexts, Texts},
    visit::Visit,
};
use crate::{
    internal::{
        command_request::{idempotency_key_of, read_command},
        commands::CommandsQuery,
        tenants::TenantsQuery,
    },
    observe,
    problem::ApiError,
    query::QueryFields,
    tenant::{agents::AgentsQuery, integrations::IntegrationsQuery, me::MeQuery},
};

/// How many customers a search offers.
const OFFERED: &str = "20";
/// Beyond so many dead letters the number is to be typed.
const MANY: u64 = 100;

/// What is the form's own, and no part of the command.
const OWN: [&str; 3] = ["idempotency_key", "typed", "counted"];

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

/// The fields of a type.
struct Form {
    tenant: Option<Choice>,
    /// The field that names the target, and what can be chosen.
    target: Option<(&'static str, &'static str, Vec<Choice>)>,
    chosen: String,
    count: Option<String>,
    reason: String,
    needs_reason: bool,
}

#[derive(Template)]
#[template(path = "command_preview.html")]
struct PreviewPage {
    shell: Shell,
    /// What it will do, and cannot undo.
    does: &'static str,
    facts: Vec<(&'static str, String)>,
    /// What is sent again with the deed.
    hidden: Vec<(String, String)>,
    /// How what must be typed is asked for.
    typed: Option<String>,
    is_wrong: bool,
    /// The deed's name.
    deed: String,
    back: String,
}

/// `GET /app/company/operations/new`: the form, as far as it has been filled in.
pub(super) async fn begin(visit: Visit) -> Result<HttpResponse, ApiError> {
    visit.caller.require_internal()?;
    let here = Href::of(&visit.request);
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
    fault.field.strip_prefix("parameters.").unwrap_or(&fault.field)
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

/// What was filled in.
struct Filled {
    values: Vec<(String, String)>,
}

impl Filled {
    fn read(fields: &mut QueryFields) -> Self {
        let names = [
            "command_type",
            "tenant_id",
            "agent_id",
            "integration_id",
            "queue_name",
            "message_count",
            "reason",
            "idempotency_key",
            "typed",
            "counted",
        ];
        let values = names.into_iter().filter_map(|name| Some((name.to_owned(), fields.take(name)?)));
        Self { values: values.collect() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same as a body of the endpoint.
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        let mut parameters = Map::new();
        for (name, value) in &self.values {
            match name.as_str() {
                "command_type" | "tenant_id" | "reason" => drop(body.insert(name.clone(), json!(value))),
                name if OWN.contains(&name) => {}
                // What is no number is refused there, and named.
                "message_count" => {
                    let count = value.parse::<u32>().map_or_else(|_| json!(value), |count| json!(count));
                    parameters.insert(name.clone(), count);
                }
                _ => drop(parameters.insert(name.clone(), json!(value))),
            }
        }
        body.insert("parameters".to_owned(), Value::Object(parameters));
        body
    }

    /// The form again, filled in so.
    fn form(&self) -> Href {
        let form = Href::to(format!("{}/new", Section::Operations.path()));
        let kept = self.values.iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
        kept.fold(form, |form, (name, value)| form.with(name, value))
    }
}

/// `POST /app/company/operations/preview`: what the command will touch. Nothing is stored.
pub(super) async fn preview(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, mut fields, place: _place } = posted;
    visit.caller.require_internal()?;
    let filled = Filled::read(&mut fields);
    fields.finish()?;
    let key = random_token()?.expose_secret().to_owned();
    looked_at(&visit, &filled, &key, false).await
}

/// `POST /app/company/operations`: the deed, and then the command's page.
pub(super) async fn send(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, mut fields, place: _place } = posted;
    visit.caller.require_internal()?;
    let filled = Filled::read(&mut fields);
    fields.finish()?;
    let key = filled.get("idempotency_key").unwrap_or_default().to_owned();
    let new = match demanded(&visit, &filled) {
        Ok(new) => new,
        Err(ApiError::Validation(faults)) => return again(&visit, &filled, &faults).await,
        Err(error) => return Err(error),
    };
    if let Some(wanted) = to_be_typed(&visit, &filled).await?
        && !wanted.is_met_by(&filled)
    {
        return looked_at(&visit, &filled, &key, true).await;
    }
    let key = idempotency_key_of(&key, &visit.caller, &new)?;
    match visit.state.accept(new, Some(key), observe::origin(&visit.request)).await {
        Ok(done) => {
            let page = Href::to(format!("{}/{}", Section::Operations.path(), done.command.id()));
            Ok(see_other(&page.with("sent", "1").to_string()))
        }
        Err(ApiError::NotFound(Some(fault))) => again(&visit, &filled, &[fault]).await,
        Err(error) => Err(error),
    }
}

/// The form again, with what is wrong.
async fn again(visit: &Visit, filled: &Filled, faults: &[FieldError]) -> Result<HttpResponse, ApiError> {
    let page = new_page(visit, &filled.form(), faults).await?;
    shell::render(actix_web::http::StatusCode::BAD_REQUEST, &page)
}

/// The command as it was filled in. What changes something is asked with a reason.
fn demanded(visit: &Visit, filled: &Filled) -> Result<NewCommand, ApiError> {
    let new = read_command(&visit.request, filled.body(), &visit.caller)?;
    let has_reason = new.reason.as_deref().is_some_and(|reason| !reason.trim().is_empty());
    if new.command_type != CommandType::of::<HealthCheck>() && !has_reason {
        return Err(ApiError::field("reason", Fault::Required { expected: "" }));
    }
    Ok(new)
}

async fn looked_at(visit: &Visit, filled: &Filled, key: &str, is_wrong: bool) -> Result<HttpResponse, ApiError> {
    let t = visit.t();
    let new = match demanded(visit, filled) {
        Ok(new) => new,
        Err(ApiError::Validation(faults)) => return again(visit, filled, &faults).await,
        Err(error) => return Err(error),
    };
    let words = t.commands.iter().find(|words| words.command_type == new.command_type.name());
    let target = target_name(visit, filled).await?;
    // One of another customer's, or none at all, has no name here.
    let named = ["agent_id", "integration_id"].into_iter().find(|name| filled.get(name).is_some());
    if let (Some(name), None) = (named, &target) {
        let what = if name == "agent_id" { "agent" } else { "integration" };
        return again(visit, filled, &[FieldError::new(name, Fault::NotFound { what })]).await;
    }
    let mut facts = vec![(t.operations.command, command_words::name(t, new.command_type.name()))];
    if let Some(tenant) = filled.get("tenant_id") {
        facts.push((t.operations.tenant, tenant_name(visit, tenant).await?));
    }
    facts.extend(target.clone().map(|target| (t.send.target, target)));
    facts.extend(
        dead_letters(visit, filled).await?.map(|dead| (t.send.dead_now, visit.format().count(dead.cast_signed()))),
    );
    if let Some(tenant) = new.tenant_id {
        let open = open_commands(visit, tenant).await?;
        facts.push((t.send.open, visit.format().count(open)));
    }
    facts.extend(new.reason.clone().map(|reason| (t.command.reason, reason)));
    let mut hidden: Vec<(String, String)> =
        filled.values.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).cloned().collect();
    hidden.push(("idempotency_key".to_owned(), key.to_owned()));
    let typed = to_be_typed(visit, filled).await?;
    if let Some(ToBeTyped { what: Typed::Number(number), .. }) = &typed {
        hidden.push(("counted".to_owned(), number.to_string()));
    }
    let page = PreviewPage {
        shell: Shell::of(visit, Section::Operations).titled(t.send.preview_title).with_errors(is_wrong),
        does: words.map_or("", |words| words.does),
        facts,
        hidden,
        typed: typed.map(|typed| typed.label),
        is_wrong,
        deed: deed(t, new.command_type.name(), target.as_deref()),
        back: filled.form().to_string(),
    };
    let status = if is_wrong { actix_web::http::StatusCode::BAD_REQUEST } else { actix_web::http::StatusCode::OK };
    shell::render(status, &page)
}

/// The deed by its name, and whom it touches.
fn deed(t: &'static Texts, command_type: &str, target: Option<&str>) -> String {
    let name = command_words::name(t, command_type);
    target.map_or_else(|| name.clone(), |target| (t.send.deed)(&name, target))
}

async fn target_name(visit: &Visit, filled: &Filled) -> Result<Option<String>, ApiError> {
    let tenant = filled.get("tenant_id");
    let (choices, chosen) = match (filled.get("agent_id"), filled.get("integration_id")) {
        (Some(agent), _) => (agents(visit, tenant).await?, agent),
        (None, Some(integration)) => (integrations(visit, tenant).await?, integration),
        (None, None) => return Ok(filled.get("queue_name").map(str::to_owned)),
    };
    Ok(choices.into_iter().find(|(id, _)| id == chosen).map(|(_, name)| name))
}

/// What must be typed before the deed, and how it is asked for.
struct ToBeTyped {
    what: Typed,
    label: String,
}

enum Typed {
    Name(String),
    Number(u64),
}

impl ToBeTyped {
    fn is_met_by(&self, filled: &Filled) -> bool {
        let typed = filled.get("typed").map(str::trim);
        match &self.what {
            Typed::Name(name) => typed == Some(name),
            // Fewer than were shown may be left: some have moved meanwhile, or this very form was sent before.
            Typed::Number(now) => {
                let shown = filled.get("counted");
                typed == shown
                    && shown.and_then(|shown| shown.parse::<u64>().ok()).is_some_and(|shown| shown >= *now)
            }
        }
    }
}

/// The customer's name where a token is renewed, the number where many messages move.
async fn to_be_typed(visit: &Visit, filled: &Filled) -> Result<Option<ToBeTyped>, ApiError> {
    let t = visit.t();
    match (filled.get("command_type"), filled.get("tenant_id")) {
        (Some("RESET_TOKEN"), Some(tenant)) => {
            let name = tenant_name(visit, tenant).await?;
            Ok(Some(ToBeTyped { label: (t.send.type_name)(&name), what: Typed::Name(name) }))
        }
        (Some("REPROCESS_QUEUE"), _) => {
            let asked = filled.get("message_count").and_then(|count| count.parse::<u64>().ok()).unwrap_or(1_000);
            let dead = dead_letters(visit, filled).await?.unwrap_or(0).min(asked);
            let label = (t.send.type_number)(&dead.to_string());
            Ok((dead > MANY).then_some(ToBeTyped { what: Typed::Number(dead), label }))
        }
        _ => Ok(None),
    }
}

async fn dead_letters(visit: &Visit, filled: &Filled) -> Result<Option<u64>, ApiError> {
    let Some(queue) = filled.get("queue_name").and_then(WorkQueue::named) else { return Ok(None) };
    let depth = visit.state.stores.queue.depth(queue).await;
    depth.map(|depth| Some(depth.dead)).map_err(|error| ApiError::Unavailable(error.to_string()))
}

async fn open_commands(visit: &Visit, tenant: TenantId) -> Result<i64, ApiError> {
    let tenant = tenant.to_string();
    let of = |status| QueryFields::of_pairs([("tenant_id", tenant.as_str()), ("status", status), ("limit", "1")]);
    let (pending, running) =
        tokio::join!(visit.ask::<CommandsQuery>(of("PENDING")), visit.ask::<CommandsQuery>(of("RUNNING")));
    Ok((pending?.value.total + running?.value.total).cast_signed())
}
