//! The process `painel-scheduler`.

use std::process::ExitCode;

fn main() -> ExitCode {
    painel_workers::process::scheduler()
}
