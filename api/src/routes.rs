//! Every URL on one page.

use actix_web::{
    Error, HttpResponse, Resource, Route,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    guard,
    http::header,
    middleware::from_fn,
    web::{self, ServiceConfig, post, put},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{health, internal, observe::limit_time, openapi, profile, tenant, web as panel};

/// Adds every route.
pub fn configure(app: &mut ServiceConfig) {
    app.service(resource("/health").route(get().to(health::brief)))
        .service(resource("/health/live").route(get().to(health::live)))
        .service(resource("/health/ready").route(get().to(health::ready)))
        .service(resource("/tenant/me").route(get().to(tenant::me::show)))
        .service(resource("/tenant/agents").route(get().to(tenant::agents::list)))
        .service(resource("/tenant/integrations").route(get().to(tenant::integrations::list)))
        .service(resource("/tenant/usage").route(get().to(tenant::usage::show)))
        .service(resource("/tenant/incidents").route(get().to(tenant::incidents::list)))
        .service(resource("/profile").route(get().to(profile::show)))
        .service(resource("/profile/preferences").route(put().to(profile::save)))
        .service(resource("/tenant/operations").route(get().to(tenant::operations::list)))
        .service(
            resource("/tenant/tickets")
                .route(post().to(tenant::tickets::open))
                .route(get().to(tenant::tickets::list)),
        )
        .service(resource("/tenant/tickets/{ticket_id}").route(get().to(tenant::tickets::show)))
        .service(resource("/tenant/tickets/{ticket_id}/messages").route(post().to(tenant::tickets::go_on)))
        .service(resource("/internal/tenants").route(get().to(internal::tenants::list)))
        .service(resource("/internal/tenants/{id}").route(get().to(internal::tenant::show)))
        .service(resource("/internal/tenants/{id}/agents").route(get().to(internal::tenant_agents::list)))
        .service(resource("/internal/usage/overview").route(get().to(internal::usage::overview)))
        .service(resource("/internal/billing/overview").route(get().to(internal::billing::overview)))
        .service(resource("/internal/agents").route(get().to(internal::agents::list)))
        .service(resource("/internal/integrations").route(get().to(internal::integrations::list)))
        .service(resource("/internal/incidents").route(get().to(internal::incidents::list)))
        .service(resource("/internal/tickets").route(get().to(internal::tickets::list)))
        .service(resource("/internal/tickets/{ticket_id}").route(get().to(internal::tickets::show)))
        .service(resource("/internal/tickets/{ticket_id}/messages").route(post().to(internal::tickets::answer)))
        .service(
            resource("/internal/operations/commands")
                .route(post().to(internal::commands::create))
                .route(get().to(internal::commands::list)),
        )
        .service(resource("/internal/operations/commands/preview").route(post().to(internal::preview::create)))
        .service(resource("/internal/operations/commands/{command_id}").route(get().to(internal::commands::show)))
        .service(
            resource("/internal/operations/aggregations")
                .route(post().to(internal::aggregations::create))
                .route(get().to(internal::aggregations::list)),
        )
        .service(resource("/internal/operations/queues").route(get().to(internal::queues::list)))
        .service(resource("/internal/operations/events").route(get().to(internal::events::list)))
        .configure(panel::configure)
        .service(resource("/openapi.json").route(get().to(description)))
        .service(web::redirect("/docs", "/docs/"))
        .service(SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json")));
}

/// A path whose answers take no longer than they may.
pub(crate) fn resource(
    path: &str,
) -> Resource<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    web::resource(path).wrap(from_fn(limit_time))
}

/// A read: whoever asks for its head alone gets that.
pub(crate) fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// `GET /openapi.json`: the description of all of it.
async fn description() -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .content_type("application/json")
        .body(openapi::json())
}
