//! `storm`: kills the real processes under load, and counts what was accepted against what was done.

use std::process::ExitCode;

use clap::Parser;
use painel_tests::storm::{self, Weather};

/// Starts the real processes with a broker and a database of their own, sends commands while it kills them,
/// and compares. The last line is the count, as JSON; exit 1 if anything was lost, stuck, doubled or
/// unaudited. The binaries must have been built: `cargo build --release`.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    weather: Weather,
}

fn main() -> ExitCode {
    let Arguments { weather } = Arguments::parse();
    let count = storm::run(weather);
    println!("{}", count.to_json(weather.seed));
    if count.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
