//! `/app/dashboard`: a tenant's account at a glance. Each part is found by itself, and may fail by itself.

use actix_web::HttpResponse;
use askama::Template;
use painel_shared::command::Status;

use super::{
    account::Account,
    chart::Chart,
    command_words::{self, status_chip},
    href::Href,
    kpi::Kpi,
    part::{Failure, part},
    sections::Section,
    shell::{self, Shell},
    support,
    table::{Cell, Column, Empty, Pages, Row, Table},
    usage,
    visit::Visit,
    words,
};
use crate::{
    problem::ApiError,
    tenant::{
        incidents::IncidentsQuery,
        integrations::{Integrations, IntegrationsQuery},
        me::{Me, MeQuery},
        operations::{Operation, Operations, OperationsQuery},
        usage::{Summary, Usage, UsageQuery},
    },
};

/// How many of the operators' deeds are shown.
const OPERATIONS: &str = "5";

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    shell: Shell,
    me: Result<Vec<Kpi>, Failure>,
    usage: Result<(Vec<Kpi>, Chart), Failure>,
    /// The integrations that do not work.
    broken: Result<Table, Failure>,
    incidents: Result<Table, Failure>,
    /// What the operators did to it.
    operations: Result<Table, Failure>,
    usage_href: String,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Dashboard).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let visit = &account.visit;
    let t = visit.t();
    let (me, usage, integrations, incidents, operations) = tokio::join!(
        visit.ask_of_tenant::<MeQuery>(&[]),
        visit.ask_of_tenant::<UsageQuery>(&[]),
        visit.ask_of_tenant::<IntegrationsQuery>(&[]),
        visit.ask_of_tenant::<IncidentsQuery>(&[]),
        visit.ask_of_tenant::<OperationsQuery>(&[("limit", OPERATIONS)]),
    );
    let here = Href::to(Section::Dashboard.path());
    let page = DashboardPage {
        me: part(t, me)?.map(|me| account_kpis(visit, &me.value)),
        usage: part(t, usage)?
            .map(|usage| (usage_kpis(visit, &usage.value), usage::requests(visit, &usage.value.daily_data))),
        broken: part(t, integrations)?.map(|found| broken(visit, &account, &found.value)),
        incidents: part(t, incidents)?.map(|found| {
            let open: Vec<_> = found.value.incidents.iter().filter(|one| one.resolved_at.is_none()).collect();
            support::incidents(visit, &here, &open)
        }),
        operations: part(t, operations)?.map(|found| operations_table(visit, &found.value)),
        usage_href: account.href(Section::Usage).to_string(),
        shell: account.shell,
    };
    shell::page(&page)
}

fn account_kpis(visit: &Visit, me: &Me) -> Vec<Kpi> {
    let (t, format) = (visit.t(), visit.format());
    let of = |name, used: i64, most: i64| {
        Kpi::new(name, format.count(used)).noted((t.dashboard.of)(&format.count(most))).of(used, most)
    };
    vec![
        Kpi::new(t.tenants.plan, words::plan(t, &me.plan)).noted(words::segment(t, &me.segment)),
        of(t.tenants.agents, me.usage.active_agents, me.limits.max_agents.into()),
        of(t.dashboard.users, me.usage.active_users, me.limits.max_users.into()),
        of(t.dashboard.requests_this_month, me.usage.requests_this_month, me.limits.max_requests_per_month),
    ]
}

fn usage_kpis(visit: &Visit, usage: &Usage) -> Vec<Kpi> {
    let (of, before) = (&usage.summary, usage.previous.as_ref());
    let p95 = |summary: &Summary| summary.percentiles.p95_response_time_ms;
    vec![
        usage::requests_kpi(visit, visit.t().tenants.requests, of, before),
        usage::success_kpi(visit, of, before),
        usage::p95_kpi(visit, p95(of), before.and_then(p95)),
    ]
}

/// What the operators did, and what came of it; neither who it was nor why.
fn operations_table(visit: &Visit, found: &Operations) -> Table {
    let t = visit.t();
    Table {
        caption: t.dashboard.operations.to_owned(),
        columns: vec![
            Column::text(t.operations.command),
            Column::text(t.operations.status),
            Column::text(t.operations.created_at).wide(),
            Column::text(t.audit.outcome).wide(),
        ],
        rows: found.operations.iter().map(|operation| operation_row(visit, operation)).collect(),
        pages: Pages::default(),
        empty: Empty { text: t.dashboard.no_operations.to_owned(), link: None },
    }
}

fn operation_row(visit: &Visit, operation: &Operation) -> Row {
    let t = visit.t();
    let words = t.commands.iter().find(|words| words.command_type == operation.command_type.name());
    let outcome = words.and_then(|words| match operation.status {
        Status::Success => Some(words.done),
        Status::Error => Some(words.not_done),
        Status::Pending | Status::Running => None,
    });
    Row {
        key: operation.operation_id.to_string(),
        cells: vec![
            Cell::Text(command_words::name(t, operation.command_type.name())),
            Cell::Chip(status_chip(t, operation.status)),
            Cell::Time(visit.stamp(operation.created_at)),
            Cell::or_dash(outcome),
        ],
    }
}

fn broken(visit: &Visit, account: &Account, found: &Integrations) -> Table {
    let words = &visit.t().integrations;
    let integrations = account.href(Section::Integrations).to_string();
    let broken = found.integrations.iter().filter(|one| matches!(one.status.as_str(), "error" | "pending"));
    Table {
        caption: words.broken.to_owned(),
        columns: vec![
            Column::text(words.integration),
            Column::text(visit.t().states.state),
            Column::text(words.error).wide(),
        ],
        rows: broken
            .map(|one| Row {
                key: one.id.to_string(),
                cells: vec![
                    Cell::Link { text: one.name.clone(), href: integrations.clone() },
                    words::state(visit.t(), &one.status),
                    Cell::or_dash(one.last_error.as_deref()),
                ],
            })
            .collect(),
        pages: Pages::default(),
        empty: Empty { text: words.none_broken.to_owned(), link: None },
    }
}
