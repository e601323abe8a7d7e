//! The frame of every process: configuration, runtime, telemetry, signals, exit code.

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{ConfigError, TelemetryConfig, Vars},
    telemetry,
};

/// The exit code of a process that was configured wrongly.
const BAD_CONFIGURATION: u8 = 2;

/// Runs `body` until it ends by itself, or, after SIGTERM or SIGINT has cancelled its token, has drained.
pub fn run<F>(name: &'static str, body: impl FnOnce(Vars, CancellationToken) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    exit_code(name, start(name, body))
}

/// What to tell the caller of a process that ended so. An error is one line.
pub fn exit_code(name: &str, outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("{name}: {error:#}");
    match error.is::<ConfigError>() {
        true => ExitCode::from(BAD_CONFIGURATION),
        false => ExitCode::FAILURE,
    }
}

fn start<F>(name: &'static str, body: impl FnOnce(Vars, CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let vars = Vars::of_process();
    let telemetry = TelemetryConfig::from_vars(&vars)?;
    install_tls();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        telemetry::start(&telemetry)?;
        tracing::info!(process = name, version = env!("CARGO_PKG_VERSION"), "starting");
        let shutdown = CancellationToken::new();
        cancel_on_signal(shutdown.clone())?;
        let ended = body(vars, shutdown).await;
        tracing::info!(process = name, "stopped");
        ended
    })
}

/// Several TLS back ends can meet in one binary: this one is used.
pub fn install_tls() {
    // An error means that it has been installed before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Cancels `shutdown` on SIGTERM or SIGINT.
pub fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new work is taken");
        shutdown.cancel();
    });
    Ok(())
}
