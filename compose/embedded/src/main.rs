//! The program `painel`.

use std::process::ExitCode;

fn main() -> ExitCode {
    painel::cli::main()
}
