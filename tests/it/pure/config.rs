//! A wrong or missing variable is one line that names it; and the README lists every one.

use std::{collections::BTreeSet, fs};

use painel_api::config::{AuthConfig, HttpConfig};
use painel_shared::config::{
    AwsConfig, CommandStoreConfig, ConfigError, CredentialsConfig, DatabaseConfig, QueueConfig, TelemetryConfig,
    Vars,
};
use painel_tests::tree::{files, root};
use painel_workers::config::{AgentRuntimeConfig, ReconcilerConfig, RollupConfig, WorkerConfig};

fn load_all(vars: &Vars) -> Vec<String> {
    let outcomes: Vec<Result<(), ConfigError>> = vec![
        AuthConfig::from_vars(vars).map(drop),
        HttpConfig::from_vars(vars).map(drop),
        AwsConfig::from_vars(vars).map(drop),
        CommandStoreConfig::from_vars(vars).map(drop),
        CredentialsConfig::from_vars(vars).map(drop),
        DatabaseConfig::from_vars(vars).map(drop),
        QueueConfig::from_vars(vars).map(drop),
        TelemetryConfig::from_vars(vars).map(drop),
        AgentRuntimeConfig::from_vars(vars).map(drop),
        ReconcilerConfig::from_vars(vars).map(drop),
        RollupConfig::from_vars(vars).map(drop),
        WorkerConfig::from_vars(vars).map(drop),
    ];
    outcomes.into_iter().filter_map(|outcome| outcome.err().map(|error| error.to_string())).collect()
}

#[test]
fn what_is_missing_is_named() {
    let problems = load_all(&Vars::default());
    let named: Vec<&str> = problems.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        named,
        ["PAINEL_AUTH_ISSUER", "PAINEL_CREDENTIALS_KEYS", "PAINEL_DATABASE_URL", "PAINEL_AGENT_RUNTIME_URL"]
    );
    assert!(problems.iter().all(|line| line.contains("is not set; it must be") && !line.contains('\n')));
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let fine = [
        ("PAINEL_AUTH_ISSUER", "https://issuer.example"),
        ("PAINEL_AUTH_CLIENT_IDS", "client"),
        ("PAINEL_CREDENTIALS_KEYS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("PAINEL_DATABASE_URL", "postgres://localhost/painel"),
        ("PAINEL_AGENT_RUNTIME_URL", "http://localhost:1"),
    ];
    let vars = |name: &str, value: &str| {
        let pairs = fine.into_iter().chain([(name, value)]);
        Vars::from_iter(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
    };
    assert_eq!(load_all(&vars("PAINEL_LOG", "info")), Vec::<String>::new());
    for (name, value, right) in [
        ("PAINEL_AUTH_ISSUER", "issuer", "https://"),
        ("PAINEL_AUTH_ISSUER", " https://issuer.example", "without spaces"),
        ("PAINEL_AUTH_ISSUER", "https://issuer.example\n", "without spaces"),
        ("PAINEL_AGENT_RUNTIME_URL", "http://agents .example", "without spaces"),
        ("PAINEL_AUTH_ISSUER", "http://issuer.example", "https://"),
        ("PAINEL_AUTH_ISSUER", "http://127.0.0.1.example", "https://"),
        ("PAINEL_AUTH_ISSUER", "http://localhost@issuer.example", "https://"),
        ("PAINEL_AUTH_ISSUER", "https://", "a host"),
        ("PAINEL_AUTH_JWKS_URL", "http://10.0.0.1/jwks.json", "https://"),
        ("PAINEL_AGENT_RUNTIME_URL", "http://agents.example", "https://"),
        ("PAINEL_TLS_CERT", "/cert.pem", "PAINEL_TLS_CERT is"),
        ("PAINEL_AUTH_TOKEN_USE", "refresh", "access or id"),
        ("PAINEL_CREDENTIALS_KEYS", "a:short", "32-byte key"),
        (
            "PAINEL_CREDENTIALS_KEYS",
            "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,a:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "each id once",
        ),
        ("PAINEL_ROLLUP_CRON", "0 0 31 2 *", "never comes"),
        ("PAINEL_DATABASE_URL", "mysql://secret@host/x", "postgres://"),
        ("PAINEL_DATABASE_POOL", "0", "a whole number from 1"),
        ("PAINEL_HTTP_ADDR", "8080", "an address like"),
        ("PAINEL_LEASE_SECONDS", "soon", "a whole number from 1"),
        ("PAINEL_QUEUE", "kafka", "sqs or rabbitmq"),
        ("PAINEL_LOG_FORMAT", "xml", "json or text"),
    ] {
        let problems = load_all(&vars(name, value));
        assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
        let named = if name == "PAINEL_TLS_CERT" { "PAINEL_TLS_KEY" } else { name };
        assert!(problems[0].starts_with(named) && problems[0].contains(right), "{problems:?}");
        assert!(!problems[0].contains("secret"), "a URL may hold a password");
    }
}

#[test]
fn plain_http_is_for_this_machine_and_for_hosts_that_are_named() {
    let named = [("PAINEL_PLAIN_HTTP_HOSTS", "aws, 10.0.0.1".to_owned())];
    for url in ["http://localhost:1", "http://painel.localhost/x", "http://127.0.0.9", "http://[::1]:80"] {
        let vars = Vars::default().overridden_by([("PAINEL_AGENT_RUNTIME_URL", url.to_owned())]);
        assert_eq!(vars.secure_url("PAINEL_AGENT_RUNTIME_URL").unwrap().unwrap(), url);
    }
    for url in ["http://aws:8090", "http://10.0.0.1"] {
        let vars = Vars::default().overridden_by([("PAINEL_AGENT_RUNTIME_URL", url.to_owned())]);
        assert!(vars.secure_url("PAINEL_AGENT_RUNTIME_URL").is_err());
        assert_eq!(vars.overridden_by(named.clone()).secure_url("PAINEL_AGENT_RUNTIME_URL").unwrap().unwrap(), url);
    }
}

#[test]
fn the_readme_lists_every_variable() {
    let sources = ["shared/src", "api/src", "workers/src", "compose/embedded/src"].into_iter().flat_map(files);
    let read: BTreeSet<String> = sources.flat_map(|path| variables(&fs::read_to_string(path).unwrap())).collect();
    let listed: BTreeSet<String> = variables(&fs::read_to_string(root().join("README.md")).unwrap());
    assert_eq!(listed, read);
}

fn variables(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("PAINEL_") && word.len() > 7)
        .map(str::to_owned)
        .collect()
}
