//! `/app/company`: all customers together, and what needs attention. Money is for administrators.

use actix_web::HttpResponse;
use askama::Template;
use chrono::{NaiveDate, TimeDelta};
use painel_shared::time::now;

use super::{
    chart::{Chart, Plot, Ranked, Series, ranked, summary},
    filter::{FilterBar, FilterField},
    format::Format,
    href::Href,
    kpi::Kpi,
    operations,
    part::{Failure, age, part},
    sections::Section,
    shell::{self, Shell},
    table::{self, Cell, Column, Empty, Pages, Row, Table},
    usage::{float, p95_kpi, periods},
    visit::Visit,
    words,
};
use crate::{
    internal::{
        billing::{Billing, BillingQuery},
        commands::{CommandView, CommandsQuery, List},
        incidents::{PlatformIncident, PlatformIncidents, PlatformIncidentsQuery},
        queues::QueuesQuery,
        usage::{DayTrend, Overview, OverviewQuery, PeriodStats},
    },
    problem::ApiError,
    query::QueryFields,
    tickets::TicketsQuery,
};

/// How many failed commands are shown.
const FAILED: usize = 5;
/// How many commands are looked through.
const MOST: &str = "100";
/// How many of the customers that an incident hits are named.
const NAMED: usize = 3;
/// How many open incidents are shown.
const OPEN: &str = "10";

#[derive(Template)]
#[template(path = "company.html")]
struct CompanyPage {
    shell: Shell,
    filter: FilterBar,
    overview: Result<Found, Failure>,
    /// None for whom money is no business.
    billing: Option<Result<(Vec<Kpi>, Chart), Failure>>,
    /// What somebody should look at, and how much of it there is.
    attention: Table,
    failed: Result<Table, Failure>,
    failed_href: String,
    incidents: Result<Table, Failure>,
}

struct Found {
    age: String,
    kpis: Vec<Kpi>,
    trend: Chart,
    tenants: Vec<Ranked>,
    agents: Vec<Ranked>,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let (t, here) = (visit.t(), Href::of(&visit.request));
    let billing = async {
        match visit.viewer.is_administrator {
            true => Some(visit.ask::<BillingQuery>(visit.fields()).await),
            false => None,
        }
    };
    let a_day_ago = now() - TimeDelta::days(1);
    let yesterday = a_day_ago.date_naive().to_string();
    let failed = QueryFields::of_pairs([("status", "ERROR"), ("limit", MOST), ("from", &yesterday)]);
    let pending = QueryFields::of_pairs([("status", "PENDING"), ("limit", MOST)]);
    let open = QueryFields::of_pairs([("limit", OPEN)]);
    let (overview, billing, failed, pending, queues, tickets, incidents) = tokio::join!(
        visit.ask::<OverviewQuery>(visit.fields()),
        billing,
        visit.ask::<CommandsQuery>(failed),
        visit.ask::<CommandsQuery>(pending),
        visit.ask::<QueuesQuery>(QueryFields::of_pairs([])),
        visit.ask::<TicketsQuery>(QueryFields::of_pairs([("limit", "1")])),
        visit.ask::<PlatformIncidentsQuery>(open),
    );
    let failed =
        part(t, failed)?.map(|found| Recent::of(&found.value, |one| one.completed_at >= Some(a_day_ago.into())));
    let a_minute_ago = now() - TimeDelta::minutes(1);
    let pending =
        part(t, pending)?.map(|found| Recent::of(&found.value, |one| one.created_at < a_minute_ago.into()));
    let dead = part(t, queues)?.map(|found| found.value.queues.iter().map(|queue| queue.dead_letters).sum::<u64>());
    let tickets = part(t, tickets)?.map(|found| found.value.total);
    let fields = vec![FilterField::select("period", t.usage.period, periods(t))];
    let filter = FilterBar::new(&here, t, fields, overview.as_ref().err());
    let billing = match billing {
        Some(found) => {
            Some(part(t, found)?.map(|found| (money(&visit, &found.value), revenue(&visit, &found.value))))
        }
        None => None,
    };
    let failed_href = Href::to(Section::Operations.path()).with("status", "ERROR");
    let page = CompanyPage {
        shell: Shell::of(&visit, Section::Company).with_errors(filter.has_errors()),
        filter,
        overview: part(t, overview)?.map(|found| Found {
            age: age(&visit, &found),
            kpis: kpis(&visit, &found.value),
            trend: trend(&visit, &found.value.daily_trends),
            tenants: top_tenants(&visit, &found.value),
            agents: top_agents(&visit, &found.value),
        }),
        billing,
        attention: attention(
            &visit,
            [
                failed.as_ref().ok().map(|found| found.count(&visit)),
                pending.as_ref().ok().map(|found| found.count(&visit)),
                dead.ok().map(|dead| visit.format().count(i64::try_from(dead).unwrap_or(i64::MAX))),
                tickets.ok().map(|tickets| visit.format().count(tickets)),
            ],
        ),
        failed: failed.map(|found| Table {
            caption: t.company.failed_today.to_owned(),
            columns: operations::columns(t),
            rows: found.commands.iter().take(FAILED).map(|command| operations::row(&visit, command)).collect(),
            empty: Empty { text: t.company.none_failed.to_owned(), link: None },
            pages: Pages::default(),
        }),
        failed_href: failed_href.to_string(),
        incidents: part(t, incidents)?.map(|found| incidents_table(&visit, &found.value)),
    };
    shell::page(&page)
}

