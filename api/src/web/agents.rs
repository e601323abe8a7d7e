//! `/app/dashboard/agents`: the agents that the tenant rents, and how they did in thirty days.

use std::rc::Rc;

use actix_web::HttpResponse;

use super::{
    account::Account,
    csv,
    filter::FilterField,
    href::Href,
    list::ListPage,
    sections::Section,
    shell::Shell,
    table::{Cell, Column, Empty, Pages, Row, Table},
    tenants::status_options,
    visit::Visit,
    words,
};
use crate::{
    problem::ApiError,
    tenant::agents::{Agent, Agents, AgentsQuery},
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Agents).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if csv::is_wanted(&account.visit) {
        let columns = columns(&account.visit);
        return csv::file(account.visit, "agents", columns, file_part).await;
    }
    let (visit, t) = (&account.visit, account.visit.t());
    let found = visit.ask::<AgentsQuery>(visit.fields()).await;
    let filters = vec![FilterField::select("status", t.states.state, status_options(t, ""))];
    let usage = account.href(Section::Usage);
    let page = ListPage::of(visit, Section::Agents, filters, found, |here, found: &Agents| Table {
        caption: (t.agents.shown)(found.agents.len()),
        columns: columns(visit),
        rows: found.agents.iter().map(|agent| row(visit, agent, &usage)).collect(),
        pages: Pages::by_cursor(here, found.next_cursor.as_deref()),
        empty: Empty::of(here, &t.table, t.agents.none),
    });
    page?.with_file(visit).within(|own| Shell { has_errors: own.has_errors, ..account.shell }).respond()
}

/// A part of the list, for its file.
async fn file_part(visit: Rc<Visit>, cursor: Option<String>) -> Result<csv::Part, ApiError> {
    let found = &visit.ask::<AgentsQuery>(csv::after(&visit, cursor.as_deref())).await?.value;
    let usage = Href::to(Section::Usage.path());
    let rows = found.agents.iter().map(|agent| row(&visit, agent, &usage)).collect();
    Ok(csv::Part { rows, next: found.next_cursor.clone() })
}

fn columns(visit: &Visit) -> Vec<Column> {
    let t = visit.t();
    vec![
        Column::text(t.agents.agent),
        Column::text(t.agents.segment).wide(),
        Column::text(t.states.state),
        Column::text(t.agents.since).wide(),
        Column::number(t.agents.requests).wide(),
        Column::number(t.agents.success).wide(),
        Column::number(t.agents.average).wide(),
    ]
}

fn row(visit: &Visit, agent: &Agent, usage: &Href) -> Row {
    let t = visit.t();
    let of = &agent.usage_last_30_days;
    let id = agent.id.to_string();
    Row {
        cells: vec![
            Cell::Link { text: agent.name.clone(), href: usage.with("agent_id", &id).to_string() },
            Cell::Text(words::segment(t, &agent.segment)),
            words::state(t, &agent.status),
            Cell::Time(visit.stamp(agent.activated_at)),
            Cell::Count(of.total_requests),
            Cell::Percent(of.success_rate),
            Cell::Millis(of.avg_response_time_ms),
        ],
        key: id,
    }
}
