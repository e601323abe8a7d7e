//! The frame of a worker's process.

use std::process::ExitCode;

use painel_shared::{config::Vars, process, stores::Stores};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{ReconcilerConfig, WorkerConfig},
    execute::Executor,
    handler::{AnyHandler, Handler},
    runner::Runner,
    scheduler::Reconciler,
};

/// The process of a worker for one command type.
pub fn worker<H: Handler>(name: &'static str) -> ExitCode {
    process::run(name, |vars, shutdown| run_worker::<H>(vars, shutdown))
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

async fn run_scheduler(vars: Vars, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = ReconcilerConfig::from_vars(&vars)?;
    let stores = Stores::from_vars(&vars).await?;
    Reconciler::new(stores, config).run(shutdown).await;
    Ok(())
}
