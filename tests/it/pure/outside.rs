//! Whatever comes from outside: the properties of `painel_tests::fuzz`, for bytes at random and for what is almost right.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use painel_shared::{
    command_store::{Cursor, CursorError, Filter},
    job::Job,
};
use painel_tests::fuzz::TARGETS;
use proptest::prelude::*;

/// What is right, to be damaged.
fn samples() -> Vec<Vec<u8>> {
    let command = super::command();
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    [
        Job::for_command(&command).encode().unwrap(),
        Cursor::behind(command.key).encode(&Filter::default()),
        format!("{}.{}.{}", part(r#"{"alg":"RS256","kid":"a"}"#), part("{}"), part("signature")),
        "limit=5&from=2026-01-01&to=2026-02-01&search=a+b%20c&tenant_id=5f0e1a54-7d0e-4b53-8a4b-0d9e3f6f8a11".to_owned(),
        r#"{"command_type": "RESET_TOKEN", "parameters": {"integration_id": "x", "list": [1, -2, 3.5e7, null, true]}}"#
            .to_owned(),
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
    ]
    .map(String::into_bytes)
    .into()
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    (prop::sample::select(samples()), prop::collection::vec(change, 0..6)).prop_map(|(mut bytes, changes)| {
        for (place, byte, how) in changes {
            let at = place.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

/// A table of headers as a message bears it.
fn table() -> impl Strategy<Value = Vec<u8>> {
    let entry =
        (prop::sample::select(vec!["x-delivery-count", "x-painel-returns", "a"]), any::<u8>(), any::<[u8; 8]>());
    prop::collection::vec(entry, 0..5).prop_map(|entries| {
        let mut content = Vec::new();
        for (name, kind, value) in entries {
            content.push(u8::try_from(name.len()).unwrap());
            content.extend(name.as_bytes());
            let kinds = b"tbBuUIilLdfsSTVx";
            content.push(kinds[usize::from(kind) % kinds.len()]);
            content.extend(value);
        }
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[..], &content].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_what_is_read_holds(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), damaged(), table()],
    ) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}

#[test]
fn the_samples_are_right_before_they_are_damaged() {
    let samples = samples();
    assert!(Job::decode(std::str::from_utf8(&samples[0]).unwrap()).is_ok());
    let cursor = std::str::from_utf8(&samples[1]).unwrap();
    assert!(Cursor::decode(cursor, &Filter::default()).is_ok());
    let other = Filter { tenant_id: Some(uuid::Uuid::nil().into()), ..Filter::default() };
    assert_eq!(Cursor::decode(cursor, &other), Err(CursorError::OtherFilter));
    assert_eq!(painel_api::auth::key_id(std::str::from_utf8(&samples[2]).unwrap()).as_deref(), Some("a"));
    assert!(painel_api::json::json_object(&samples[4]).is_ok());
}
