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
    internal::tenants::{LONGEST_SEARCH, Tenant, Tenants, TenantsQuery},
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
    let page =
        ListPage::of(&visit, Section::Tenants, filters(visit.t()), found, |here, found| table(&visit, here, found));
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
    let offset = offset.unwrap_or_else(|| "0".to_owned());
    let fields = visit.fields().with("limit", csv::PART).with("offset", &offset);
    let found = &visit.ask::<TenantsQuery>(fields).await?.value;
    let next = found.offset + found.limit;
    Ok(csv::Part {
        rows: found.tenants.iter().map(|tenant| row(&visit, tenant)).collect(),
        next: (next < found.total).then(|| next.to_string()),
    })
}

fn filters(t: &'static Texts) -> Vec<FilterField> {
    let words = &t.tenants;
    let all = |words: &[(&str, &str)]| {
        let words = words.iter().map(|(value, name)| ((*value).to_owned(), (*name).to_owned()));
        std::iter::once((String::new(), t.table.all.to_owned())).chain(words).collect()
    };
    vec![
        FilterField::search("search", words.search),
        FilterField::select("status", t.states.state, status_options(t, "")),
        FilterField::select("plan", words.plan, all(&t.plans)),
        FilterField::select("segment", words.segment, all(&t.segments)),
    ]
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
    let shown = i64::try_from(found.tenants.len()).unwrap_or(i64::MAX);
    let range = (found.offset + 1, found.offset + shown);
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
    let sorted = |column: Column, name, begins_descending| match order {
        Some(order) => column.sorted(order.by(name, begins_descending)),
        None => column,
    };
    vec![
        sorted(Column::text(words.name), "name", false),
        Column::text(words.cnpj).wide(),
        Column::text(words.segment).wide(),
        Column::text(words.plan).wide(),
        Column::text(t.states.state),
        sorted(Column::number(words.mrr).wide(), "mrr_estimate", true),
        sorted(Column::number(words.agents).wide(), "active_agents", true),
        sorted(Column::number(words.requests).wide(), "requests_last_30_days", true),
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
