//! The process `painel-reprocess-queue-worker`.

use std::process::ExitCode;

use painel_workers::{commands::ReprocessQueue, process};

fn main() -> ExitCode {
    process::worker::<ReprocessQueue>("painel-reprocess-queue-worker")
}
