//! `/app/dashboard/usage`: what the tenant used in a period, by day and by agent.

use std::rc::Rc;

use actix_web::HttpResponse;
use askama::Template;
use chrono::NaiveDate;

use super::{
    account::Account,
    chart::{Chart, Plot, Ranked, Series, ranked, summary},
    csv,
    filter::{FilterBar, FilterField, options},
    format::Format,
    href::Href,
    kpi::Kpi,
    part::{Failure, age, part},
    sections::Section,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
};
use crate::{
    figures::Percentiles,
    problem::ApiError,
    tenant::usage::{DayUsage, Summary, Usage, UsageQuery},
};

#[derive(Template)]
#[template(path = "usage.html")]
struct UsagePage {
    shell: Shell,
    filter: FilterBar,
    file: String,
    found: Result<Found, Failure>,
}

struct Found {
    age: String,
    kpis: Vec<Kpi>,
    requests: Chart,
    times: Chart,
    by_agent: Vec<Ranked>,
    agents: Table,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Usage).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if csv::is_wanted(&account.visit) {
        let columns = day_columns(account.visit.t());
        return csv::file(account.visit, "usage", columns, days).await;
    }
    let (visit, here) = (&account.visit, Href::of(&account.visit.request));
    let t = visit.t();
    let found = visit.ask::<UsageQuery>(visit.fields()).await;
    let agents = found.as_ref().map(|found| found.value.by_agent.as_slice()).unwrap_or_default();
    let agents = agents.iter().map(|agent| (agent.agent_id.to_string(), agent.agent_name.clone()));
    let all = (String::new(), t.table.all.to_owned());
    let fields = vec![
        FilterField::select("period", t.usage.period, periods(t)),
        FilterField::select("agent_id", t.agents.agent, std::iter::once(all).chain(agents).collect()),
    ];
    let filter = FilterBar::new(&here, t, fields, found.as_ref().err());
    let found = part(t, found)?.map(|found| {
        let usage = &found.value;
        Found {
            age: age(visit, &found),
            kpis: kpis(visit, usage),
            requests: requests(visit, &usage.daily_data),
            times: times(visit, &usage.daily_data),
            by_agent: by_agent(visit, &account, usage),
            agents: agents_table(visit, usage),
        }
    });
    let page =
        UsagePage { shell: account.shell.with_errors(filter.has_errors()), filter, file: csv::href(&here), found };
    shell::page_with(&page, page.found.as_ref().err())
}

/// The periods that can be asked for.
pub(super) fn periods(t: &'static Texts) -> Vec<(String, String)> {
    let words = &t.usage;
    options([("", words.month), ("7d", words.week), ("90d", words.quarter)])
}

fn kpis(visit: &Visit, usage: &Usage) -> Vec<Kpi> {
    let (words, format, of) = (&visit.t().usage, visit.format(), &usage.summary);
    let before = usage.previous.as_ref();
    let Percentiles { p50_response_time_ms: p50, p95_response_time_ms: p95, p99_response_time_ms: p99 } =
        of.percentiles;
    let time = |millis: Option<f64>| millis.map_or_else(|| "—".to_owned(), |millis| format.duration(millis));
    let failed = (words.failed_of)(&format.count(of.failed_requests));
    vec![
        requests_kpi(visit, words.requests, of, before),
        success_kpi(visit, of, before).or_noted(failed),
        Kpi::new(words.p50, time(p50)),
        p95_kpi(visit, p95, before.and_then(|before| before.percentiles.p95_response_time_ms)),
        Kpi::new(words.p99, time(p99)),
        Kpi::new(words.tokens, format.count(of.total_tokens_used)).since(
            visit,
            float(of.total_tokens_used),
            before.map(|before| float(before.total_tokens_used)),
        ),
    ]
}

/// How many requests there were.
pub(super) fn requests_kpi(visit: &Visit, name: &'static str, of: &Summary, before: Option<&Summary>) -> Kpi {
    let before = before.map(|before| float(before.total_requests));
    Kpi::new(name, visit.format().count(of.total_requests)).since(visit, float(of.total_requests), before)
}

/// How many of them succeeded.
pub(super) fn success_kpi(visit: &Visit, of: &Summary, before: Option<&Summary>) -> Kpi {
    Kpi::share(visit, of.success_rate, of.total_requests, before.map(|before| before.success_rate))
}

/// How long most of them took.
pub(super) fn p95_kpi(visit: &Visit, now: Option<f64>, before: Option<f64>) -> Kpi {
    let name = visit.t().usage.p95;
    match now {
        Some(millis) => Kpi::new(name, visit.format().duration(millis)).since(visit, millis, before),
        None => Kpi::new(name, "—".to_owned()),
    }
}

