//! The panel that people look at. A page is a file here, a template, and a line below; it asks what its endpoint asks.
//!
//! - `visit`: a page being asked for; `present`, `same_origin`: what holds for all of them.
//! - `login`, `login_site`, `session`: who somebody is; `config`, `panel`: where and by whom they are signed in.
//! - `shell`, `sections`: what stands around a page; `texts`, `format`, `preferences`: in which words.
//! - `list`, `part`, `table`, `csv`, `filter`, `chart`, `kpi`, `href`: what pages are made of; `assets`: and beside HTML.

mod account;
mod agents;
mod aggregations;
mod assets;
mod audit;
mod billing;
mod catalogue;
mod chart;
mod command;
mod command_words;
mod company;
mod config;
mod confirm;
mod connections;
mod csv;
mod dashboard;
mod dead;
mod draft;
mod filled;
mod filter;
pub mod format;
mod href;
mod integrations;
mod kpi;
mod list;
mod login;
mod login_site;
mod operations;
mod panel;
mod part;
mod posted;
pub(crate) mod preferences;
mod present;
mod same_origin;
mod sections;
mod send;
mod session;
mod settings;
mod shell;
mod subnuclei;
mod support;
mod table;
mod tenant;
mod tenants;
pub mod texts;
mod ticket;
mod tickets;
mod usage;
mod visit;
mod words;

use actix_web::{
    HttpResponse,
    http::header,
    middleware::{Compress, from_fn},
    web::{self, ServiceConfig, post},
};

pub use self::{config::PanelConfig, panel::Panel};
use self::{sections::Section, visit::Visit};
use crate::{
    problem::ApiError,
    routes::{get, resource},
};

/// Adds every page.
pub fn configure(app: &mut ServiceConfig) {
    app.service(
        web::scope("/app")
            .wrap(from_fn(same_origin::check))
            .wrap(from_fn(present::present))
            .wrap(Compress::default())
            .service(resource("").route(get().to(home)))
            .service(resource("/login").route(get().to(login::depart)))
            .service(resource("/callback").route(get().to(login::arrive)))
            .service(resource("/logout").route(post().to(login::leave)).route(get().to(home)))
            .service(resource("/signed-out").route(get().to(login::left)))
            .service(resource("/assets/{hash}/{name}").route(get().to(assets::show)))
            .service(resource("/palette").route(get().to(tenants::palette)))
            .service(resource("/alive").route(get().to(alive)))
            .service(resource("/dashboard").route(get().to(dashboard::show)))
            .service(resource("/dashboard/agents").route(get().to(agents::show)))
            .service(resource("/dashboard/fibonacci").route(get().to(subnuclei::show)))
            .service(resource("/dashboard/integrations").route(get().to(integrations::show)))
            .service(resource("/dashboard/usage").route(get().to(usage::show)))
            .service(resource("/dashboard/support").route(get().to(support::show)).route(post().to(support::open)))
            .service(
                resource("/dashboard/support/{ticket_id}")
                    .route(get().to(ticket::show_own))
                    .route(post().to(ticket::go_on)),
            )
            .service(resource("/settings").route(get().to(settings::show)).route(post().to(settings::save)))
            .service(resource("/company").route(get().to(company::show)))
            .service(resource("/company/tenants").route(get().to(tenants::show)))
            .service(resource("/company/tenants/{id}").route(get().to(tenant::show)))
            .service(resource("/company/agents").route(get().to(catalogue::show)))
            .service(resource("/company/integrations").route(get().to(connections::show)))
            .service(resource("/company/operations").route(get().to(operations::show)).route(post().to(send::send)))
            .service(resource("/company/operations/new").route(get().to(send::begin)))
            .service(
                resource("/company/operations/preview")
                    .route(post().to(send::preview))
                    .route(get().to(send::begin_anew)),
            )
            .service(resource("/company/operations/dead").route(get().to(dead::show)))
            .service(
                resource("/company/operations/aggregations")
                    .route(get().to(aggregations::show))
                    .route(post().to(aggregations::ask)),
            )
            .service(resource("/company/operations/{command_id}").route(get().to(command::show)))
            .service(resource("/company/tickets").route(get().to(tickets::show)))
            .service(
                resource("/company/tickets/{ticket_id}")
                    .route(get().to(ticket::show))
                    .route(post().to(ticket::answer)),
            )
            .service(resource("/company/billing").route(get().to(billing::show)))
            .service(resource("/company/audit").route(get().to(audit::show)))
            .default_service(web::to(nowhere)),
    );
}

/// `GET /app`: operators' and tenants' first page.
async fn home(visit: Visit) -> HttpResponse {
    let first = if visit.caller.is_internal() { Section::Company } else { Section::Dashboard };
    see_other(first.path())
}

/// `GET /app/alive`: keeps the session of somebody who says that they are still there; when it ends then.
async fn alive(visit: Visit) -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"ends_at": visit.viewer.ends_at}))
}

fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

/// There is no such page: said within the menu of whoever is signed in.
async fn nowhere(_: Visit) -> Result<HttpResponse, ApiError> {
    Err(ApiError::NotFound(None))
}
