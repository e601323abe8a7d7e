//! The process `painel-health-check-worker`.

use std::process::ExitCode;

use painel_workers::{commands::HealthCheck, process};

fn main() -> ExitCode {
    process::worker::<HealthCheck>("painel-health-check-worker")
}
