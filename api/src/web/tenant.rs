//! `/app/company/tenants/{id}?tab=`: one customer, a tab at a time.

use actix_web::HttpResponse;
use askama::Template;

use super::{
    audit,
    format::cnpj,
    href::Href,
    kpi::Kpi,
    operations,
    part::{Failure, part},
    sections::Section,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    texts::Texts,
    visit::Visit,
    words,
};
use crate::{
    internal::{
        commands::CommandsQuery,
        events::EventsQuery,
        tenant::{TenantPage as Tenant, TenantQuery},
        tenant_agents::{TenantAgents, TenantAgentsQuery},
    },
    problem::ApiError,
    query::QueryFields,
};

#[derive(Template)]
#[template(path = "tenant.html")]
struct TenantPage {
    shell: Shell,
    chip: Cell,
    facts: Vec<(&'static str, String)>,
    account_href: String,
    tabs: Vec<TabLink>,
    kpis: Vec<Kpi>,
    table: Option<Result<Table, Failure>>,
}

struct TabLink {
    label: &'static str,
    href: String,
    is_current: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Overview,
    Users,
    Agents,
    Integrations,
    Incidents,
    Commands,
    Audit,
}

impl Tab {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Overview, "overview"),
        (Self::Users, "users"),
        (Self::Agents, "agents"),
        (Self::Integrations, "integrations"),
        (Self::Incidents, "incidents"),
        (Self::Commands, "commands"),
        (Self::Audit, "audit"),
    ];

    fn of(here: &Href) -> Self {
        let named = here.get("tab").unwrap_or_default();
        Self::ALL.into_iter().find(|(_, name)| *name == named).map_or(Self::Overview, |(tab, _)| tab)
    }

    fn label(self, t: &'static Texts) -> &'static str {
        match self {
            Self::Overview => t.menu.dashboard,
            Self::Users => t.dashboard.users,
            Self::Agents => t.menu.agents,
            Self::Integrations => t.menu.integrations,
            Self::Incidents => t.support.incidents,
            Self::Commands => t.menu.operations,
            Self::Audit => t.menu.audit,
        }
    }
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let (t, here) = (visit.t(), Href::of(&visit.request));
    let tab = Tab::of(&here);
    let found = visit.ask::<TenantQuery>(QueryFields::of_pairs([])).await?;
    let tenant = &found.value;
    let id = tenant.tenant.id.to_string();
    let tabs = Tab::ALL.into_iter().map(|(one, name)| TabLink {
        label: one.label(t),
        href: Href::to(here.path()).with("tab", name).to_string(),
        is_current: one == tab,
    });
    let page = TenantPage {
        shell: Shell::of(&visit, Section::Tenants).titled(tenant.tenant.name.clone()),
        chip: words::state(t, &tenant.tenant.status),
        facts: facts(&visit, tenant),
        account_href: Href::to(Section::Dashboard.path()).with("tenant_id", &id).to_string(),
        tabs: tabs.collect(),
        kpis: if tab == Tab::Overview { kpis(&visit, tenant) } else { Vec::new() },
        table: table(&visit, tab, &here, tenant, &id).await?,
    };
    shell::page(&page)
}

fn facts(visit: &Visit, tenant: &Tenant) -> Vec<(&'static str, String)> {
    let (t, format, of) = (visit.t(), visit.format(), &tenant.tenant);
    vec![
        (t.tenants.cnpj, cnpj(&of.cnpj)),
        (t.tenants.plan, words::plan(t, &of.plan)),
        (t.tenants.segment, words::segment(t, &of.segment)),
        (t.tenants.mrr, format.money(of.mrr_estimate.cents())),
        (t.tenants.since, format.time(of.created_at.instant())),
    ]
}

fn kpis(visit: &Visit, tenant: &Tenant) -> Vec<Kpi> {
    let (t, format, of) = (visit.t(), visit.format(), &tenant.usage_summary);
    vec![
        Kpi::new(t.tenants.requests_of_week, format.count(of.requests_last_7_days)),
        Kpi::new(t.tenants.requests, format.count(of.requests_last_30_days)),
        Kpi::share(visit, of.success_rate_last_30_days, of.requests_last_30_days, None),
    ]
}

