//! `/app/company/operations`: the commands, narrowed, newest first, and live.

use std::rc::Rc;

use actix_web::HttpResponse;
use askama::Template;
use painel_shared::{command::Status, commands::CommandType};

use super::{
    command_words::{self, chip_of, status_chip},
    csv,
    filter::{FilterBar, FilterField},
    href::Href,
    part::{Failure, part},
    sections::Section,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
};
use crate::{
    internal::{
        commands::{CommandRowsQuery, CommandView, CommandsQuery, List},
        queues::{Queues, QueuesQuery},
    },
    problem::ApiError,
    query::QueryFields,
};

/// How often the console is looked at again while nothing is unfinished, in milliseconds.
const CONSOLE: u32 = 2_000;

#[derive(Template)]
#[template(path = "operations.html", blocks = ["live"])]
struct OperationsPage {
    shell: Shell,
    views: Vec<View>,
    filter: FilterBar,
    commands: Result<Table, Failure>,
    queues: Option<Result<Table, Failure>>,
    live: Live,
    file: String,
}

/// A narrowing that is ready.
struct View {
    label: &'static str,
    href: String,
    is_current: bool,
}

/// How a part of a page is looked at again.
pub(super) struct Live {
    pub(super) href: String,
    pub(super) millis: u32,
}

impl Live {
    /// Each second while something is unfinished, else so often; but no sooner than whoever looks has chosen.
    pub(super) fn of(visit: &Visit, here: &Href, is_unfinished: bool, otherwise: u32) -> Self {
        let millis = if is_unfinished { 1_000 } else { otherwise };
        let least = u32::from(visit.viewer.preferences.interval_seconds) * 1_000;
        Self { href: here.with("fragment", "live").to_string(), millis: millis.max(least) }
    }
}

/// The page, or its live part.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    if csv::is_wanted(&visit) {
        let columns = columns(visit.t());
        return csv::file(visit, "commands", columns, file_part).await;
    }
    let (t, here) = (visit.t(), Href::of(&visit.request));
    // What is looked at again are the commands.
    let queues = async {
        match visit.is_fragment {
            true => None,
            false => Some(visit.ask::<QueuesQuery>(QueryFields::of_pairs([])).await),
        }
    };
    let (found, queues) = tokio::join!(visit.ask::<CommandsQuery>(visit.fields()), queues);
    let queues = queues.map(|found| part(t, found)).transpose()?;
    let filter = FilterBar::new(&here, t, filters(t), found.as_ref().err());
    let found = part(t, found)?;
    let is_unfinished =
        found.as_ref().is_ok_and(|list| list.value.commands.iter().any(|command| !command.status.is_final()));
    let page = OperationsPage {
        shell: Shell::of(&visit, Section::Operations).with_errors(filter.has_errors()),
        views: views(&visit, &here),
        filter,
        commands: found.map(|list| table(&visit, &here, &list.value)),
        queues: queues.map(|part| part.map(|found| queue_table(&visit, &found.value))),
        live: Live::of(&visit, &here, is_unfinished, CONSOLE),
        file: csv::href(&here),
    };
    if visit.is_fragment {
        return shell::fragment(&visit.request, &page.as_live());
    }
    shell::page_with(&page, page.commands.as_ref().err())
}

/// A part of the list, for its file.
async fn file_part(visit: Rc<Visit>, cursor: Option<String>) -> Result<csv::Part, ApiError> {
    let fields = csv::after(&visit, cursor.as_deref());
    let found = &visit.ask::<CommandRowsQuery>(fields).await?.value;
    let rows = found.commands.iter().map(|command| row(&visit, command)).collect();
    Ok(csv::Part { rows, next: found.next_cursor.clone() })
}

fn views(visit: &Visit, here: &Href) -> Vec<View> {
    let t = &visit.t().operations;
    let all = Href::to(Section::Operations.path());
    let ready = [
        (t.all, all.clone()),
        (t.pending, all.with("status", Status::Pending.as_str())),
        (t.running, all.with("status", Status::Running.as_str())),
        (t.failed, all.with("status", Status::Error.as_str())),
        (t.dead, all.with("dead_letter", "true")),
        (t.mine, all.with("created_by", &visit.caller.sub)),
    ];
    ready
        .into_iter()
        .map(|(label, href)| View {
            label,
            is_current: href.to_string() == here.to_string(),
            href: href.to_string(),
        })
        .collect()
}

