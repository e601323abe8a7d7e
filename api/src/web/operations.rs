//! `/app/company/operations`: the commands, narrowed, newest first, and live.

use actix_web::HttpResponse;
use askama::Template;
use painel_shared::{command::Status, commands::CommandType};

use super::{
    command_words::{self, status_chip},
    filter::{FilterBar, FilterField},
    href::Href,
    section::{Failure, part},
    sections::Section,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
};
use crate::{
    internal::commands::{CommandView, CommandsQuery, List},
    problem::ApiError,
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
    live: Live,
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
    /// Each second while something is unfinished, else so often.
    pub(super) fn of(here: &Href, is_unfinished: bool, otherwise: u32) -> Self {
        Self {
            href: here.with("fragment", "live").to_string(),
            millis: if is_unfinished { 1_000 } else { otherwise },
        }
    }
}

/// The page, or its live part.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let (t, here) = (visit.t(), Href::of(&visit.request));
    let found = visit.ask::<CommandsQuery>(visit.fields()).await;
    let filter = FilterBar::new(&here, t, filters(t), found.as_ref().err());
    let found = part(t, found)?;
    let is_unfinished =
        found.as_ref().is_ok_and(|list| list.value.commands.iter().any(|command| !command.status.is_final()));
    let page = OperationsPage {
        shell: Shell::of(&visit, Section::Operations).with_errors(filter.has_errors()),
        views: views(&visit, &here),
        filter,
        commands: found.map(|list| table(&visit, &here, &list.value)),
        live: Live::of(&here, is_unfinished, CONSOLE),
    };
    if visit.is_fragment {
        return shell::fragment(&visit.request, &page.as_live());
    }
    shell::page_with(&page, page.commands.as_ref().err())
}

fn views(visit: &Visit, here: &Href) -> Vec<View> {
    let t = &visit.t().operations;
    let all = Href::to(Section::Operations.path());
    let ready = [
        (t.all, all.clone()),
        (t.pending, all.with("status", Status::Pending.as_str())),
        (t.running, all.with("status", Status::Running.as_str())),
        (t.failed, all.with("status", Status::Error.as_str())),
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
    vec![
        FilterField::select("status", t.operations.status, std::iter::once(all()).chain(statuses).collect()),
        FilterField::select("command_type", t.operations.command, std::iter::once(all()).chain(types).collect()),
        FilterField::text("tenant_id", t.operations.tenant_id),
    ]
}

/// Commands, newest first.
pub(super) fn table(visit: &Visit, here: &Href, list: &List) -> Table {
    let (t, format) = (visit.t(), visit.format());
    let total = format.count(i64::try_from(list.total).unwrap_or(i64::MAX));
    let total = if list.total_is_capped { (t.table.more_than)(&total) } else { total };
    Table {
        caption: (t.table.of_total)(list.commands.len(), &total),
        columns: vec![
            Column::text(t.operations.command),
            Column::text(t.operations.status),
            Column::text(t.operations.tenant).wide(),
            Column::text(t.operations.created_at).wide(),
            Column::number(t.operations.duration).wide(),
            Column::text(t.operations.created_by).wide(),
        ],
        rows: list.commands.iter().map(|command| row(visit, command)).collect(),
        pages: Pages::by_cursor(here, list.next_cursor.as_deref()),
        empty: Empty::of(here, &t.table, t.operations.none),
    }
}

fn row(visit: &Visit, command: &CommandView) -> Row {
    let (t, format) = (visit.t(), visit.format());
    let id = command.command_id.to_string();
    Row {
        cells: vec![
            Cell::Link {
                text: command_words::name(t, command.command_type.name()),
                href: format!("{}/{id}", Section::Operations.path()),
            },
            Cell::Chip(status_chip(t, command.status)),
            Cell::or_dash(command.tenant_name.as_deref()),
            Cell::Time(visit.stamp(command.created_at)),
            Cell::or_dash(command.duration_ms.map(|millis| format.duration_of(millis)).as_deref()),
            Cell::or_dash(command.created_by_email.as_deref().or(Some(&command.created_by))),
        ],
        key: id,
    }
}