/// Those of a list that fit.
struct Recent {
    commands: Vec<CommandView>,
    /// Whether there may be more.
    goes_on: bool,
}

impl Recent {
    fn of(found: &List, fits: impl Fn(&CommandView) -> bool) -> Self {
        let commands = found.commands.iter().filter(|command| fits(command)).cloned().collect();
        Self { commands, goes_on: found.next_cursor.is_some() }
    }

    /// How many there are; where the list goes on, at least so many.
    fn count(&self, visit: &Visit) -> String {
        let count = visit.format().count(i64::try_from(self.commands.len()).unwrap_or(i64::MAX));
        if self.goes_on { (visit.t().table.more_than)(&count) } else { count }
    }
}

/// Failed and waiting commands, dead messages, tickets: how many, and where they are. What is not known is a dash.
fn attention(visit: &Visit, counts: [Option<String>; 4]) -> Table {
    let t = visit.t();
    let operations = Href::to(Section::Operations.path());
    let kinds = [
        (t.company.failed_today, operations.with("status", "ERROR")),
        (t.company.waiting_long, operations.with("status", "PENDING")),
        (t.company.dead, operations.with("dead_letter", "true")),
        (t.company.open_tickets, Href::to(Section::Tickets.path())),
    ];
    let row = |((name, href), count): ((&str, Href), Option<String>)| Row {
        key: name.to_owned(),
        cells: vec![
            Cell::Link { text: name.to_owned(), href: href.to_string() },
            count.map_or(Cell::Nothing, Cell::Text),
        ],
    };
    Table {
        caption: t.company.attention.to_owned(),
        columns: vec![Column::text(t.company.what), Column::number(t.company.how_many)],
        rows: kinds.into_iter().zip(counts).map(row).collect(),
        pages: Pages::default(),
        empty: Empty { text: t.table.no_data.to_owned(), link: None },
    }
}

fn kpis(visit: &Visit, overview: &Overview) -> Vec<Kpi> {
    let (t, format) = (visit.t(), visit.format());
    let (stats, before) = (&overview.global_stats, overview.previous.as_ref());
    let of = &stats.of_period;
    let p95 = |stats: &PeriodStats| stats.percentiles.p95_response_time_ms;
    vec![
        Kpi::new(t.menu.tenants, format.count(stats.active_tenants))
            .noted((t.dashboard.of)(&format.count(stats.total_tenants))),
        Kpi::new(t.company.deployed, format.count(stats.total_agents_deployed)),
        Kpi::new(t.usage.requests, format.count(of.total_requests)).since(
            visit,
            float(of.total_requests),
            before.map(|before| float(before.total_requests)),
        ),
        Kpi::share(
            visit,
            of.global_success_rate,
            of.total_requests,
            before.map(|before| before.global_success_rate),
        ),
        p95_kpi(visit, p95(of), before.and_then(p95)),
    ]
}

/// What has gone wrong and goes on, and whom it hits.
fn incidents_table(visit: &Visit, found: &PlatformIncidents) -> Table {
    let t = visit.t();
    let total = visit.format().count(found.total);
    let range = table::range(found.offset, found.incidents.len());
    Table {
        caption: table::caption(t, t.company.incidents, range, &total),
        columns: vec![
            Column::text(t.support.incident),
            Column::text(t.support.severity),
            Column::text(t.company.hit),
            Column::text(t.support.began).wide(),
            Column::text(t.support.description).wide(),
        ],
        rows: found.incidents.iter().map(|incident| incident_row(visit, incident)).collect(),
        pages: Pages::default(),
        empty: Empty { text: t.company.no_incidents.to_owned(), link: None },
    }
}

