//! `/app/company/operations/aggregations`: the rollup runs, how far they have come, and a form to have days rolled up.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use painel_shared::commands::FieldError;
use serde_json::Value;

use super::{
    filter::{FilterBar, FilterField},
    href::Href,
    part::{Failure, part},
    posted::Posted,
    sections::Section,
    see_other,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    usage::float,
    visit::Visit,
    words,
};
use crate::{
    internal::aggregations::{RunView, Runs, RunsQuery, read_body},
    observe,
    problem::ApiError,
    query::QueryFields,
};

#[derive(Template)]
#[template(path = "aggregations.html")]
struct AggregationsPage {
    shell: Shell,
    /// What was typed to have days rolled up, and what is wrong with it, by field.
    typed: [(&'static str, &'static str, String); 2],
    tenant_id: String,
    errors: Vec<(String, String)>,
    filter: FilterBar,
    runs: Result<Table, Failure>,
}

impl AggregationsPage {
    /// Whether something is wrong with that field.
    fn is_wrong(&self, name: &str) -> bool {
        self.errors.iter().any(|(field, _)| field == name)
    }
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let notice = Href::of(&visit.request).has("asked").then(|| visit.t().aggregations.asked.to_owned());
    let page = page(&visit, QueryFields::of_pairs([]), &[], visit.fields().without("asked")).await?;
    let page = AggregationsPage { shell: Shell { notice, ..page.shell }, ..page };
    shell::page_with(&page, page.runs.as_ref().err())
}

/// `POST`: has days rolled up. A day that waits or is rolled up already is asked for once.
pub(super) async fn ask(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, mut fields, place: _place } = posted;
    visit.caller.require_internal()?;
    let names = ["from", "to", "tenant_id"];
    let typed: Vec<_> = names.into_iter().filter_map(|name| Some((name, fields.take(name)?))).collect();
    fields.finish()?;
    let body = typed.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())));
    let accepted = match read_body(&visit.request, body.collect(), &visit.caller) {
        Ok(asked) => visit.state.accept_aggregation(asked, observe::origin(&visit.request)).await.map(drop),
        Err(error) => Err(error),
    };
    match accepted {
        Ok(()) => Ok(see_other(&Href::to(Section::Aggregations.path()).with("asked", "1").to_string())),
        Err(ApiError::Validation(faults)) => {
            let typed = QueryFields::of_pairs(typed.iter().map(|(name, value)| (*name, value.as_str())));
            shell::render(StatusCode::BAD_REQUEST, &page(&visit, typed, &faults, QueryFields::of_pairs([])).await?)
        }
        Err(error) => Err(error),
    }
}

async fn page(
    visit: &Visit,
    mut typed: QueryFields,
    faults: &[FieldError],
    asked: QueryFields,
) -> Result<AggregationsPage, ApiError> {
    let (t, here) = (visit.t(), Href::of(&visit.request).without("asked"));
    let found = visit.ask::<RunsQuery>(asked).await;
    let filters = vec![FilterField::day("from", t.aggregations.from), FilterField::day("to", t.aggregations.to)];
    let filter = FilterBar::new(&here, t, filters, found.as_ref().err());
    let mut given = |name| typed.take(name).unwrap_or_default();
    Ok(AggregationsPage {
        shell: Shell::of(visit, Section::Aggregations).with_errors(!faults.is_empty() || filter.has_errors()),
        typed: [("from", t.aggregations.from, given("from")), ("to", t.aggregations.to, given("to"))],
        tenant_id: given("tenant_id"),
        errors: faults.iter().map(|fault| (fault.field.clone(), t.faults.of(fault))).collect(),
        filter,
        runs: part(t, found)?.map(|found| table(visit, &here, &found.value)),
    })
}

pub(super) fn table(visit: &Visit, here: &Href, found: &Runs) -> Table {
    let (t, words) = (visit.t(), &visit.t().aggregations);
    Table {
        caption: (words.shown)(found.runs.len()),
        columns: vec![
            Column::text(words.day),
            Column::text(t.states.state),
            Column::number(words.requests).wide(),
            Column::number(words.rows).wide(),
            Column::number(t.operations.duration).wide(),
            Column::text(words.finished).wide(),
            Column::text(words.error).wide(),
        ],
        rows: found.runs.iter().map(|run| row(visit, run)).collect(),
        pages: Pages::by_cursor(here, found.next_cursor.as_deref()),
        empty: Empty::of(here, &t.table, words.none),
    }
}

fn row(visit: &Visit, run: &RunView) -> Row {
    let (t, format) = (visit.t(), visit.format());
    let count = |number: Option<i64>| Cell::or_dash(number.map(|number| format.count(number)).as_deref());
    Row {
        key: run.run_id.to_string(),
        cells: vec![
            Cell::Day(run.day),
            words::run_state(t, &run.state),
            count(run.rows_read),
            count(run.groups_written),
            run.duration_ms.map_or(Cell::Nothing, |millis| Cell::Millis(float(millis))),
            Cell::time_or_dash(run.finished_at.map(|at| visit.stamp(at))),
            Cell::or_dash(run.error.as_deref()),
        ],
    }
}
