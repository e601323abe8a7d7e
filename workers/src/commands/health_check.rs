//! HEALTH_CHECK: asks PostgreSQL, DynamoDB and the queue side by side, each within its own time limit.

use std::time::{Duration, Instant};

use painel_shared::{
    commands,
    config::{ConfigError, Vars},
    queue::{Depth, WorkQueue},
    stores::Stores,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    effects::{self, Begun, Success},
    handler::{Attempt, Handler, HandlerError, ResultMap},
};

/// How long a dependency may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// Above this a dependency is degraded.
const SLOW: Duration = Duration::from_millis(500);

/// The handler.
#[derive(Debug)]
pub struct HealthCheck {
    stores: Stores,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Healthy,
    Degraded,
    Down,
}

#[derive(Debug, Serialize)]
struct Dependency {
    status: Health,
    latency_ms: u64,
    detail: Value,
}

impl Handler for HealthCheck {
    type Parameters = commands::HealthCheck;

    fn build(_: &Vars, stores: &Stores) -> Result<Self, ConfigError> {
        Ok(Self { stores: stores.clone() })
    }

    async fn handle(&self, attempt: &Attempt, _: commands::HealthCheck) -> Result<Success, HandlerError> {
        let (postgresql, dynamodb, queue) = tokio::join!(
            check(async { self.stores.db.ping(LIMIT).await.map(|()| Value::Null) }),
            check(async { self.stores.commands.ping().await.map(|()| Value::Null) }),
            check(self.depths()),
        );
        let status = postgresql.status.max(dynamodb.status).max(queue.status);
        let database_up = postgresql.status != Health::Down;
        let report = json!({
            "status": status,
            "dependencies": {"postgresql": postgresql, "dynamodb": dynamodb, "queue": queue},
        });
        let result = report.as_object().cloned().unwrap_or_default();
        self.record(attempt, result, database_up).await
    }
}

impl HealthCheck {
    /// The state of every queue, by name.
    async fn depths(&self) -> Result<Value, painel_shared::queue::QueueError> {
        let asked = WorkQueue::all().map(|queue| async move {
            Ok::<(String, Depth), _>((queue.name().to_owned(), self.stores.queue.depth(queue).await?))
        });
        let depths = futures::future::try_join_all(asked).await?;
        Ok(depths.into_iter().map(|(name, depth)| (name, json!(depth))).collect::<ResultMap>().into())
    }

    /// A check has an outcome also when PostgreSQL is what is down: its event is then written later.
    async fn record(
        &self,
        attempt: &Attempt,
        result: ResultMap,
        database_up: bool,
    ) -> Result<Success, HandlerError> {
        if database_up {
            match effects::begin(&self.stores.db, attempt).await {
                Ok(Begun::Done(success)) => return Ok(success),
                Ok(Begun::Fresh(effect)) => match effect.commit(attempt, result.clone()).await {
                    Ok(success) => return Ok(success),
                    Err(error) => tracing::warn!(cause = error.cause(), "the check was not recorded"),
                },
                Err(error) => tracing::warn!(cause = error.cause(), "the check was not recorded"),
            }
        }
        Success::owing_event(result)
    }
}

/// Times one dependency. What it said went wrong is logged; the report says only that it did.
async fn check<E: std::fmt::Display>(ask: impl Future<Output = Result<Value, E>>) -> Dependency {
    let began = Instant::now();
    let answer = tokio::time::timeout(LIMIT, ask).await;
    let took = began.elapsed();
    let (status, detail) = match answer {
        Ok(Ok(detail)) if took <= SLOW => (Health::Healthy, detail),
        Ok(Ok(detail)) => (Health::Degraded, detail),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a dependency is down");
            (Health::Down, json!("it answered with an error"))
        }
        Err(_) => (Health::Down, json!(format!("no answer within {} ms", LIMIT.as_millis()))),
    };
    Dependency { status, latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), detail }
}
