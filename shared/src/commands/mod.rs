//! The catalogue of command types. A type is one file here and one line in [`CATALOGUE`].

mod fields;
mod health_check;
mod impact;
mod queues;
mod reprocess_queue;
mod reset_token;
mod restart_agent;

use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

pub use self::{
    fields::{Fault, Field, FieldError, Fields},
    health_check::HealthCheck,
    impact::{DeadLetters, Impact, Outcome, Target},
    reprocess_queue::ReprocessQueue,
    reset_token::ResetToken,
    restart_agent::RestartAgent,
};
use crate::{
    db::{Bound, Known},
    ids::TenantId,
    retry::RetryPolicy,
    work_queue::WorkQueue,
};

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
    /// The parameter that names what it touches; none where it touches nothing.
    const TARGET: Option<&'static str>;
    /// What the tenant is told that it touched.
    const OUTCOME: Outcome;

    /// Reads the parameters, leaving in `fields` what is wrong with them.
    fn read(fields: &mut Fields) -> Option<Self>;

    /// What the parameters name, which must exist and be that tenant's.
    fn reference(&self, _tenant: TenantId) -> Option<Reference> {
        None
    }

    /// What it would touch, of that tenant where it belongs to one.
    fn impact(&self, _tenant: Option<TenantId>) -> Impact {
        Impact::default()
    }
}

/// What a command names.
#[derive(Debug)]
pub struct Reference {
    /// Finds it.
    pub known: Bound<Known>,
    /// What is wrong where it is not found.
    pub missing: FieldError,
}

/// How many names of unknown types are kept.
const UNKNOWN_AT_MOST: usize = 100;

/// What stands for the parameters of a type that this build does not know: they cannot be read.
#[derive(Serialize)]
struct Unknown {}

impl Parameters for Unknown {
    const NAME: &'static str = "";
    const QUEUE: WorkQueue = WorkQueue::new("unknown");
    const TENANT: TenantRule = TenantRule::Optional;
    const TIMEOUT: Duration = Duration::from_secs(1);
    const TARGET: Option<&'static str> = None;
    const OUTCOME: Outcome = Outcome { done: "It was done.", not_done: "It was not done." };

    fn read(fields: &mut Fields) -> Option<Self> {
        fields.refuse("command_type", Fault::Unknown);
        None
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
    target: Option<&'static str>,
    outcome: Outcome,
    reference: ReferenceOf,
    impact: ImpactOf,
}

type Normalise = fn(Map<String, Value>) -> Result<Map<String, Value>, Vec<FieldError>>;
type ImpactOf = fn(&Map<String, Value>, Option<TenantId>) -> Result<Impact, Vec<FieldError>>;
type ReferenceOf = fn(&Map<String, Value>, TenantId) -> Result<Option<Reference>, Vec<FieldError>>;

impl Definition {
    /// That of a command type with these parameters.
    pub const fn of<P: Parameters>() -> Self {
        Self {
            name: P::NAME,
            queue: P::QUEUE,
            tenant: P::TENANT,
            timeout: P::TIMEOUT,
            retry: P::RETRY,
            target: P::TARGET,
            outcome: P::OUTCOME,
            normalise: |raw| read::<P>(raw).map(|parameters| to_map(&parameters)),
            reference: |stored, tenant| Ok(read::<P>(stored.clone())?.reference(tenant)),
            impact: |stored, tenant| Ok(read::<P>(stored.clone())?.impact(tenant)),
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

/// One of the types of the [`CATALOGUE`]; or, of a stored command, one that this build does not know.
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

    /// The type of a stored command, by its name. One that another build knows is shown under its name, and that is all.
    fn stored(name: String) -> Option<Self> {
        static UNKNOWN: Mutex<BTreeMap<String, CommandType>> = Mutex::new(BTreeMap::new());
        if let Some(known) = Self::named(&name) {
            return Some(known);
        }
        let mut unknown = UNKNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() >= UNKNOWN_AT_MOST && !unknown.contains_key(&name) {
            return None;
        }
        Some(*unknown.entry(name).or_insert_with_key(|name| {
            // A name is kept once, for as long as the process lives.
            let definition = Definition { name: name.clone().leak(), ..Definition::of::<Unknown>() };
            Self(Box::leak(Box::new(definition)))
        }))
    }

    /// Whether this build knows it: what it does not know it neither publishes nor executes.
    pub fn is_known(self) -> bool {
        Self::named(self.name()).is_some()
    }

    /// Every type, in the order of the catalogue.
    pub fn all() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().map(Self)
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

    /// The parameter that names what it touches.
    pub fn target(self) -> Option<&'static str> {
        self.0.target
    }

    /// What the tenant is told that it touched.
    pub fn outcome(self) -> Outcome {
        self.0.outcome
    }

    /// What a command with these normalised parameters would touch.
    pub fn impact(
        self,
        parameters: &Map<String, Value>,
        tenant: Option<TenantId>,
    ) -> Result<Impact, Vec<FieldError>> {
        (self.0.impact)(parameters, tenant)
    }

    /// What normalised parameters name, which must exist and be that tenant's.
    pub fn reference(
        self,
        parameters: &Map<String, Value>,
        tenant: TenantId,
    ) -> Result<Option<Reference>, Vec<FieldError>> {
        (self.0.reference)(parameters, tenant)
    }
}

impl PartialEq for CommandType {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for CommandType {}

impl Hash for CommandType {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.name().hash(hasher);
    }
}

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
        let unknown = || D::Error::custom("one of too many unknown command types");
        Self::stored(name).ok_or_else(unknown)
    }
}
