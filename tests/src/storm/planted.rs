//! Storms over processes in which one safeguard is broken, beside the same storms over whole ones.
//!
//! A storm that finds nothing shows nothing, unless it finds what is there: each bug must show in the
//! count that it is about, and the same weather without the bug must leave that count at zero.

use std::{fmt, process::ExitCode, time::Duration};

use painel_shared::{planted::Bug, process};
use painel_workers::{commands, process as workers};

use super::{Count, LEASE, Transport, Weather, run};
use crate::fleet::Programs;

/// A bug, and what came of it.
#[derive(Debug)]
pub struct Finding {
    bug: Bug,
    what: &'static str,
    with: usize,
    without: usize,
}

impl Finding {
    /// Whether the storm saw the bug, and nothing where there was none.
    pub fn is_caught(&self) -> bool {
        self.with > 0 && self.without == 0
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_caught() { "caught" } else { "NOT CAUGHT" };
        let Self { bug, what, with, without } = self;
        write!(f, "{:<20} {what:<15} {with:>5} with it, {without} without: {verdict}", bug.name())
    }
}

/// Whether there is such a bug on that transport: SQS has neither confirms nor acknowledgements of its own, and gives back
/// by itself what is not settled.
pub fn exists_on(bug: Bug, transport: Transport) -> bool {
    transport == Transport::Rabbitmq || !matches!(bug, Bug::AcknowledgeFirst | Bug::NoConfirm | Bug::DropsUnsettled)
}

/// Lets a storm pass over processes with that bug, and over processes without.
pub fn look_for(bug: Bug, transport: Transport, seed: u64) -> Finding {
    let over = |programs| {
        let count = run(Weather { programs, seed, ..weather(bug, transport) });
        eprintln!(
            "{}: {}",
            if programs == Programs::Planted(None) { "whole" } else { bug.name() },
            count.to_json(seed)
        );
        count
    };
    let (what, count) = evidence(bug);
    let with = count(&over(Programs::Planted(Some(bug))));
    let without = count(&over(Programs::Planted(None)));
    Finding { bug, what, with, without }
}

/// The weather that brings a bug to light. Where the reconciler would make good what it does, there is none.
fn weather(bug: Bug, transport: Transport) -> Weather {
    let calm = Weather {
        transport,
        commands: 300,
        worker_kills: 0,
        worker_stops: 0,
        api_kills: 0,
        broker_restarts: 0,
        broker_blocks: 0,
        postgres_restarts: 0,
        purges: 0,
        duplicates: 0,
        seed: 1,
        concurrency: 4,
        scheduler: true,
        calm: Duration::from_secs(60),
        visibility: LEASE,
        programs: Programs::Planted(None),
    };
    let unattended = Weather { scheduler: false, calm: Duration::from_secs(20), ..calm };
    match bug {
        Bug::AcknowledgeFirst => Weather { worker_kills: 12, concurrency: 1, ..unattended },
        // On SQS a worker has no jobs ahead, so that a blow finds it at work less often.
        Bug::NoFencingCheck if transport == Transport::Sqs => Weather { worker_stops: 40, commands: 600, ..calm },
        Bug::NoFencingCheck => Weather { worker_stops: 12, ..calm },
        Bug::NoClaimCondition => Weather { purges: 6, duplicates: 40, ..calm },
        Bug::NoEffectKey => Weather { worker_kills: 12, ..calm },
        Bug::NoReconciler => Weather { worker_kills: 12, purges: 4, ..calm },
        Bug::NoConfirm => Weather { broker_restarts: 3, ..unattended },
        // SQS delivers again what a killed worker held; if so before its lease has passed, that copy is done with.
        Bug::ReconcilerSkipsRunning if transport == Transport::Sqs => {
            Weather { worker_kills: 20, visibility: Duration::from_secs(1), ..calm }
        }
        // A purge takes the copies that the broker would deliver again.
        Bug::ReconcilerSkipsRunning => Weather { worker_kills: 12, purges: 6, ..calm },
        Bug::DropsUnsettled => Weather { broker_blocks: 1, ..calm },
    }
}

/// The count in which a bug must show.
fn evidence(bug: Bug) -> (&'static str, fn(&Count) -> usize) {
    match bug {
        Bug::AcknowledgeFirst | Bug::NoConfirm => ("jobs_lost", |count| count.jobs_lost),
        Bug::NoFencingCheck | Bug::NoClaimCondition => ("unlawful", |count| count.unlawful),
        Bug::NoEffectKey => ("double_effects", |count| count.double_effects),
        Bug::NoReconciler | Bug::ReconcilerSkipsRunning | Bug::DropsUnsettled => ("stuck", |count| count.stuck),
    }
}

/// Runs one of the product's processes, as built with the feature.
pub fn run_process(binary: &str) -> ExitCode {
    match binary {
        "painel-api" => process::run("painel-api", painel_api::server::serve),
        "painel-scheduler" => workers::scheduler(),
        "painel-health-check-worker" => workers::worker::<commands::HealthCheck>("painel-health-check-worker"),
        "painel-reset-token-worker" => workers::worker::<commands::ResetToken>("painel-reset-token-worker"),
        "painel-restart-agent-worker" => workers::worker::<commands::RestartAgent>("painel-restart-agent-worker"),
        "painel-metrics-rollup-worker" => workers::rollup_worker(),
        "painel-reprocess-queue-worker" => {
            workers::worker::<commands::ReprocessQueue>("painel-reprocess-queue-worker")
        }
        other => {
            eprintln!("{other} is no process of the product");
            ExitCode::FAILURE
        }
    }
}
