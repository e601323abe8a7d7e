//! The catalogue of command types. A type is one file here and one line in [`CATALOGUE`].

mod fields;
mod health_check;
mod reprocess_queue;
mod reset_token;
mod restart_agent;

use std::{fmt, time::Duration};

use futures::future::BoxFuture;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use sqlx::PgConnection;

pub use self::{
    fields::{Field, FieldError, Fields},
    health_check::HealthCheck,
    reprocess_queue::ReprocessQueue,
    reset_token::ResetToken,
    restart_agent::RestartAgent,
};
use crate::{ids::TenantId, queue::WorkQueue, retry::RetryPolicy};

/// Every command type there is.
pub static CATALOGUE: &[Definition] = &[
    Definition::of::<HealthCheck>(),
    Definition::of::<ResetToken>(),
    Definition::of::<RestartAgent>(),
    Definition::of::<ReprocessQueue>(),
];

/// Whether a command belongs to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantRule {
    /// It always names one.
    Required,
    /// It may name one.
    Optional,
    /// It is platform-wide and names none.
    Absent,
}

/// The parameters of one command type, and all that the product must know of that type.
pub trait Parameters: Serialize + Sized + Send + Sync + 'static {
    /// The type's name on the wire, such as `HEALTH_CHECK`.
    const NAME: &'static str;
    /// The queue that carries its jobs.
    const QUEUE: WorkQueue;
    /// Whether it belongs to a tenant.
    const TENANT: TenantRule;
    /// The longest time one attempt may take.
    const TIMEOUT: Duration;
    /// How it is retried.
    const RETRY: RetryPolicy = RetryPolicy::DEFAULT;

    /// Reads the parameters, leaving in `fields` what is wrong with them.
    fn read(fields: &mut Fields) -> Option<Self>;

    /// Whether what the parameters name exists and is that tenant's: `Some` names the field that does not.
    fn find_missing(
        &self,
        _tenant: Option<TenantId>,
        _db: &mut PgConnection,
    ) -> impl Future<Output = Result<Option<FieldError>, sqlx::Error>> + Send {
        async { Ok(None) }
    }
}

/// What the product knows of a command type.
pub struct Definition {
    name: &'static str,
    queue: WorkQueue,
    tenant: TenantRule,
    timeout: Duration,
    retry: RetryPolicy,
    normalise: Normalise,
    find_missing: FindMissing,
}

type Normalise = fn(Map<String, Value>) -> Result<Map<String, Value>, Vec<FieldError>>;
type FindMissing = for<'a> fn(
    &'a Map<String, Value>,
    Option<TenantId>,
    &'a mut PgConnection,
) -> BoxFuture<'a, Result<Option<FieldError>, sqlx::Error>>;

impl Definition {
    const fn of<P: Parameters>() -> Self {
        Self {
            name: P::NAME,
            queue: P::QUEUE,
            tenant: P::TENANT,
            timeout: P::TIMEOUT,
            retry: P::RETRY,
            normalise: |raw| read::<P>(raw).map(|parameters| to_map(&parameters)),
            find_missing: |stored, tenant, db| {
                Box::pin(async move {
                    match read::<P>(stored.clone()) {
                        Ok(parameters) => parameters.find_missing(tenant, db).await,
                        Err(errors) => Ok(errors.into_iter().next()),
                    }
                })
            },
        }
    }
}

/// Reads parameters from their JSON object; every field that is wrong is named.
pub fn read<P: Parameters>(raw: Map<String, Value>) -> Result<P, Vec<FieldError>> {
    let mut fields = Fields::of("parameters", raw);
    let parameters = P::read(&mut fields);
    fields.finish(parameters)
}

fn to_map<P: Parameters>(parameters: &P) -> Map<String, Value> {
    match serde_json::to_value(parameters) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// One of the types of the [`CATALOGUE`].
#[derive(Clone, Copy)]
pub struct CommandType(&'static Definition);

impl CommandType {
    /// The type whose parameters are `P`.
    pub const fn of<P: Parameters>() -> Self {
        Self(const { &Definition::of::<P>() })
    }

    /// The type of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|known| known.name() == name)
    }

    /// Every type, in the order of the catalogue.
    pub fn all() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().map(Self)
    }

    /// The names of all types as one text, for messages.
    pub fn names() -> String {
        Self::all().map(Self::name).collect::<Vec<_>>().join(", ")
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The queue that carries its jobs.
    pub fn queue(self) -> WorkQueue {
        self.0.queue
    }

    /// Whether it belongs to a tenant.
    pub fn tenant_rule(self) -> TenantRule {
        self.0.tenant
    }

    /// The longest time one attempt may take.
    pub fn timeout(self) -> Duration {
        self.0.timeout
    }

    /// How it is retried.
    pub fn retry(self) -> RetryPolicy {
        self.0.retry
    }

    /// Checks raw parameters and returns them with their defaults filled in.
    pub fn normalise(self, raw: Map<String, Value>) -> Result<Map<String, Value>, Vec<FieldError>> {
        (self.0.normalise)(raw)
    }

    /// Whether what normalised parameters name exists and is that tenant's.
    pub async fn find_missing(
        self,
        parameters: &Map<String, Value>,
        tenant: Option<TenantId>,
        db: &mut PgConnection,
    ) -> Result<Option<FieldError>, sqlx::Error> {
        (self.0.find_missing)(parameters, tenant, db).await
    }
}

impl PartialEq for CommandType {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for CommandType {}

impl fmt::Debug for CommandType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for CommandType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for CommandType {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for CommandType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Self::named(&name).ok_or_else(|| D::Error::custom(format!("unknown command type {name}")))
    }
}
