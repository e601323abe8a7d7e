//! Whether this process lives, and whether it can work.

use std::time::Duration;

use actix_web::{HttpResponse, Responder, web::Data};
use painel_shared::{db, queue::WorkQueue, stores::Stores};
use serde_json::{Value, json};

/// How long a store may take to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// `GET /health/live`: the process answers.
pub async fn live() -> impl Responder {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// `GET /health/ready`: every store answers; otherwise 503, and which does not.
pub async fn ready(stores: Data<Stores>) -> impl Responder {
    let any_queue = WorkQueue::all().next();
    let (postgresql, dynamodb, queue) = tokio::join!(
        up("postgresql", async { db::ping(&stores.db, LIMIT).await.map_err(|e| e.to_string()) }),
        up("dynamodb", async { stores.commands.ping().await.map_err(|e| e.to_string()) }),
        up("queue", async {
            match any_queue {
                Some(queue) => stores.queue.depth(queue).await.map(|_| ()).map_err(|e| e.to_string()),
                None => Ok(()),
            }
        }),
    );
    let all_up = postgresql && dynamodb && queue;
    let body = json!({
        "status": if all_up { "ready" } else { "not_ready" },
        "postgresql": word(postgresql),
        "dynamodb": word(dynamodb),
        "queue": word(queue),
    });
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

fn word(up: bool) -> Value {
    json!(if up { "up" } else { "down" })
}