/// Requests a day: those that succeeded, and on them those that did not.
pub(super) fn requests(visit: &Visit, usage: &[DayUsage]) -> Chart {
    let (t, format) = (visit.t(), visit.format());
    let days: Vec<NaiveDate> = usage.iter().map(|day| day.date).collect();
    let values = |of: fn(&DayUsage) -> i64| usage.iter().map(move |day| float(of(day)));
    let series = [
        Series { label: t.usage.successful, values: values(|day| day.successful_requests).map(Some).collect() },
        Series { label: t.usage.failed, values: values(|day| day.failed_requests).map(Some).collect() },
    ];
    let totals: Vec<f64> = values(|day| day.total_requests).collect();
    Chart {
        title: t.usage.requests_by_day,
        summary: summary(t, format, &days, &totals, |format, value| format.decimal(value, 0)),
        plot: Plot::stacked(format, &days, &series, Format::short),
        data: day_table(visit, usage),
    }
}

fn times(visit: &Visit, usage: &[DayUsage]) -> Chart {
    let (t, format) = (visit.t(), visit.format());
    let days: Vec<NaiveDate> = usage.iter().map(|day| day.date).collect();
    let of = |of: fn(&Percentiles) -> Option<f64>| usage.iter().map(|day| of(&day.percentiles)).collect();
    let p95: Vec<Option<f64>> = of(|at| at.p95_response_time_ms);
    let known: Vec<f64> = p95.iter().map(|value| value.unwrap_or(0.0)).collect();
    let series = [
        Series { label: t.usage.p50, values: of(|at| at.p50_response_time_ms) },
        Series { label: t.usage.p95, values: p95 },
    ];
    Chart {
        title: t.usage.times_by_day,
        summary: summary(t, format, &days, &known, Format::duration),
        plot: Plot::lines(format, &days, &series, Format::duration),
        data: day_table(visit, usage),
    }
}

fn day_table(visit: &Visit, usage: &[DayUsage]) -> Table {
    let t = visit.t();
    let words = &t.usage;
    Table {
        caption: words.by_day.to_owned(),
        columns: day_columns(t),
        rows: usage.iter().map(day_row).collect(),
        pages: Pages::default(),
        empty: Empty { text: t.table.no_data.to_owned(), link: None },
    }
}

fn day_columns(t: &'static Texts) -> Vec<Column> {
    let words = &t.usage;
    vec![
        Column::text(words.day),
        Column::number(words.requests),
        Column::number(words.failed).wide(),
        Column::number(words.p50).wide(),
        Column::number(words.p95).wide(),
        Column::number(words.tokens).wide(),
    ]
}

fn day_row(day: &DayUsage) -> Row {
    let time = |millis: Option<f64>| millis.map_or(Cell::Nothing, Cell::Millis);
    Row {
        key: day.date.to_string(),
        cells: vec![
            Cell::Day(day.date),
            Cell::Count(day.total_requests),
            Cell::Count(day.failed_requests),
            time(day.percentiles.p50_response_time_ms),
            time(day.percentiles.p95_response_time_ms),
            Cell::Count(day.total_tokens_used),
        ],
    }
}

/// All of it, for its file: a row a day.
async fn days(visit: Rc<Visit>, _: Option<String>) -> Result<csv::Part, ApiError> {
    let found = visit.ask::<UsageQuery>(visit.fields()).await?;
    Ok(csv::Part { rows: found.value.daily_data.iter().map(day_row).collect(), next: None })
}

fn by_agent(visit: &Visit, account: &Account, usage: &Usage) -> Vec<Ranked> {
    let (format, usage_page) = (visit.format(), account.href(Section::Usage));
    let entries = usage.by_agent.iter().map(|agent| {
        let href = usage_page.with("agent_id", &agent.agent_id.to_string()).to_string();
        (agent.agent_name.clone(), Some(href), float(agent.total_requests), format.count(agent.total_requests))
    });
    ranked(entries.collect())
}

fn agents_table(visit: &Visit, usage: &Usage) -> Table {
    let t = visit.t();
    let words = &t.usage;
    let time = |millis: Option<f64>| millis.map_or(Cell::Nothing, Cell::Millis);
    Table {
        caption: words.by_agent.to_owned(),
        columns: vec![
            Column::text(t.agents.agent),
            Column::number(words.requests),
            Column::number(words.success).wide(),
            Column::number(words.p50).wide(),
            Column::number(words.p95).wide(),
            Column::number(words.p99).wide(),
            Column::number(words.tokens).wide(),
        ],
        rows: usage
            .by_agent
            .iter()
            .map(|agent| Row {
                key: agent.agent_id.to_string(),
                cells: vec![
                    Cell::Text(agent.agent_name.clone()),
                    Cell::Count(agent.total_requests),
                    Cell::Percent(agent.success_rate),
                    time(agent.percentiles.p50_response_time_ms),
                    time(agent.percentiles.p95_response_time_ms),
                    time(agent.percentiles.p99_response_time_ms),
                    Cell::Count(agent.total_tokens_used),
                ],
            })
            .collect(),
        pages: Pages::default(),
        empty: Empty { text: words.none.to_owned(), link: None },
    }
}

/// Exact up to 2^53, which no count here comes near.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(number: i64) -> f64 {
    number as f64
}
