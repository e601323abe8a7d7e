//! `/app/company/tenants`: the customers, searched, narrowed and sorted.

use std::rc::Rc;

use actix_web::HttpResponse;
use serde::Serialize;

use super::{
    csv,
    filter::{FilterField, options},
    format::cnpj,
    href::Href,
    list::ListPage,
    sections::Section,
    table::{self, Cell, Column, Empty, Order, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
    words,
};
use crate::{
    internal::{
        agents::CatalogueQuery,
        tenants::{LONGEST_SEARCH, Tenant, Tenants, TenantsQuery},
    },
    problem::ApiError,
    query::QueryFields,
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    if csv::is_wanted(&visit) {
        let columns = columns(&visit, None);
        return csv::file(visit, "tenants", columns, part).await;
    }
    let found = visit.ask::<TenantsQuery>(visit.fields()).await;
    let used = found.as_ref().map(|found| found.value.segments.as_slice()).unwrap_or_default();
    let mut filters = filters(visit.t(), used);
    filters.extend(agent_filter(&visit).await);
    let page = ListPage::of(&visit, Section::Tenants, filters, found, |here, found| table(&visit, here, found));
    page?.with_file(&visit).respond()
}

/// How many customers the palette offers.
const OFFERED: &str = "8";

/// Where a palette leads.
#[derive(Serialize)]
struct Entry {
    label: String,
    href: String,
}

/// `GET /app/palette?q=`: the customers of that name or CNPJ, for whoever types where they want to go.
pub(super) async fn palette(visit: Visit) -> Result<HttpResponse, ApiError> {
    let mut asked = visit.fields();
    let search = asked.text("q", LONGEST_SEARCH);
    asked.finish()?;
    let search = search.as_deref().map(|search| ("search", search));
    let fields = QueryFields::of_pairs([("status", "all"), ("limit", OFFERED)].into_iter().chain(search));
    let found = visit.ask::<TenantsQuery>(fields).await?;
    let entries = found.value.tenants.iter().map(|tenant| Entry {
        label: format!("{} · {}", tenant.name, cnpj(&tenant.cnpj)),
        href: format!("{}/{}", Section::Tenants.path(), tenant.id),
    });
    Ok(HttpResponse::Ok().json(entries.collect::<Vec<_>>()))
}

/// A part of the list, for its file.
async fn part(visit: Rc<Visit>, offset: Option<String>) -> Result<csv::Part, ApiError> {
    let fields = visit.fields().with("limit", csv::PART).with("offset", offset.as_deref().unwrap_or("0"));
    let found = &visit.ask::<TenantsQuery>(fields).await?.value;
    let rows = found.tenants.iter().map(|tenant| row(&visit, tenant)).collect();
    Ok(csv::Part::by_offset(rows, found.offset + found.limit, found.total))
}

fn filters(t: &'static Texts, used: &[String]) -> Vec<FilterField> {
    let words = &t.tenants;
    let plans = t.plans.iter().map(|(value, name)| ((*value).to_owned(), (*name).to_owned()));
    let plans = std::iter::once((String::new(), t.table.all.to_owned())).chain(plans).collect();
    vec![
        FilterField::search("search", words.search),
        FilterField::select("status", t.states.state, status_options(t, "")),
        FilterField::select("plan", words.plan, plans),
        FilterField::select("segment", words.segment, segments(t, used)),
    ]
}

/// The segments that are in use.
pub(super) fn segments(t: &'static Texts, used: &[String]) -> Vec<(String, String)> {
    let used = used.iter().map(|stored| (stored.clone(), words::segment(t, stored)));
    std::iter::once((String::new(), t.table.all.to_owned())).chain(used).collect()
}

/// The agent whose users are listed, where the address names one.
async fn agent_filter(visit: &Visit) -> Option<FilterField> {
    let agent = Href::of(&visit.request).get("agent_id")?.to_owned();
    let catalogue = visit.ask::<CatalogueQuery>(QueryFields::of_pairs([("limit", "100")])).await;
    let named = catalogue.ok().and_then(|found| {
        let found = found.value.agents.iter().find(|one| one.id.to_string() == agent)?;
        Some(found.name.clone())
    });
    let t = visit.t();
    let one = (agent.clone(), named.unwrap_or(agent));
    Some(FilterField::select("agent_id", t.agents.agent, vec![(String::new(), t.table.all.to_owned()), one]))
}

/// The states of a list that shows those in use unless it is told otherwise, which is sent as `default`.
pub(super) fn status_options(t: &'static Texts, default: &str) -> Vec<(String, String)> {
    let words = &t.states;
    options([
        (default, words.active_ones),
        ("inactive", words.inactive_ones),
        ("suspended", words.suspended_ones),
        ("all", t.table.all),
    ])
}

fn table(visit: &Visit, here: &Href, found: &Tenants) -> Table {
    let (t, format) = (visit.t(), visit.format());
    let order = Order::of(here, "name");
    let range = table::range(found.offset, found.tenants.len());
    Table {
        caption: table::caption(t, t.menu.tenants, range, &format.count(found.total)),
        columns: columns(visit, Some(&order)),
        rows: found.tenants.iter().map(|tenant| row(visit, tenant)).collect(),
        pages: Pages::by_offset(here, found.offset, found.limit, found.total),
        empty: Empty::of(here, &t.table, t.tenants.none),
    }
}

/// The columns; those of a page sort it.
fn columns(visit: &Visit, order: Option<&Order<'_>>) -> Vec<Column> {
    let (t, words) = (visit.t(), &visit.t().tenants);
    vec![
        Column::text(words.name).sorted_by(order, "name", false),
        Column::text(words.cnpj).wide(),
        Column::text(words.segment).wide(),
        Column::text(words.plan).wide(),
        Column::text(t.states.state),
        Column::number(words.mrr).wide().sorted_by(order, "mrr_estimate", true),
        Column::number(words.agents).wide().sorted_by(order, "active_agents", true),
        Column::number(words.requests).wide().sorted_by(order, "requests_last_30_days", true),
        Column::number(words.success).wide(),
        Column::number(words.incidents).wide(),
    ]
}

fn row(visit: &Visit, tenant: &Tenant) -> Row {
    let t = visit.t();
    let number = |number: i64| Cell::Count(number);
    Row {
        key: tenant.id.to_string(),
        cells: vec![
            Cell::Link { text: tenant.name.clone(), href: format!("{}/{}", Section::Tenants.path(), tenant.id) },
            Cell::Whole(cnpj(&tenant.cnpj)),
            Cell::Text(words::segment(t, &tenant.segment)),
            Cell::Whole(words::plan(t, &tenant.plan)),
            words::state(t, &tenant.status),
            Cell::Money(tenant.mrr_estimate.cents()),
            number(tenant.active_agents),
            number(tenant.requests_last_30_days),
            Cell::Percent(tenant.success_rate_last_30_days),
            number(tenant.open_incidents),
        ],
    }
}
