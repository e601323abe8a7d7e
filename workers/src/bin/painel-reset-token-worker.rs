//! The process `painel-reset-token-worker`.

use std::process::ExitCode;

use painel_workers::{commands::ResetToken, process};

fn main() -> ExitCode {
    process::worker::<ResetToken>("painel-reset-token-worker")
}
