//! `bench`: measures the product beside what it is compared with, in one run.

use clap::{Parser, Subcommand};
use painel_tests::bench::rollup;

/// Measurements, each with a PostgreSQL of its own. Build with --release.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The rollup of a day, beside the plain design and the bare reading of its requests.
    Rollup(rollup::Load),
}

fn main() {
    painel_shared::process::install_tls();
    let Arguments { what: What::Rollup(load) } = Arguments::parse();
    rollup::run(load);
}
