//! `/app/company/billing`: what the customers pay, and how it came to that. For administrators.

use std::rc::Rc;

use actix_web::HttpResponse;
use askama::Template;

use super::{
    chart::{Chart, Ranked, ranked},
    company, csv,
    filter::{FilterBar, FilterField},
    href::Href,
    kpi::Kpi,
    part::{Failure, age, part},
    sections::Section,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    usage::{float, periods},
    visit::Visit,
    words,
};
use crate::{
    figures::Reais,
    internal::billing::{Billing, BillingQuery, MonthMovements},
    problem::ApiError,
};

#[derive(Template)]
#[template(path = "billing.html")]
struct BillingPage {
    shell: Shell,
    filter: FilterBar,
    file: String,
    found: Result<Found, Failure>,
}

struct Found {
    age: String,
    kpis: Vec<Kpi>,
    trend: Chart,
    movements: Table,
    by_plan: Vec<Ranked>,
    by_segment: Vec<Ranked>,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    if csv::is_wanted(&visit) {
        let columns = columns(visit.t());
        return csv::file(visit, "billing", columns, file_part).await;
    }
    let (t, here) = (visit.t(), Href::of(&visit.request));
    let found = visit.ask::<BillingQuery>(visit.fields()).await;
    let fields = vec![FilterField::select("period", t.usage.period, periods(t))];
    let filter = FilterBar::new(&here, t, fields, found.as_ref().err());
    let found = part(t, found)?.map(|found| {
        let billing = &found.value;
        let money = |reais: Reais| visit.format().money(reais.cents());
        let amount = |reais: Reais| float(reais.cents());
        let plans = billing.by_plan.iter();
        let segments = billing.by_segment.iter();
        Found {
            age: age(&visit, &found),
            kpis: kpis(&visit, billing),
            trend: company::revenue(&visit, billing),
            movements: movements(&visit, billing),
            by_plan: ranked(
                plans
                    .map(|of| (words::plan(t, &of.plan_name), None, amount(of.total_mrr), money(of.total_mrr)))
                    .collect(),
            ),
            by_segment: ranked(
                segments
                    .map(|of| (words::segment(t, &of.segment), None, amount(of.total_mrr), money(of.total_mrr)))
                    .collect(),
            ),
        }
    });
    let shell = Shell::of(&visit, Section::Billing).with_errors(filter.has_errors());
    let page = BillingPage { shell, filter, file: csv::href(&here), found };
    shell::page_with(&page, page.found.as_ref().err())
}

fn kpis(visit: &Visit, billing: &Billing) -> Vec<Kpi> {
    let (t, format) = (visit.t(), visit.format());
    let of = &billing.financial_summary;
    let money = |reais: Reais| format.money(reais.cents());
    vec![
        Kpi::new(t.billing.mrr, money(of.total_mrr)),
        Kpi::new(t.billing.arr, money(of.total_arr)),
        Kpi::new(t.billing.average, format!("R$\u{a0}{}", format.decimal(of.avg_mrr_per_tenant, 2))),
        Kpi::new(t.billing.new, money(of.new_mrr_this_period)),
        Kpi::new(t.billing.expansion, money(of.expansion_mrr_this_period)),
        Kpi::new(t.billing.contraction, money(of.contraction_mrr_this_period)),
        Kpi::new(t.billing.churned, money(of.churned_mrr_this_period)),
        Kpi::new(t.billing.churn_rate, format.percent(of.churn_rate)),
    ]
}

/// The movements, for their file: it has one part.
async fn file_part(visit: Rc<Visit>, _: Option<String>) -> Result<csv::Part, ApiError> {
    let found = visit.ask::<BillingQuery>(visit.fields()).await?;
    Ok(csv::Part { rows: movements(&visit, &found.value).rows, next: None })
}

fn columns(t: &'static Texts) -> Vec<Column> {
    let words = &t.billing;
    vec![
        Column::text(words.month),
        Column::number(words.opening).wide(),
        Column::number(words.new).wide(),
        Column::number(words.expansion).wide(),
        Column::number(words.contraction).wide(),
        Column::number(words.churned).wide(),
        Column::number(words.closing),
    ]
}

fn movements(visit: &Visit, billing: &Billing) -> Table {
    let (t, format) = (visit.t(), visit.format());
    let money = |reais: Reais| Cell::Money(reais.cents());
    let row = |month: &MonthMovements| Row {
        key: month.month.clone(),
        cells: vec![
            Cell::Text(format.stored_month(&month.month)),
            money(month.opening),
            money(month.new),
            money(month.expansion),
            money(month.contraction),
            money(month.churned),
            money(month.closing),
        ],
    };
    Table {
        caption: t.billing.movements.to_owned(),
        columns: columns(t),
        rows: billing.monthly_movements.iter().rev().map(row).collect(),
        pages: Pages::default(),
        empty: Empty { text: t.table.no_data.to_owned(), link: None },
    }
}
