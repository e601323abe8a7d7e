//! Record, then publish: the only way new work enters.

use chrono::NaiveDate;
use futures::{StreamExt, stream};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    command::{Command, NewCommand},
    command_store::{Created, IdempotencyKey, StoreError},
    commands::{Fault, FieldError},
    db::Database,
    events::{self, Event, Origin},
    job::Job,
    rollup::{self, Aggregation, RollupRun},
    statement,
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
    /// The name of its tenant, where it has one and it could be had.
    pub tenant_name: Option<String>,
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
    let tenant_name = match check_named(stores, &new).await {
        Ok(name) => name,
        // What it named may be gone since it was accepted, or PostgreSQL be down: it was accepted all the same.
        Err(refused) => return replay_known(stores, key).await?.ok_or(refused),
    };
    let mut command = Command::accept(new, now());
    if let Some(key) = key {
        let marker = stores.commands.reserve(key, command.key).await?;
        if !marker.is_of(key) {
            return Err(DispatchError::KeyReused);
        }
        if marker.target() != command.key
            && let Some(made) = stores.commands.get_key(marker.target()).await?
        {
            return Ok(Dispatched { command: made, replayed: true, tenant_name });
        }
        command = command.under(marker.target());
    }
    events::record(&stores.db, &[Event::requested(&command, origin)]).await?;
    match stores.commands.create(&command, key).await? {
        Created::New => {}
        Created::Twin(command) => return Ok(Dispatched { command: *command, replayed: true, tenant_name }),
    }
    publish(stores, &command).await;
    Ok(Dispatched { command, replayed: false, tenant_name })
}

/// Accepts an aggregation: checks that the tenant and every day's raw requests exist, records the request in the audit
/// log, stores a run a day and publishes its job. A day whose run is still open keeps that one.
pub async fn dispatch_aggregation(
    stores: &Stores,
    asked: &Aggregation,
    origin: Origin,
) -> Result<Vec<RollupRun>, DispatchError> {
    let days: Vec<NaiveDate> = asked.from.iter_days().take_while(|day| *day <= asked.to).collect();
    if let Some(wrong) = stores.db.step(|| find_wrong(&stores.db, asked, &days)).await? {
        return Err(DispatchError::Invalid(wrong));
    }
    events::record(&stores.db, &[Event::aggregation_requested(asked, origin)]).await?;
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

/// What is wrong with an aggregation: a tenant that is none, or a day without raw requests to count.
async fn find_wrong(
    db: &Database,
    asked: &Aggregation,
    days: &[NaiveDate],
) -> Result<Option<FieldError>, sqlx::Error> {
    if let Some(tenant) = asked.tenant_id
        && db.ask_as_operator(&TENANT.bind([tenant.into()])).await?.is_empty()
    {
        return Ok(Some(no_tenant()));
    }
    let held = rollup::days_held(&mut *db.service().acquire().await?).await?;
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

/// The command that an earlier request with that key has made, if there was one.
async fn replay_known(stores: &Stores, key: Option<&IdempotencyKey>) -> Result<Option<Dispatched>, DispatchError> {
    let Some(key) = key else { return Ok(None) };
    let Some(marker) = stores.commands.find_marker(key).await? else { return Ok(None) };
    if !marker.is_of(key) {
        return Err(DispatchError::KeyReused);
    }
    let made = stores.commands.get_key(marker.target()).await?;
    Ok(made.map(|command| Dispatched { command, replayed: true, tenant_name: None }))
}

#[derive(FromRow)]
struct Named {
    name: String,
}

statement!(TENANT: Named = "SELECT name FROM tenants WHERE id = $1", Uuid::nil());

/// The tenant's name, where the command has one; an error where it, or what the parameters name, does not exist.
pub async fn check_named(stores: &Stores, new: &NewCommand) -> Result<Option<String>, DispatchError> {
    let Some(tenant) = new.tenant_id else { return Ok(None) };
    let unreadable = |wrong: Vec<FieldError>| {
        let first = wrong.into_iter().next();
        DispatchError::Invalid(first.unwrap_or_else(|| FieldError::new("parameters", Fault::Unknown)))
    };
    let reference = new.command_type.reference(&new.parameters, tenant).map_err(unreadable)?;
    let (known, missing) = reference.map(|reference| (reference.known, reference.missing)).unzip();
    let asked = (TENANT.bind([tenant.into()]), known);
    let (named, known) = stores.db.step(|| stores.db.ask_as_operator(&asked)).await?;
    let Some(Named { name }) = named.into_iter().next() else {
        return Err(DispatchError::NotFound(no_tenant()));
    };
    match missing.filter(|_| known.is_some_and(|rows| rows.is_empty())) {
        Some(missing) => Err(DispatchError::NotFound(missing)),
        None => Ok(Some(name)),
    }
}

fn no_tenant() -> FieldError {
    FieldError::new("tenant_id", Fault::NotFound { what: "tenant" })
}
