//! The frame of a worker's process.

use std::process::ExitCode;

use painel_shared::{config::Vars, process, stores::Stores};
use tokio_util::sync::CancellationToken;

use crate::{
    command_work::Executor,
    config::{ReconcilerConfig, RollupConfig, WorkerConfig},
    handler::{AnyHandler, Handler},
    rollup::RollupExecutor,
    runner::Runner,
    scheduler::{Nightly, Reconciler},
};

/// The process of a worker for one command type.
pub fn worker<H: Handler>(name: &'static str) -> ExitCode {
    process::run(name, |vars, shutdown| run_worker::<H>(vars, shutdown))
}

/// The process of the worker for rollups.
pub fn rollup_worker() -> ExitCode {
    process::run("painel-metrics-rollup-worker", run_rollup_worker)
}

/// The scheduler's process.
pub fn scheduler() -> ExitCode {
    process::run("painel-scheduler", run_scheduler)
}

async fn run_worker<H: Handler>(vars: Vars, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = WorkerConfig::from_vars(&vars)?;
    let stores = Stores::from_vars(&vars).await?;
    let handler = AnyHandler::build::<H>(&vars, &stores)?;
    let executor = Executor::new(stores.clone(), handler);
    Runner::new(stores.queue, executor, config).run(shutdown).await;
    Ok(())
}

async fn run_rollup_worker(vars: Vars, shutdown: CancellationToken) -> anyhow::Result<()> {
    // A rollup has both cores to itself.
    let config = WorkerConfig { concurrency: 1, ..WorkerConfig::from_vars(&vars)? };
    let stores = Stores::from_vars(&vars).await?;
    Runner::new(stores.queue.clone(), RollupExecutor::new(stores), config).run(shutdown).await;
    Ok(())
}

async fn run_scheduler(vars: Vars, shutdown: CancellationToken) -> anyhow::Result<()> {
    let (reconciler, rollups) = (ReconcilerConfig::from_vars(&vars)?, RollupConfig::from_vars(&vars)?);
    let stores = Stores::from_vars(&vars).await?;
    let (reconciler, nightly) = (Reconciler::new(stores.clone(), reconciler), Nightly::new(stores, rollups));
    tokio::join!(reconciler.run(shutdown.clone()), nightly.run(shutdown));
    Ok(())
}
