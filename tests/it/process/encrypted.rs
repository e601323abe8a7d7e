//! The stores over TLS: reached where their certificate is trusted, and not where it is not.

use std::path::Path;

use painel_tests::{
    broker::Broker,
    certificate,
    fleet::Fleet,
    postgres::Postgres,
    stack::{RABBITMQ, with_stack},
};

#[test]
fn rabbitmq_and_postgresql_are_reached_over_tls_where_their_certificate_is_trusted() {
    with_stack(|stack| async move {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        certificate::write(own.path());
        certificate::write(other.path());
        let (broker, postgres) = (Broker::start_over_tls(own.path()), Postgres::start_over_tls(own.path()));
        let trusting = |folder: &Path| folder.join("cert.pem").to_str().unwrap().to_owned();
        let mut fleet = Fleet::new(stack);
        fleet.set(RABBITMQ.0, RABBITMQ.1);
        fleet.set("PAINEL_RABBITMQ_URL", &broker.url());
        let mut migrate = |database: &Path, queue: &Path| {
            let url = format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url(), trusting(database));
            fleet.set("PAINEL_DATABASE_URL", &url);
            fleet.set("SSL_CERT_FILE", &trusting(queue));
            let ended = fleet.command("painel").arg("migrate").output().unwrap();
            (ended.status.success(), String::from_utf8_lossy(&ended.stderr).into_owned())
        };
        let (is_fine, said) = migrate(own.path(), own.path());
        assert!(is_fine, "{said}");
        for (database, queue, named) in [(&other, &own, "schema of PostgreSQL"), (&own, &other, "queues")] {
            let (is_fine, said) = migrate(database.path(), queue.path());
            assert!(!is_fine && said.contains(named), "{named}: {said}");
        }
    });
}
