//! Record, then publish: the only way new work enters.

use chrono::NaiveDate;
use futures::{StreamExt, stream};
use sqlx::PgPool;

use crate::{
    command::{Command, NewCommand},
    command_store::{Created, IdempotencyKey, Marker, StoreError},
    commands::{Fault, FieldError},
    events::{self, Event, Origin},
    ids::TenantId,
    job::Job,
    rollup::{self, Aggregation, RollupRun},
    stores::Stores,
    time::now,
};

/// How many rollup jobs are published at once.
const PUBLISHED_AT_ONCE: usize = 16;

/// A command that was accepted.
#[derive(Debug)]
pub struct Dispatched {
    /// As it is stored; where it was replayed, as it stands now.
    pub command: Command,
    /// Whether an earlier request with the same idempotency key made it.
    pub replayed: bool,
}

/// Why a command was not accepted. Nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// What it names does not exist, or is another tenant's.
    #[error("{0}")]
    NotFound(FieldError),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A field asks for what cannot be done.
    #[error("{0}")]
    Invalid(FieldError),
    /// PostgreSQL is down: no unaudited command is accepted.
    #[error("the relational store did not answer")]
    Database(#[from] sqlx::Error),
    /// DynamoDB is down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Accepts a validated command: looks up what it names, records the request in the audit log, stores it
/// and publishes its job. A job that the queue does not take in time is left to the reconciler.
///
/// An idempotency key is given to one command before anything is recorded. Whoever comes with the same key while that
/// command is being made, or after its making was cut short, makes the same one: so one request stands in the log.
pub async fn dispatch(
    stores: &Stores,
    new: NewCommand,
    key: Option<&IdempotencyKey>,
    origin: Origin,
) -> Result<Dispatched, DispatchError> {
    let known = match key {
        Some(key) => stores.commands.find_marker(key).await?,
        None => None,
    };
    if let Some(replayed) = replay(stores, key, known.as_ref()).await? {
        return Ok(replayed);
    }
    if let Some(missing) = stores.db.step(async || find_missing(&stores.db.service(), &new).await).await? {
        return Err(DispatchError::NotFound(missing));
    }
    let mut command = Command::accept(new, now());
    if let Some(key) = key {
        let marker = match known {
            Some(marker) => marker,
            None => stores.commands.reserve(key, command.key).await?,
        };
        if let Some(replayed) = replay(stores, Some(key), Some(&marker)).await? {
            return Ok(replayed);
        }
        command = command.under(marker.target());
    }
    let requested = Event::requested(&command, origin);
    record(stores, &requested).await?;
    match stores.commands.create(&command, key).await? {
        Created::New => {}
        Created::Twin(command) => return Ok(Dispatched { command: *command, replayed: true }),
    }
    publish(stores, &command).await;
    Ok(Dispatched { command, replayed: false })
}

/// Accepts an aggregation: checks that the tenant and every day's raw requests exist, records the request in the audit
/// log, stores a run a day and publishes its job. A day whose run is still open keeps that one.
pub async fn dispatch_aggregation(
    stores: &Stores,
    asked: &Aggregation,
    origin: Origin,
) -> Result<Vec<RollupRun>, DispatchError> {
    let days: Vec<NaiveDate> = asked.from.iter_days().take_while(|day| *day <= asked.to).collect();
    if let Some(wrong) = stores.db.step(async || find_wrong(&stores.db.service(), asked, &days).await).await? {
        return Err(DispatchError::Invalid(wrong));
    }
    let requested = Event::aggregation_requested(asked, origin);
    record(stores, &requested).await?;
    let request = || rollup::request(&stores.db, &days, asked.tenant_id, &asked.requested_by, asked.traceparent);
    let runs = stores.db.step(request).await?;
    stream::iter(&runs)
        .for_each_concurrent(PUBLISHED_AT_ONCE, |run| async {
            // What the queue does not take now, the reconciler publishes.
            publish_run(stores, run).await;
        })
        .await;
    Ok(runs)
}

/// Writes an event in a step of its own.
async fn record(stores: &Stores, event: &Event) -> Result<(), sqlx::Error> {
    stores.db.step(async || events::record(&mut *stores.db.service().acquire().await?, event).await).await
}

/// What is wrong with an aggregation: a tenant that is none, or a day without raw requests to count.
async fn find_wrong(
    db: &PgPool,
    asked: &Aggregation,
    days: &[NaiveDate],
) -> Result<Option<FieldError>, sqlx::Error> {
    let mut connection = db.acquire().await?;
    if let Some(tenant) = asked.tenant_id
        && !tenant_exists(&mut connection, tenant).await?
    {
        return Ok(Some(FieldError::new("tenant_id", Fault::NotFound { what: "tenant" })));
    }
    let held = rollup::days_held(&mut connection).await?;
    let missing = days.iter().find(|day| !held.contains(day));
    Ok(missing.map(|day| {
        let field = if *day == asked.to && *day != asked.from { "to" } else { "from" };
        FieldError::new(field, Fault::NotHeld { day: *day })
    }))
}

/// Publishes a job for `command`; whether the queue took it. What it does not take, the reconciler finds.
pub async fn publish(stores: &Stores, command: &Command) -> bool {
    match stores.queue.publish(&Job::for_command(command)).await {
        Ok(()) => true,
        Err(error) => {
            let queue = command.command_type.queue().name();
            metrics::counter!("painel_publish_failures_total", "queue" => queue).increment(1);
            tracing::warn!(command.id = %command.id(), queue, %error, "a job was not published; the reconciler will");
            false
        }
    }
}

/// Publishes a job for `run`; whether the queue took it. What it does not take, the reconciler finds.
pub async fn publish_run(stores: &Stores, run: &RollupRun) -> bool {
    let published = stores.queue.publish(&Job::for_run(run)).await;
    published
        .inspect_err(|error| {
            metrics::counter!("painel_publish_failures_total", "queue" => rollup::QUEUE.name()).increment(1);
            tracing::warn!(run.id = %run.id, %error, "a rollup job was not published; the reconciler will");
        })
        .is_ok()
}

/// The command that the marker's key has made, if it has been made yet.
async fn replay(
    stores: &Stores,
    key: Option<&IdempotencyKey>,
    marker: Option<&Marker>,
) -> Result<Option<Dispatched>, DispatchError> {
    let (Some(key), Some(marker)) = (key, marker) else { return Ok(None) };
    if !marker.is_of(key) {
        return Err(DispatchError::KeyReused);
    }
    let made = stores.commands.get_key(marker.target()).await?;
    Ok(made.map(|command| Dispatched { command, replayed: true }))
}

/// The field that names what does not exist, or is another tenant's.
async fn find_missing(db: &PgPool, new: &NewCommand) -> Result<Option<FieldError>, sqlx::Error> {
    let mut connection = db.acquire().await?;
    if let Some(tenant) = new.tenant_id
        && !tenant_exists(&mut connection, tenant).await?
    {
        return Ok(Some(FieldError::new("tenant_id", Fault::NotFound { what: "tenant" })));
    }
    new.command_type.find_missing(&new.parameters, new.tenant_id, &mut connection).await
}

async fn tenant_exists(db: &mut sqlx::PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants WHERE id = $1) AS "found!""#, tenant.uuid())
        .fetch_one(db)
        .await
}