fn incident_row(visit: &Visit, incident: &PlatformIncident) -> Row {
    let t = visit.t();
    let first: Vec<&str> = incident.tenants.iter().take(NAMED).map(|hit| hit.tenant_name.as_str()).collect();
    let others = incident.tenant_count.saturating_sub(i64::try_from(first.len()).unwrap_or(i64::MAX));
    let names = first.join(", ");
    let hit = match others {
        0 => names,
        others => (t.company.and_others)(&names, &visit.format().count(others)),
    };
    Row {
        key: incident.id.to_string(),
        cells: vec![
            Cell::Text(incident.title.clone()),
            words::severity(t, &incident.severity),
            Cell::Text(hit),
            Cell::Time(visit.stamp(incident.created_at)),
            Cell::Text(incident.description.clone()),
        ],
    }
}

fn money(visit: &Visit, billing: &Billing) -> Vec<Kpi> {
    let (t, format) = (visit.t(), visit.format());
    let of = &billing.financial_summary;
    vec![
        Kpi::new(t.billing.mrr, format.money(of.total_mrr.cents())),
        Kpi::new(t.billing.new, format.money(of.new_mrr_this_period.cents())),
        Kpi::new(t.billing.churned, format.money(of.churned_mrr_this_period.cents())),
        Kpi::new(t.billing.churn_rate, format.percent(of.churn_rate)),
    ]
}

/// What came in each month, day by day.
pub(super) fn revenue(visit: &Visit, billing: &Billing) -> Chart {
    let (t, format) = (visit.t(), visit.format());
    let days: Vec<NaiveDate> = billing.revenue_trend.iter().map(|day| day.date).collect();
    let values: Vec<f64> = billing.revenue_trend.iter().map(|day| float(day.mrr.cents()) / 100.0).collect();
    let series = [Series { label: t.billing.mrr, values: values.iter().copied().map(Some).collect() }];
    let data = Table {
        caption: t.billing.mrr_by_day.to_owned(),
        columns: vec![
            Column::text(t.usage.day),
            Column::number(t.billing.mrr),
            Column::number(t.billing.new_tenants).wide(),
            Column::number(t.billing.churned_tenants).wide(),
        ],
        rows: billing
            .revenue_trend
            .iter()
            .map(|day| Row {
                key: day.date.to_string(),
                cells: vec![
                    Cell::Day(day.date),
                    Cell::Money(day.mrr.cents()),
                    Cell::Count(day.new_tenants),
                    Cell::Count(day.churned_tenants),
                ],
            })
            .collect(),
        pages: Pages::default(),
        empty: Empty { text: t.table.no_data.to_owned(), link: None },
    };
    Chart {
        title: t.billing.mrr_by_day,
        summary: summary(t, format, &days, &values, |format, value| format.decimal(value, 2)),
        plot: Plot::lines(format, &days, &series, Format::short),
        data,
    }
}

fn trend(visit: &Visit, trends: &[DayTrend]) -> Chart {
    let (t, format) = (visit.t(), visit.format());
    let days: Vec<NaiveDate> = trends.iter().map(|day| day.date).collect();
    let values: Vec<f64> = trends.iter().map(|day| float(day.total_requests)).collect();
    let series = [Series { label: t.usage.requests, values: values.iter().copied().map(Some).collect() }];
    let data = Table {
        caption: t.usage.by_day.to_owned(),
        columns: vec![
            Column::text(t.usage.day),
            Column::number(t.usage.requests),
            Column::number(t.usage.success).wide(),
            Column::number(t.company.active_tenants).wide(),
        ],
        rows: trends
            .iter()
            .map(|day| Row {
                key: day.date.to_string(),
                cells: vec![
                    Cell::Day(day.date),
                    Cell::Count(day.total_requests),
                    Cell::Percent(day.success_rate),
                    Cell::Count(day.active_tenants),
                ],
            })
            .collect(),
        pages: Pages::default(),
        empty: Empty { text: t.table.no_data.to_owned(), link: None },
    };
    Chart {
        title: t.usage.requests_by_day,
        summary: summary(t, format, &days, &values, |format, value| format.decimal(value, 0)),
        plot: Plot::stacked(format, &days, &series, Format::short),
        data,
    }
}

fn top_tenants(visit: &Visit, overview: &Overview) -> Vec<Ranked> {
    let format = visit.format();
    let entries = overview.top_tenants_by_usage.iter().map(|tenant| {
        let href = format!("{}/{}", Section::Tenants.path(), tenant.tenant_id);
        (tenant.tenant_name.clone(), Some(href), float(tenant.total_requests), format.count(tenant.total_requests))
    });
    ranked(entries.collect())
}

fn top_agents(visit: &Visit, overview: &Overview) -> Vec<Ranked> {
    let format = visit.format();
    let entries = overview.top_agents_by_usage.iter().map(|agent| {
        (agent.agent_name.clone(), None, float(agent.total_requests), format.count(agent.total_requests))
    });
    ranked(entries.collect())
}
