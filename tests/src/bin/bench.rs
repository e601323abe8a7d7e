//! `bench`: measures the product beside what it is compared with, in one run.

use clap::{Parser, Subcommand};
use painel_tests::bench::{ingest, night, noisy, overload, panel, pipeline, reads, reconcile, rollup, transport};

/// Measurements, each with services of its own. Build with --release.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The rollup of a day, beside the plain design and the bare reading of its requests.
    Rollup(rollup::Load),
    /// The longest wait of an insert while the night's work is done, beside the plain way of doing it.
    Night(night::Load),
    /// Every read, computed anew where there are a thousand tenants.
    Reads(reads::Load),
    /// What it costs to store the raw requests, beside plain tables.
    Ingest(ingest::Load),
    /// The way of a command through the real processes, beside its floor.
    Pipeline(pipeline::Load),
    /// The panel's budgets: bytes, requests, times of the server, and when something is seen in a browser.
    Panel(panel::Load),
    /// The transport by itself, beside the bare client.
    Transport(transport::Load),
    /// The API at one, two and five times what it can do.
    Overload(overload::Load),
    /// What others notice of a tenant that asks for twenty times what it may.
    Noisy(noisy::Load),
    /// One round of the reconciler over many open commands, of which few are due.
    Reconcile(reconcile::Load),
}

fn main() {
    painel_shared::process::install_tls();
    match Arguments::parse().what {
        What::Rollup(load) => rollup::run(load),
        What::Night(load) => night::run(load),
        What::Reads(load) => reads::run(load),
        What::Ingest(load) => ingest::run(load),
        What::Pipeline(load) => pipeline::run(load),
        What::Panel(load) => panel::run(load),
        What::Transport(load) => transport::run(load),
        What::Overload(load) => overload::run(load),
        What::Noisy(load) => noisy::run(load),
        What::Reconcile(load) => reconcile::run(load),
    }
}
