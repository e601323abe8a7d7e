//! The process `painel-restart-agent-worker`.

use std::process::ExitCode;

use painel_workers::{commands::RestartAgent, process};

fn main() -> ExitCode {
    process::worker::<RestartAgent>("painel-restart-agent-worker")
}
