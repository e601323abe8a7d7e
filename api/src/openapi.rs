//! The description of the API, from the code, and the page that shows it.

use std::{collections::BTreeMap, sync::LazyLock};

use utoipa::{
    IntoResponses, Modify, OpenApi, ToSchema,
    openapi::{
        RefOr, Response,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{
    filters::StatusFilter, health, internal, period::Period, problem::ProblemView, profile, tenant, tickets,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Painel",
        description = "The operations panel of a company that rents AI agents to business customers. Errors are \
                       application/problem+json (RFC 9457).",
    ),
    paths(
        tenant::me::show,
        tenant::agents::list,
        tenant::integrations::list,
        tenant::usage::show,
        tenant::incidents::list,
        tenant::operations::list,
        tenant::tickets::list,
        tenant::tickets::show,
        tenant::tickets::open,
        tenant::tickets::go_on,
        internal::tenants::list,
        internal::tenant::show,
        internal::tenant_agents::list,
        internal::usage::overview,
        internal::billing::overview,
        internal::agents::list,
        internal::integrations::list,
        internal::incidents::list,
        internal::tickets::list,
        internal::tickets::show,
        internal::tickets::answer,
        internal::commands::create,
        internal::preview::create,
        internal::commands::list,
        internal::commands::show,
        internal::aggregations::create,
        internal::aggregations::list,
        internal::events::list,
        internal::queues::list,
        profile::show,
        profile::save,
        health::brief,
        health::live,
        health::ready,
    ),
    components(schemas(
        ProblemView,
        StatusFilter,
        Period,
        internal::tenants::SortBy,
        internal::tenants::SortOrder,
        internal::agents::CatalogueSortBy,
        tickets::TicketStatusFilter,
        internal::integrations::IntegrationStatus,
        internal::incidents::IncidentState,
        internal::incidents::Severity,
        internal::command_request::CommandTypeName,
        internal::commands::CommandStatusFilter,
        internal::aggregations::RunStateFilter,
    )),
    tags(
        (name = "tenant", description = "A tenant's look at their own account."),
        (name = "internal", description = "The operators' look at all tenants, and their commands."),
        (name = "profile", description = "Whoever asks, and how they read the panel."),
        (name = "health", description = "Whether the process lives and can work."),
    ),
    security(("bearer" = [])),
    modifiers(&Bearer, &OperationIds),
)]
struct Description;

/// The whole description as JSON, made once: anybody may ask for it.
pub fn json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().unwrap_or_default());
    &JSON
}

/// Gives each operation a name of its own, by which clients call it: `getTenantAgents`.
struct OperationIds;

impl Modify for OperationIds {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut description.paths.paths {
            for (method, operation) in [("get", &mut item.get), ("post", &mut item.post), ("put", &mut item.put)] {
                if let Some(operation) = operation {
                    operation.operation_id = Some(operation_id(method, path));
                }
            }
        }
    }
}

/// `get` and `/tenants/{id}/agents` are `getTenantsByIdAgents`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(['/', '_']).filter(|word| !word.is_empty()).map(|word| {
        let (by, word) = word.strip_prefix('{').map_or(("", word), |word| ("By", word));
        let mut letters = word.trim_end_matches('}').chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().fold(by.to_owned(), |text, letter| format!("{text}{letter}{}", letters.as_str()))
    });
    words.fold(method.to_owned(), |id, word| id + &word)
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("A token of the user pool (AWS Cognito), RS256."));
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme.build()));
    }
}

/// What every read may be answered instead of what was asked for.
pub struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[304, 400, 401, 403, 404, 429, 500, 503])
    }
}

/// What the acceptance of work may be answered instead.
pub struct WriteProblems;

impl IntoResponses for WriteProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[400, 401, 403, 404, 413, 415, 422, 429, 500, 503])
    }
}

fn problems(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    statuses.iter().map(|status| (status.to_string(), problem(*status).into())).collect()
}

fn problem(status: u16) -> Response {
    use utoipa::openapi::{Content, Ref, ResponseBuilder};
    let builder = ResponseBuilder::new().description(match status {
        304 => "The answer that If-None-Match names is still the answer.",
        400 => "Fields of the request are wrong; each is named.",
        401 => "No token, or a bad one.",
        403 => "A good token in the wrong place.",
        404 => "It does not exist, or does not for this caller.",
        413 => "The body is larger than 64 KiB.",
        415 => "The body is not application/json.",
        422 => "The Idempotency-Key was used for another request.",
        429 => "The caller or their tenant asks too often; Retry-After says how long to wait.",
        500 => "The request failed.",
        _ => "A store does not answer, or the service is busy; Retry-After says how long to wait.",
    });
    match status {
        304 => builder.build(),
        _ => {
            let schema = Ref::from_schema_name(ProblemView::name());
            builder.content("application/problem+json", Content::new(Some(schema))).build()
        }
    }
}
