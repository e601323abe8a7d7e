//! `planted`: breaks one safeguard after the other, and shows that the storm sees each.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use painel_shared::planted::Bug;
use painel_tests::storm::{
    Transport,
    planted::{exists_on, look_for, run_process},
};

/// For each planted bug two storms of 300 commands, one with it and one without; exit 1 if
/// a bug was not seen, or something was seen where there was none.
#[derive(Parser)]
struct Arguments {
    /// Only this bug, such as `no-effect-key`.
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// What carries the jobs. Some bugs are RabbitMQ's alone.
    #[arg(long, value_enum, default_value = "rabbitmq")]
    transport: Transport,
    /// What the order of things is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Runs one of the product's processes with the bug that PLANTED_BUG names.
    #[command(hide = true)]
    Process { binary: String },
}

fn main() -> ExitCode {
    let Arguments { bug, transport, seed, action } = Arguments::parse();
    if let Some(Action::Process { binary }) = action {
        return run_process(&binary);
    }
    let bugs = bug.map_or(Bug::ALL.to_vec(), |bug| vec![bug]);
    let there = bugs.into_iter().filter(|bug| exists_on(*bug, transport));
    let findings: Vec<_> = there.map(|bug| look_for(bug, transport, seed)).collect();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.iter().all(|finding| finding.is_caught()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bug(name: &str) -> Result<Bug, String> {
    let names = || Bug::ALL.map(Bug::name).join(", ");
    Bug::ALL.into_iter().find(|bug| bug.name() == name).ok_or_else(|| format!("must be one of {}", names()))
}
