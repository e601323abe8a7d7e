//! Record, then publish: the only way new work enters.

use chrono::NaiveDate;
use futures::{StreamExt, stream};
use sqlx::PgPool;

use crate::{
    command::{Command, NewCommand},
    command_store::{Created, IdempotencyKey, Marker, StoreError},
    commands::FieldError,
    db,
    events::{self, Event, Origin},
    ids::TenantId,
    job::Job,
    rollup::{self, RollupRun},
    stores::Stores,
    time::now,
    trace::TraceContext,
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
    #[error("{} {}", .0.field, .0.message)]
    NotFound(FieldError),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A field asks for what cannot be done.
    #[error("{} {}", .0.field, .0.message)]
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
pub async fn dispatch(
    stores: &Stores,
    new: NewCommand,
    key: Option<&IdempotencyKey>,
    origin: Origin,
) -> Result<Dispatched, DispatchError> {
    if let Some(key) = key
        && let Some(marker) = stores.commands.find_marker(key).await?
    {
        return replay(stores, key, &marker).await;
    }
    if let Some(missing) = db::within_limit(find_missing(stores.db.service(), &new)).await? {
        return Err(DispatchError::NotFound(missing));
    }
    let command = Command::accept(new, now());
    let requested = Event::requested(&command, origin);
    db::within_limit(async { events::record(&mut *stores.db.service().acquire().await?, &requested).await })
        .await?;
    if let (Created::Twin(marker), Some(key)) = (stores.commands.create(&command, key).await?, key) {
        return replay(stores, key, &marker).await;
    }
    publish(stores, &command).await;
    Ok(Dispatched { command, replayed: false })
}

/// Days that are to be rolled up, already checked for their order and number.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// Only this tenant.
    pub tenant_id: Option<TenantId>,
    /// The `sub` of who asks.
    pub requested_by: String,
    /// Their address, where it is known.
    pub requested_by_email: Option<String>,
    /// The trace of the request.
    pub traceparent: TraceContext,
}

/// Accepts an aggregation: checks that the tenant and every day's raw requests exist, records the request in the audit
/// log, stores a run a day and publishes its job. A day whose run is still open keeps that one.
pub async fn dispatch_aggregation(
    stores: &Stores,
    asked: &Aggregation,
    origin: Origin,
) -> Result<Vec<RollupRun>, DispatchError> {
    let db = stores.db.service();
    let days: Vec<NaiveDate> = asked.from.iter_days().take_while(|day| *day <= asked.to).collect();
    if let Some(wrong) = db::within_limit(find_wrong(db, asked, &days)).await? {
        return Err(DispatchError::Invalid(wrong));
    }
    let requested = Event::aggregation_requested(asked, origin);
    db::within_limit(async { events::record(&mut *db.acquire().await?, &requested).await }).await?;
    let requests = rollup::request(db, &days, asked.tenant_id, &asked.requested_by, asked.traceparent);
    let runs = db::within_limit(requests).await?;
    stream::iter(&runs)
        .for_each_concurrent(PUBLISHED_AT_ONCE, |run| async {
            // What the queue does not take now, the reconciler publishes.
            rollup::publish(stores, run).await;
        })
        .await;
    Ok(runs)
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
        return Ok(Some(FieldError::new("tenant_id", "names no tenant")));
    }
    let held = rollup::days_held(&mut connection).await?;
    let missing = days.iter().find(|day| !held.contains(day));
    Ok(missing.map(|day| {
        let field = if *day == asked.to && *day != asked.from { "to" } else { "from" };
        FieldError::new(
            field,
            format!("must not reach {day}: its raw requests are not held, so it cannot be counted"),
        )
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

async fn replay(stores: &Stores, key: &IdempotencyKey, marker: &Marker) -> Result<Dispatched, DispatchError> {
    if !marker.is_of(key) {
        return Err(DispatchError::KeyReused);
    }
    let gone = || StoreError::Unavailable("the command of an idempotency key is gone".to_owned());
    let command = stores.commands.get_key(marker.target()).await?.ok_or_else(gone)?;
    Ok(Dispatched { command, replayed: true })
}

/// The field that names what does not exist, or is another tenant's.
async fn find_missing(db: &PgPool, new: &NewCommand) -> Result<Option<FieldError>, sqlx::Error> {
    let mut connection = db.acquire().await?;
    if let Some(tenant) = new.tenant_id
        && !tenant_exists(&mut connection, tenant).await?
    {
        return Ok(Some(FieldError::new("tenant_id", "names no tenant")));
    }
    new.command_type.find_missing(&new.parameters, new.tenant_id, &mut connection).await
}

async fn tenant_exists(db: &mut sqlx::PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants WHERE id = $1) AS "found!""#, tenant.uuid())
        .fetch_one(db)
        .await
}
