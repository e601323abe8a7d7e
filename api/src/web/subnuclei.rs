//! `/app/dashboard/fibonacci`: the tenant's agents by segment, with what each segment did.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use askama::Template;

use super::{
    account::Account,
    part::{Failure, age, part},
    sections::Section,
    shell::{self, Shell},
    table::{Cell, Column, Empty, Pages, Row, Table},
    usage::float,
    visit::Visit,
    words,
};
use crate::{
    figures::average,
    problem::ApiError,
    tenant::agents::{Agent, AgentsQuery},
};

#[derive(Template)]
#[template(path = "subnuclei.html")]
struct SubnucleiPage {
    shell: Shell,
    found: Result<(String, Vec<Subnucleus>), Failure>,
}

/// The agents of a segment.
struct Subnucleus {
    name: String,
    /// How many of how many are active, and what they did.
    summary: String,
    agents: Table,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Subnuclei).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let visit = &account.visit;
    let found = part(visit.t(), visit.ask_of_tenant::<AgentsQuery>(&[("status", "all")]).await)?;
    let found = found.map(|found| {
        let mut by_segment: BTreeMap<&str, Vec<&Agent>> = BTreeMap::new();
        for agent in &found.value.agents {
            by_segment.entry(&agent.segment).or_default().push(agent);
        }
        let groups = by_segment.into_iter().map(|(segment, agents)| subnucleus(visit, segment, &agents));
        (age(visit, &found), groups.collect())
    });
    let page = SubnucleiPage { shell: account.shell, found };
    shell::page_with(&page, page.found.as_ref().err())
}

fn subnucleus(visit: &Visit, segment: &str, agents: &[&Agent]) -> Subnucleus {
    let (t, format) = (visit.t(), visit.format());
    let active = agents.iter().filter(|agent| agent.status == "active").count();
    let total: i64 = agents.iter().map(|agent| agent.usage_last_30_days.total_requests).sum();
    // Weighted by requests: an agent that was asked once does not count as one that was asked a thousand times.
    let weighted =
        agents.iter().map(|agent| &agent.usage_last_30_days).map(|of| of.success_rate * float(of.total_requests));
    let rate = average(weighted.sum(), total);
    let summary = (t.subnuclei.summary)(active, agents.len(), &format.count(total), &format.percent(rate));
    Subnucleus {
        name: words::segment(t, segment),
        summary,
        agents: Table {
            caption: words::segment(t, segment),
            columns: vec![
                Column::text(t.agents.agent),
                Column::text(t.states.state),
                Column::number(t.agents.requests).wide(),
                Column::number(t.agents.success).wide(),
            ],
            rows: agents
                .iter()
                .map(|agent| Row {
                    key: agent.id.to_string(),
                    cells: vec![
                        Cell::Text(agent.name.clone()),
                        words::state(t, &agent.status),
                        Cell::Count(agent.usage_last_30_days.total_requests),
                        Cell::Percent(agent.usage_last_30_days.success_rate),
                    ],
                })
                .collect(),
            pages: Pages::default(),
            empty: Empty { text: t.agents.none.to_owned(), link: None },
        },
    }
}