fn filters(t: &'static Texts) -> Vec<FilterField> {
    let all = || (String::new(), t.table.all.to_owned());
    let statuses = Status::ALL.map(|status| (status.as_str().to_owned(), status_chip(t, status).word.to_owned()));
    let types = CommandType::all().map(|kind| (kind.name().to_owned(), command_words::name(t, kind.name())));
    let deaths = vec![
        all(),
        ("true".to_owned(), t.operations.dead.to_owned()),
        ("false".to_owned(), t.operations.living.to_owned()),
    ];
    let dead = FilterField::select("dead_letter", t.status.dead, deaths);
    vec![
        FilterField::select("status", t.operations.status, std::iter::once(all()).chain(statuses).collect()),
        FilterField::select("command_type", t.operations.command, std::iter::once(all()).chain(types).collect()),
        FilterField::text("tenant_id", t.operations.tenant_id),
        FilterField::text("created_by", t.operations.created_by_id).rare(),
        FilterField::day("from", t.table.from_day).rare(),
        FilterField::day("to", t.table.to_day).rare(),
        dead.rare(),
    ]
}

/// Commands, newest first.
pub(super) fn table(visit: &Visit, here: &Href, list: &List) -> Table {
    let (t, format) = (visit.t(), visit.format());
    let total = format.count(i64::try_from(list.total).unwrap_or(i64::MAX));
    let total = if list.total_is_capped { (t.table.more_than)(&total) } else { total };
    Table {
        caption: (t.table.of_total)(list.commands.len(), &total),
        columns: columns(t),
        rows: list.commands.iter().map(|command| row(visit, command)).collect(),
        pages: Pages::by_cursor(here, list.next_cursor.as_deref()),
        empty: Empty::of(here, &t.table, t.operations.none),
    }
}

pub(super) fn columns(t: &'static Texts) -> Vec<Column> {
    vec![
        Column::text(t.operations.command),
        Column::text(t.operations.status),
        Column::text(t.operations.tenant).wide(),
        Column::text(t.operations.created_at).wide(),
        Column::number(t.operations.duration).wide(),
        Column::text(t.operations.created_by).wide(),
    ]
}

fn queue_table(visit: &Visit, found: &Queues) -> Table {
    let (t, format) = (visit.t(), visit.format());
    let words = &t.queues;
    let count = |number: u64| Cell::Count(i64::try_from(number).unwrap_or(i64::MAX));
    let known = |number: Option<u64>| number.map_or(Cell::Nothing, count);
    let dead_jobs = Href::to(format!("{}/dead", Section::Operations.path()));
    let rows = found.queues.iter().map(|queue| Row {
        key: queue.name.to_owned(),
        cells: vec![
            Cell::Code(queue.name.to_owned()),
            count(queue.waiting),
            known(queue.in_flight),
            known(queue.consumers),
            match queue.dead_letters {
                0 => count(0),
                dead => Cell::Link {
                    text: (words.look)(&format.count(i64::try_from(dead).unwrap_or(i64::MAX))),
                    href: dead_jobs.with("queue_name", queue.name).to_string(),
                },
            },
            Cell::time_or_dash(queue.oldest_dead_letter_at.map(|at| visit.stamp(at))),
        ],
    });
    Table {
        caption: words.queues.to_owned(),
        columns: vec![
            Column::text(words.queue),
            Column::number(words.waiting),
            Column::number(words.in_flight).wide(),
            Column::number(words.consumers).wide(),
            Column::number(words.dead),
            Column::text(words.oldest).wide(),
        ],
        rows: rows.collect(),
        pages: Pages::default(),
        empty: Empty { text: t.table.no_data.to_owned(), link: None },
    }
}

pub(super) fn row(visit: &Visit, command: &CommandView) -> Row {
    let t = visit.t();
    let id = command.command_id.to_string();
    Row {
        cells: vec![
            Cell::Link {
                text: command_words::name(t, command.command_type.name()),
                href: format!("{}/{id}", Section::Operations.path()),
            },
            Cell::Chip(chip_of(t, command)),
            Cell::or_dash(command.tenant_name.as_deref()),
            Cell::Time(visit.stamp(command.created_at)),
            command.duration_ms.map_or(Cell::Nothing, Cell::millis),
            Cell::or_dash(command.created_by_email.as_deref().or(Some(&command.created_by))),
        ],
        key: id,
    }
}