async fn table(
    visit: &Visit,
    tab: Tab,
    here: &Href,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<Result<Table, Failure>>, ApiError> {
    let t = visit.t();
    let cursor = here.get("cursor").map(|cursor| ("cursor", cursor));
    let of_tenant = || QueryFields::of_pairs([("tenant_id", id)].into_iter().chain(cursor));
    Ok(match tab {
        Tab::Overview => None,
        Tab::Users => Some(Ok(users(visit, tenant))),
        Tab::Integrations => Some(Ok(integrations(visit, tenant))),
        Tab::Incidents => Some(Ok(incidents(visit, tenant))),
        Tab::Agents => {
            let found = visit.ask::<TenantAgentsQuery>(QueryFields::of_pairs(cursor)).await;
            Some(part(t, found)?.map(|found| agents(visit, here, &found.value, id)))
        }
        Tab::Commands => {
            let found = visit.ask::<CommandsQuery>(of_tenant()).await;
            Some(part(t, found)?.map(|found| operations::table(visit, here, &found.value)))
        }
        Tab::Audit => {
            let found = visit.ask::<EventsQuery>(of_tenant()).await;
            Some(part(t, found)?.map(|found| {
                let pages = Pages::by_cursor(here, found.value.next_cursor.as_deref());
                audit::table(visit, here, &found.value.events, pages)
            }))
        }
    })
}

fn users(visit: &Visit, tenant: &Tenant) -> Table {
    let t = visit.t();
    Table {
        caption: t.dashboard.users.to_owned(),
        columns: vec![
            Column::text(t.tenants.name),
            Column::text(t.tenants.email).wide(),
            Column::text(t.tenants.role),
            Column::text(t.tenants.last_login).wide(),
        ],
        rows: tenant
            .users
            .iter()
            .map(|user| Row {
                key: user.id.to_string(),
                cells: vec![
                    Cell::Text(user.full_name.clone()),
                    Cell::Text(user.email.clone()),
                    Cell::Text(words::role(t, &user.role)),
                    Cell::time_or_dash(user.last_login_at.map(|at| visit.stamp(at))),
                ],
            })
            .collect(),
        pages: Pages::default(),
        empty: Empty { text: t.tenants.no_users.to_owned(), link: None },
    }
}

fn agents(visit: &Visit, here: &Href, found: &TenantAgents, tenant: &str) -> Table {
    let t = visit.t();
    let restart = |agent: &str| {
        let form = Href::to(format!("{}/new", Section::Operations.path()));
        form.with("command_type", "RESTART_AGENT").with("tenant_id", tenant).with("agent_id", agent).to_string()
    };
    Table {
        caption: (t.agents.shown)(found.agents.len()),
        columns: vec![
            Column::text(t.agents.agent),
            Column::text(t.states.state),
            Column::text(t.agents.since).wide(),
            Column::number(t.agents.all_requests).wide(),
            Column::number(t.agents.success).wide(),
            Column::text(t.agents.last_request).wide(),
            Column::text(t.operations.command),
        ],
        rows: found
            .agents
            .iter()
            .map(|agent| Row {
                key: agent.id.to_string(),
                cells: vec![
                    Cell::Text(agent.name.clone()),
                    words::state(t, &agent.status),
                    Cell::Time(visit.stamp(agent.activated_at)),
                    Cell::Count(agent.usage_stats.total_requests),
                    Cell::Percent(agent.usage_stats.success_rate),
                    Cell::time_or_dash(agent.usage_stats.last_request_at.map(|at| visit.stamp(at))),
                    Cell::Link { text: t.agents.restart.to_owned(), href: restart(&agent.id.to_string()) },
                ],
            })
            .collect(),
        pages: Pages::by_cursor(here, found.next_cursor.as_deref()),
        empty: Empty { text: t.agents.none.to_owned(), link: None },
    }
}

fn integrations(visit: &Visit, tenant: &Tenant) -> Table {
    let (t, words) = (visit.t(), &visit.t().integrations);
    let reset = |integration: &str| {
        let form = Href::to(format!("{}/new", Section::Operations.path()));
        let form = form.with("command_type", "RESET_TOKEN").with("tenant_id", &tenant.tenant.id.to_string());
        form.with("integration_id", integration).to_string()
    };
    Table {
        caption: (words.shown)(tenant.integrations.len()),
        columns: vec![
            Column::text(words.integration),
            Column::text(t.states.state),
            Column::text(words.kind).wide(),
            Column::text(words.synced).wide(),
            Column::text(t.operations.command),
        ],
        rows: tenant
            .integrations
            .iter()
            .map(|one| Row {
                key: one.id.to_string(),
                cells: vec![
                    Cell::Text(one.name.clone()),
                    super::words::state(t, &one.status),
                    Cell::Text(one.r#type.clone()),
                    Cell::time_or_dash(one.last_sync_at.map(|at| visit.stamp(at))),
                    Cell::Link { text: words.reset.to_owned(), href: reset(&one.id.to_string()) },
                ],
            })
            .collect(),
        pages: Pages::default(),
        empty: Empty { text: words.none.to_owned(), link: None },
    }
}

fn incidents(visit: &Visit, tenant: &Tenant) -> Table {
    let t = visit.t();
    Table {
        caption: t.support.incidents.to_owned(),
        columns: vec![
            Column::text(t.support.incident),
            Column::text(t.support.severity),
            Column::text(t.support.began).wide(),
        ],
        rows: tenant
            .recent_incidents
            .iter()
            .map(|incident| Row {
                key: incident.id.to_string(),
                cells: vec![
                    Cell::Text(incident.title.clone()),
                    words::severity(t, &incident.severity),
                    Cell::Time(visit.stamp(incident.created_at)),
                ],
            })
            .collect(),
        pages: Pages::default(),
        empty: Empty { text: t.support.none.to_owned(), link: None },
    }
}
