//! `/app/dashboard/integrations`: what the tenant has connected, and what must be done about it.

use std::rc::Rc;

use actix_web::HttpResponse;

use super::{
    account::Account,
    csv,
    list::ListPage,
    sections::Section,
    table::{Cell, Column, Empty, Pages, Row, Table},
    visit::Visit,
    words,
};
use crate::{
    problem::ApiError,
    tenant::integrations::{Integration, Integrations, IntegrationsQuery},
};

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let account = match Account::look(visit, Section::Integrations).await? {
        Ok(account) => account,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if csv::is_wanted(&account.visit) {
        let columns = columns(&account.visit);
        return csv::file(account.visit, "integrations", columns, file_part).await;
    }
    let visit = &account.visit;
    let found = visit.ask::<IntegrationsQuery>(visit.fields()).await;
    let page = ListPage::of(visit, Section::Integrations, Vec::new(), found, |here, found: &Integrations| {
        table(visit, &found.integrations, Empty::of(here, &visit.t().table, visit.t().integrations.none))
    });
    let pending = visit.t().integrations.pending;
    page?.with_intro(pending).with_file(visit).within(|_| account.shell).respond()
}

/// The list, for its file: it has one part.
async fn file_part(visit: Rc<Visit>, _: Option<String>) -> Result<csv::Part, ApiError> {
    let found = &visit.ask::<IntegrationsQuery>(visit.fields()).await?.value;
    Ok(csv::Part { rows: found.integrations.iter().map(|one| row(&visit, one)).collect(), next: None })
}

fn columns(visit: &Visit) -> Vec<Column> {
    let words = &visit.t().integrations;
    vec![
        Column::text(words.integration),
        Column::text(visit.t().states.state),
        Column::text(words.kind).wide(),
        Column::text(words.synced).wide(),
        Column::text(words.error).wide(),
        Column::text(words.fingerprint).wide(),
        Column::text(words.rotated).wide(),
    ]
}

/// Integrations, by name.
fn table(visit: &Visit, integrations: &[Integration], empty: Empty) -> Table {
    Table {
        caption: (visit.t().integrations.shown)(integrations.len()),
        columns: columns(visit),
        rows: integrations.iter().map(|integration| row(visit, integration)).collect(),
        pages: Pages::default(),
        empty,
    }
}

fn row(visit: &Visit, integration: &Integration) -> Row {
    let time = |at: Option<crate::time::Time>| Cell::time_or_dash(at.map(|at| visit.stamp(at)));
    Row {
        key: integration.id.to_string(),
        cells: vec![
            Cell::Text(integration.name.clone()),
            words::state(visit.t(), &integration.status),
            Cell::Text(integration.r#type.clone()),
            time(integration.last_sync_at),
            Cell::or_dash(integration.last_error.as_deref()),
            integration.token_fingerprint.clone().map_or_else(|| Cell::or_dash(None), Cell::Code),
            time(integration.token_rotated_at),
        ],
    }
}
