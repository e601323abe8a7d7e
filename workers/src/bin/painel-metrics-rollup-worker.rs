//! The process `painel-metrics-rollup-worker`.

use std::process::ExitCode;

use painel_workers::process;

fn main() -> ExitCode {
    process::rollup_worker()
}
