//! Whether this process lives, and whether it can work.

use std::time::Duration;

use actix_web::{HttpResponse, Responder, http::header::RETRY_AFTER, web::Data};
use moka::future::Cache;
use painel_shared::{queue::WorkQueue, stores::Stores};
use serde::Serialize;
use utoipa::ToSchema;

/// How long a store may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// How long what was found is told again.
const KEPT: Duration = Duration::from_secs(1);
const READY: &str = "ready";

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    /// `ok`.
    status: &'static str,
}

/// Whether it can work, in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ready`, or `not_ready`.
    status: &'static str,
}

/// Which stores answer.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, or `not_ready`.
    status: &'static str,
    /// `up` or `down`.
    postgresql: &'static str,
    /// `up` or `down`.
    dynamodb: &'static str,
    /// `up` or `down`. While the queue alone is down, commands are accepted, and published later.
    queue: &'static str,
}

/// The readiness of this process. What was found is kept for a moment, and concurrent questions share it: whoever asks
/// often asks the stores no more often.
#[derive(Clone, Debug)]
pub struct Checks {
    stores: Stores,
    found: Cache<(), Readiness>,
}

impl Checks {
    /// Checks of these stores.
    pub fn new(stores: Stores) -> Self {
        Self { stores, found: Cache::builder().max_capacity(1).time_to_live(KEPT).build() }
    }

    async fn readiness(&self) -> Readiness {
        self.found.get_with((), self.ask()).await
    }

    async fn ask(&self) -> Readiness {
        let stores = &self.stores;
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
        Readiness {
            status: if postgresql && dynamodb { READY } else { "not_ready" },
            postgresql: word(postgresql),
            dynamodb: word(dynamodb),
            queue: word(queue),
        }
    }
}

/// `GET /health`: whether it can work.
#[utoipa::path(
    get, path = "/health", tag = "health", security(()),
    responses((status = 200, body = Health), (status = 503, body = Health)),
)]
pub async fn brief(checks: Data<Checks>) -> impl Responder {
    let status = checks.readiness().await.status;
    answer(status, Health { status })
}

/// `GET /health/live`: the process answers.
#[utoipa::path(get, path = "/health/live", tag = "health", security(()), responses((status = 200, body = Alive)))]
pub async fn live() -> impl Responder {
    HttpResponse::Ok().json(Alive { status: "ok" })
}

/// `GET /health/ready`: the stores that reads and commands need answer; otherwise 503. And which do not.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)),
)]
pub async fn ready(checks: Data<Checks>) -> impl Responder {
    let readiness = checks.readiness().await;
    answer(readiness.status, readiness)
}

fn answer(status: &str, body: impl Serialize) -> HttpResponse {
    match status == READY {
        true => HttpResponse::Ok().json(body),
        false => HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "1")).json(body),
    }
}

async fn up(name: &str, ask: impl Future<Output = Result<(), String>>) -> bool {
    match tokio::time::timeout(LIMIT, ask).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(dependency = name, error, "it does not answer");
            false
        }
        Err(_) => {
            tracing::warn!(dependency = name, "no answer within the limit");
            false
        }
    }
}

fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}
