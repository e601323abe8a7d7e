//! `/app/company/agents`: the agents that can be rented, who uses them and how well they do.

use std::rc::Rc;

use actix_web::HttpResponse;

use super::{
    chart::spark,
    csv,
    filter::FilterField,
    href::Href,
    list::ListPage,
    sections::Section,
    table::{self, Cell, Column, Empty, Order, Pages, Row, Table},
    tenants::segments,
    usage::periods,
    visit::Visit,
    words,
};
use crate::{
    internal::agents::{Catalogue, CatalogueAgent, CatalogueQuery},
    problem::ApiError,
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    if csv::is_wanted(&visit) {
        let columns = columns(&visit, None);
        return csv::file(visit, "agents", columns, part).await;
    }
    let t = visit.t();
    let found = visit.ask::<CatalogueQuery>(visit.fields()).await;
    let used = found.as_ref().map(|found| found.value.segments.as_slice()).unwrap_or_default();
    let filters = vec![
        FilterField::search("search", t.tenants.name),
        FilterField::select("segment", t.agents.segment, segments(t, used)),
        FilterField::select("period", t.usage.period, periods(t)),
    ];
    let page = ListPage::of(&visit, Section::Catalogue, filters, found, |here, found| table(&visit, here, found));
    page?.with_file(&visit).respond()
}

/// A part of the list, for its file.
async fn part(visit: Rc<Visit>, offset: Option<String>) -> Result<csv::Part, ApiError> {
    let fields = visit.fields().with("limit", csv::PART).with("offset", offset.as_deref().unwrap_or("0"));
    let found = &visit.ask::<CatalogueQuery>(fields).await?.value;
    let rows = found.agents.iter().map(|agent| row(&visit, agent)).collect();
    Ok(csv::Part::by_offset(rows, found.offset + found.limit, found.total))
}

fn table(visit: &Visit, here: &Href, found: &Catalogue) -> Table {
    let (t, order) = (visit.t(), Order::of(here, "name"));
    let total = visit.format().count(found.total);
    Table {
        caption: table::caption(t, t.menu.agents, table::range(found.offset, found.agents.len()), &total),
        columns: columns(visit, Some(&order)),
        rows: found.agents.iter().map(|agent| row(visit, agent)).collect(),
        pages: Pages::by_offset(here, found.offset, found.limit, found.total),
        empty: Empty::of(here, &t.table, t.catalogue.none),
    }
}

/// The columns; those of a page sort it.
fn columns(visit: &Visit, order: Option<&Order<'_>>) -> Vec<Column> {
    let t = visit.t();
    vec![
        Column::text(t.agents.agent).sorted_by(order, "name", false),
        Column::text(t.agents.segment).wide(),
        Column::number(t.menu.tenants).sorted_by(order, "deployed_count", true),
        Column::number(t.usage.requests).sorted_by(order, "total_requests", true).wide(),
        Column::text(t.usage.requests_by_day).wide(),
        Column::number(t.agents.success).wide(),
        Column::number(t.usage.p95).wide(),
    ]
}

/// An agent; it leads to those who use it.
fn row(visit: &Visit, agent: &CatalogueAgent) -> Row {
    let tenants = Href::to(Section::Tenants.path()).with("status", "all").with("agent_id", &agent.id.to_string());
    Row {
        key: agent.id.to_string(),
        cells: vec![
            Cell::Link { text: agent.name.clone(), href: tenants.to_string() },
            Cell::Text(words::segment(visit.t(), &agent.segment)),
            Cell::Count(agent.deployed_count),
            Cell::Count(agent.total_requests),
            spark(visit.t(), visit.format(), &agent.requests_by_day),
            Cell::Percent(agent.success_rate),
            agent.percentiles.p95_response_time_ms.map_or(Cell::Nothing, Cell::Millis),
        ],
    }
}
