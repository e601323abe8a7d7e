//! `/app/company/operations/{command_id}`: one command, what came of it, and how.

use actix_web::HttpResponse;
use askama::Template;
use painel_shared::{command::AttemptOutcome, time::to_text};

use super::{
    command_words::{self, chip_of, facts},
    href::Href,
    operations::Live,
    part::part,
    sections::Section,
    shell::{self, Shell},
    table::{Chip, Stamp},
    visit::Visit,
};
use crate::{
    internal::{
        commands::{AttemptView, CommandQuery, CommandView, Shown},
        events::EventView,
    },
    problem::ApiError,
    query::QueryFields,
};

/// How often one that has ended is looked at again, in milliseconds: it may be reprocessed.
const ENDED: u32 = 10_000;

#[derive(Template)]
#[template(path = "command.html", blocks = ["live"])]
struct CommandPage {
    shell: Shell,
    live: Live,
    chip: Chip,
    /// What a screen reader is told once it has ended.
    announcement: Option<String>,
    facts: Vec<(&'static str, String)>,
    timeline: Vec<Moment>,
    /// Whether PostgreSQL did not answer.
    lacks_events: bool,
    result: Vec<(String, String)>,
    error: Option<(String, String)>,
    parameters: Vec<(String, String)>,
    json: String,
    id: String,
}

/// A moment of its life.
struct Moment {
    at: Stamp,
    what: String,
    detail: Option<String>,
}

/// The page, or its live part.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let t = visit.t();
    let found = visit.ask::<CommandQuery>(QueryFields::of_pairs([])).await;
    let shown = match part(t, found)? {
        Ok(shown) => shown,
        Err(_) => return Err(ApiError::Unavailable("the command store did not answer".to_owned())),
    };
    let Shown { command, attempts, events } = &shown.value;
    let name = command_words::name(t, command.command_type.name());
    let chip = chip_of(t, command);
    let is_final = command.status.is_final();
    let notice = Href::of(&visit.request).has("sent").then(|| t.command.sent.to_owned());
    let page = CommandPage {
        shell: Shell { notice, ..Shell::of(&visit, Section::Operations).titled(name.clone()) },
        live: Live::of(&visit, &Href::to(visit.request.path()), !is_final, ENDED),
        announcement: is_final.then(|| format!("{name}: {}", chip.word)),
        chip,
        facts: head(&visit, command),
        timeline: timeline(&visit, attempts, events.as_deref().unwrap_or_default()),
        lacks_events: events.is_none(),
        result: command.result.as_ref().map(facts).unwrap_or_default(),
        error: command.error.as_ref().map(|error| (error.code.clone(), error.message.clone())),
        parameters: facts(&command.parameters),
        json: command
            .result
            .as_ref()
            .and_then(|result| serde_json::to_string_pretty(result).ok())
            .unwrap_or_default(),
        id: command.command_id.to_string(),
    };
    if visit.is_fragment { shell::fragment(&visit.request, &page.as_live()) } else { shell::page(&page) }
}

fn head(visit: &Visit, command: &CommandView) -> Vec<(&'static str, String)> {
    let (t, format) = (visit.t(), visit.format());
    let words = &t.operations;
    let mut facts = vec![(words.created_at, format.exact_time(command.created_at.instant()))];
    let by = command.created_by_email.as_deref().unwrap_or(&command.created_by);
    facts.push((words.created_by, by.to_owned()));
    if let Some(tenant) = command.tenant_id {
        facts.push((words.tenant, command.tenant_name.clone().unwrap_or_else(|| tenant.to_string())));
    }
    facts.extend(command.reason.clone().map(|reason| (t.command.reason, reason)));
    let attempts = (t.command.attempt_of)(command.attempt, command.max_attempts);
    facts.push((t.command.attempts, attempts));
    facts.extend(command.started_at.map(|at| (t.command.started_at, format.exact_time(at.instant()))));
    facts.extend(command.completed_at.map(|at| (t.command.completed_at, format.exact_time(at.instant()))));
    facts.extend(command.duration_ms.map(|millis| (words.duration, format.duration_of(millis))));
    facts.extend(command.next_attempt_at.map(|at| (t.command.next_attempt_at, format.exact_time(at.instant()))));
    facts.push((t.command.trace_id, command.trace_id.clone()));
    facts
}

/// What the audit log says of it and the attempts, as they followed each other.
fn timeline(visit: &Visit, attempts: &[AttemptView], events: &[EventView]) -> Vec<Moment> {
    let events = events.iter().map(|event| (event.created_at.instant(), recorded(visit, event)));
    let attempts = attempts.iter().map(|attempt| (attempt.started_at.instant(), tried(visit, attempt)));
    let mut moments: Vec<_> = events.chain(attempts).collect();
    moments.sort_by_key(|(at, _)| *at);
    let stamp = |at| Stamp { iso: to_text(at), text: visit.format().exact_time(at) };
    moments.into_iter().map(|(at, (what, detail))| Moment { at: stamp(at), what, detail }).collect()
}

/// An attempt, and more about it.
fn tried(visit: &Visit, attempt: &AttemptView) -> (String, Option<String>) {
    let (words, format) = (&visit.t().command, visit.format());
    let outcome = match attempt.outcome {
        None => words.running,
        Some(AttemptOutcome::Success) => words.attempt_succeeded,
        Some(AttemptOutcome::Error) => words.attempt_failed,
        Some(AttemptOutcome::Retry) => words.attempt_retried,
        Some(AttemptOutcome::Released) => words.attempt_released,
        Some(AttemptOutcome::LeaseLost) => words.attempt_lost,
    };
    let took = attempt.duration_ms.map(|millis| format.duration_of(millis));
    let why = attempt.error.as_ref().map(|error| format!("{}: {}", error.code, error.message));
    let detail: Vec<String> = took.into_iter().chain(why).collect();
    (format!("{}: {outcome}", words.attempts), (!detail.is_empty()).then(|| detail.join(" · ")))
}

/// An event of the audit log, and more about it.
fn recorded(visit: &Visit, event: &EventView) -> (String, Option<String>) {
    let words = &visit.t().command;
    let what = match event.event_type.as_str() {
        "command.requested" => words.requested,
        "command.succeeded" => words.succeeded,
        "command.failed" => words.failed,
        "command.reprocessed" => words.reprocessed,
        other => other,
    };
    (what.to_owned(), event.details.get("message").and_then(serde_json::Value::as_str).map(str::to_owned))
}
