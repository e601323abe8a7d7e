//! A small storm on each transport; `docs/reliability.md` has the command for a large one.

use std::time::Duration;

use painel_tests::{
    fleet::Programs,
    storm::{self, LEASE, Transport, Weather},
};

fn small(transport: Transport) -> Weather {
    let rabbitmq = transport == Transport::Rabbitmq;
    Weather {
        transport,
        commands: 200,
        worker_kills: 8,
        worker_stops: 2,
        api_kills: 1,
        broker_restarts: usize::from(rabbitmq),
        broker_blocks: 0,
        visibility: LEASE,
        postgres_restarts: 1,
        purges: 2,
        duplicates: 10,
        seed: 20,
        concurrency: 4,
        scheduler: true,
        calm: Duration::from_secs(180),
        programs: Programs::Built,
    }
}

fn pass(transport: Transport) {
    painel_shared::process::install_tls();
    let count = storm::run(small(transport));
    assert_eq!(count.accepted, 200);
    assert!(count.is_clean(), "{count:?}");
    assert!(count.effects >= 150, "most commands have an effect: {count:?}");
}

#[test]
fn a_storm_over_rabbitmq_loses_and_doubles_nothing() {
    pass(Transport::Rabbitmq);
}

#[test]
fn a_storm_over_sqs_loses_and_doubles_nothing() {
    pass(Transport::Sqs);
}
