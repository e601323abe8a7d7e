//! `/app/company/operations/dead?queue_name=`: the dead jobs of a queue, to be chosen and reprocessed.

use actix_web::HttpResponse;
use askama::Template;
use painel_shared::{
    commands::{CommandType, Fault},
    work_queue::WorkQueue,
};

use super::{
    aggregations,
    filled::PICKED,
    href::Href,
    part::{Failure, part},
    sections::Section,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    visit::Visit,
};
use crate::{
    internal::{
        aggregations::RunsQuery,
        commands::{CommandView, CommandsQuery, List},
    },
    problem::ApiError,
    query::QueryFields,
};

/// By this parameter the page says that nothing was chosen.
const NOTHING: &str = "nothing";
/// As many as one command may name.
const PAGE: &str = "100";

#[derive(Template)]
#[template(path = "dead.html")]
struct DeadPage {
    shell: Shell,
    queue: &'static str,
    /// Where all of them are reprocessed.
    all: String,
    errors: Vec<(String, String)>,
    commands: Result<Table, Failure>,
    /// Whether they can be chosen one by one.
    is_chosen: bool,
}

/// Where somebody is led who has chosen nothing.
pub(super) fn none_chosen(queue: &str) -> String {
    Href::to(format!("{}/dead", Section::Operations.path()))
        .with("queue_name", queue)
        .with(NOTHING, "1")
        .to_string()
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    visit.caller.require_internal()?;
    let (t, here) = (visit.t(), Href::of(&visit.request));
    let mut fields = visit.fields();
    let names = || Fault::not_one_of(WorkQueue::all().map(WorkQueue::name));
    let queue = fields.optional("queue_name", names, WorkQueue::named);
    let cursor = fields.take("cursor");
    let nothing = fields.take(NOTHING).map(|_| ("chosen".to_owned(), t.dead.none_chosen.to_owned()));
    fields.finish()?;
    let queue = queue.ok_or_else(|| ApiError::field("queue_name", Fault::Required { expected: "a queue" }))?;
    let all = Href::to(format!("{}/new", Section::Operations.path())).with("command_type", "REPROCESS_QUEUE");
    let of_queue = CommandType::all().find(|kind| kind.queue() == queue);
    let commands = match of_queue {
        Some(kind) => {
            let asked = [("dead_letter", "true"), ("command_type", kind.name()), ("limit", PAGE)];
            let cursor = cursor.as_deref().map(|cursor| ("cursor", cursor));
            let fields = QueryFields::of_pairs(asked.into_iter().chain(cursor));
            let found = visit.ask::<CommandsQuery>(fields).await;
            part(t, found)?.map(|found| table(&visit, &here, &found.value))
        }
        // Rollup runs are no commands: they are shown, and given back all at once.
        None => {
            let asked = [("state", "failed"), ("limit", PAGE)];
            let cursor = cursor.as_deref().map(|cursor| ("cursor", cursor));
            let found = visit.ask::<RunsQuery>(QueryFields::of_pairs(asked.into_iter().chain(cursor))).await;
            part(t, found)?.map(|found| Table {
                empty: Empty { text: t.dead.of_runs.to_owned(), link: None },
                ..aggregations::table(&visit, &here, &found.value)
            })
        }
    };
    let page = DeadPage {
        shell: Shell::of(&visit, Section::Operations)
            .titled(format!("{}: {}", t.dead.title, queue.name()))
            .with_errors(nothing.is_some()),
        errors: nothing.into_iter().collect(),
        is_chosen: of_queue.is_some(),
        queue: queue.name(),
        all: all.with("queue_name", queue.name()).to_string(),
        commands,
    };
    shell::page_with(&page, page.commands.as_ref().err())
}

fn table(visit: &Visit, here: &Href, list: &List) -> Table {
    let t = visit.t();
    let total = visit.format().count(i64::try_from(list.total).unwrap_or(i64::MAX));
    let total = if list.total_is_capped { (t.table.more_than)(&total) } else { total };
    Table {
        caption: (t.table.of_total)(list.commands.len(), &total),
        columns: vec![
            Column::text(t.operations.created_at),
            Column::text(t.dead.choose),
            Column::text(t.operations.tenant).wide(),
            Column::text(t.dead.died_at).wide(),
            Column::text(t.command.error).wide(),
        ],
        rows: list.commands.iter().map(|command| row(visit, command)).collect(),
        pages: Pages::by_cursor(here, list.next_cursor.as_deref()),
        empty: Empty { text: t.dead.none.to_owned(), link: None },
    }
}

fn row(visit: &Visit, command: &CommandView) -> Row {
    let created = visit.stamp(command.created_at).text;
    let name = command.tenant_name.clone().or_else(|| command.tenant_id.map(|id| id.to_string()));
    let label = name.as_ref().map_or_else(|| created.clone(), |name| format!("{created}, {name}"));
    Row {
        key: command.command_id.to_string(),
        cells: vec![
            Cell::Link { text: created, href: format!("{}/{}", Section::Operations.path(), command.command_id) },
            Cell::Pick { name: format!("{PICKED}{}", command.command_id), label },
            Cell::or_dash(name.as_deref()),
            Cell::time_or_dash(command.completed_at.map(|at| visit.stamp(at))),
            Cell::or_dash(command.error_message.as_deref()),
        ],
    }
}
