//! HEALTH_CHECK: asks PostgreSQL, DynamoDB and the queue side by side, each within its own time limit. Checks that come
//! together share one answer.

use std::time::{Duration, Instant};

use painel_shared::{
    commands,
    config::{ConfigError, Vars},
    queue::{Depth, WorkQueue},
    stores::Stores,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    effects::{self, Success},
    handler::{Attempt, Handler, HandlerError, ResultMap},
};

/// How long a dependency may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// Above this a dependency is degraded.
const SLOW: Duration = Duration::from_millis(500);

/// What was found less than this ago is the answer of whoever waits for one.
const FRESH: Duration = Duration::from_secs(1);

/// The handler.
#[derive(Debug)]
pub struct HealthCheck {
    stores: Stores,
    /// Held while the dependencies are asked: who waits has that answer.
    latest: Mutex<Option<Report>>,
}

/// What was found.
#[derive(Clone, Debug)]
struct Report {
    at: Instant,
    database_up: bool,
    result: ResultMap,
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
        Ok(Self { stores: stores.clone(), latest: Mutex::default() })
    }

    async fn handle(&self, attempt: &Attempt, _: commands::HealthCheck) -> Result<Success, HandlerError> {
        let Report { database_up, result, .. } = self.report().await;
        self.record(attempt, result, database_up).await
    }
}

impl HealthCheck {
    async fn report(&self) -> Report {
        let mut latest = self.latest.lock().await;
        if let Some(report) = latest.as_ref().filter(|report| report.at.elapsed() < FRESH) {
            return report.clone();
        }
        latest.insert(self.ask_all().await).clone()
    }

    async fn ask_all(&self) -> Report {
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
        Report { at: Instant::now(), database_up, result: report.as_object().cloned().unwrap_or_default() }
    }

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
            match effects::record(&self.stores.db, attempt, result.clone()).await {
                Ok(success) => return Ok(success),
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
