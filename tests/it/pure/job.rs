//! The envelope: what is written can be read, and nothing else.

use painel_shared::job::{Job, UnreadableJob};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::command;

fn envelope() -> Value {
    serde_json::from_str(&Job::for_command(&command()).encode().unwrap()).unwrap()
}

#[test]
fn a_job_comes_back_as_it_went() {
    let job = Job::for_command(&command());
    assert_eq!(Job::decode(&job.encode().unwrap()).unwrap(), job);
}

#[test]
fn times_are_read_as_they_would_be_written() {
    let mut finer = envelope();
    for field in ["created_at", "published_at"] {
        finer[field] = json!("2026-01-01T00:00:00.1239Z");
    }
    let job = Job::decode(&finer.to_string()).unwrap();
    assert_eq!(Job::decode(&job.encode().unwrap()).unwrap(), job);
}

#[test]
fn parameters_stay_in_the_store() {
    let mut keys: Vec<String> = envelope().as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["command_id", "created_at", "job_id", "kind", "published_at", "traceparent", "version"]);
}

#[test]
fn what_is_no_envelope_says_why() {
    let mut later = envelope();
    later["version"] = json!(2);
    let mut unknown = envelope();
    unknown["kind"] = json!("MAKE_COFFEE");
    let mut headless = envelope();
    headless.as_object_mut().unwrap().remove("command_id");
    let reason = |body: &Value| Job::decode(&body.to_string()).unwrap_err();

    assert!(matches!(reason(&later), UnreadableJob::UnknownVersion(_)));
    assert!(matches!(reason(&unknown), UnreadableJob::UnknownKind(_)));
    assert!(matches!(reason(&headless), UnreadableJob::NotAnEnvelope(_)));
    assert!(matches!(reason(&json!([1, 2])), UnreadableJob::NotAnEnvelope(_)));
    assert!(matches!(Job::decode("").unwrap_err(), UnreadableJob::NotAnEnvelope(_)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(body in ".{0,200}") {
        prop_assert!(Job::decode(&body).is_err());
    }
}
