//! `/app/company/operations/aggregations`: the rollup runs and how far they have come.

use actix_web::HttpResponse;

use super::{
    filter::FilterField,
    href::Href,
    list::ListPage,
    sections::Section,
    table::{Cell, Column, Empty, Pages, Row, Table},
    usage::float,
    visit::Visit,
    words,
};
use crate::{
    internal::aggregations::{RunView, Runs, RunsQuery},
    problem::ApiError,
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let t = visit.t();
    let found = visit.ask::<RunsQuery>(visit.fields()).await;
    let filters = vec![FilterField::day("from", t.aggregations.from), FilterField::day("to", t.aggregations.to)];
    let page =
        ListPage::of(&visit, Section::Aggregations, filters, found, |here, found| table(&visit, here, found));
    page?.with_intro(t.aggregations.intro).respond()
}

fn table(visit: &Visit, here: &Href, found: &Runs) -> Table {
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
