//! The process `painel-api`.

use std::process::ExitCode;

use painel_api::server::serve;
use painel_shared::process;

fn main() -> ExitCode {
    process::run("painel-api", serve)
}
