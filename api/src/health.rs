//! Whether this process lives, and whether it can work.

use std::time::Duration;

use actix_web::{HttpResponse, Responder, web::Data};
use painel_shared::queue::WorkQueue;
use serde::Serialize;
use utoipa::ToSchema;

use crate::panel::Panel;

/// How long a store may take to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    /// `ok`.
    status: &'static str,
}

/// Which stores answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, or `not_ready`.
    status: &'static str,
    /// `up` or `down`.
    postgresql: &'static str,
    /// `up` or `down`.
    dynamodb: &'static str,
    /// `up` or `down`.
    queue: &'static str,
}

/// `GET /health/live`: the process answers.
#[utoipa::path(get, path = "/health/live", tag = "health", security(()), responses((status = 200, body = Alive)))]
pub async fn live() -> impl Responder {
    HttpResponse::Ok().json(Alive { status: "ok" })
}

/// `GET /health/ready`: every store answers; otherwise 503, and which does not.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)),
)]
pub async fn ready(panel: Data<Panel>) -> impl Responder {
    let stores = &panel.stores;
    let any_queue = WorkQueue::all().next();
    let (postgresql, dynamodb, queue) = tokio::join!(
        up("postgresql", async { stores.db.ping(LIMIT).await.map_err(|e| e.to_string()) }),
        up("dynamodb", async { stores.commands.ping().await.map_err(|e| e.to_string()) }),
        up("queue", async {
            match any_queue {
                Some(queue) => stores.queue.depth(queue).await.map(|_| ()).map_err(|e| e.to_string()),
                None => Ok(()),
            }
        }),
    );
    let all_up = postgresql && dynamodb && queue;
    let body = Readiness {
        status: if all_up { "ready" } else { "not_ready" },
        postgresql: word(postgresql),
        dynamodb: word(dynamodb),
        queue: word(queue),
    };
    match all_up {
        true => HttpResponse::Ok().json(body),
        false => HttpResponse::ServiceUnavailable().insert_header(("Retry-After", "1")).json(body),
    }
}

async fn up(name: &str, ask: impl Future<Output = Result<(), String>>) -> bool {
    match tokio::time::timeout(LIMIT, ask).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(dependency = name, error, "not ready");
            false
        }
        Err(_) => {
            tracing::warn!(dependency = name, "not ready: no answer within the limit");
            false
        }
    }
}

fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}
