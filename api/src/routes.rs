//! Every URL on one page.

use actix_web::web::{ServiceConfig, get, post, resource};

use crate::{health, internal::commands};

/// Adds every route.
pub fn configure(app: &mut ServiceConfig) {
    app.service(resource("/health/live").route(get().to(health::live)))
        .service(resource("/health/ready").route(get().to(health::ready)))
        .service(
            resource("/internal/operations/commands")
                .route(post().to(commands::create))
                .route(get().to(commands::list)),
        )
        .service(resource("/internal/operations/commands/{command_id}").route(get().to(commands::show)));
}
