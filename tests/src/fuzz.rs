//! What must hold for any bytes that come from outside: nothing panics, and what is made of them is of their size.

use std::str::from_utf8;

use lapin::{protocol::BasicProperties, types::parsing::parse_field_table};
use painel_api::{auth::key_id, json::json_object, query::QueryFields};
use painel_shared::{
    command_store::{Cursor, Filter},
    histogram::LatencyHistogram,
    job::Job,
    queue::rabbitmq::returns,
    trace::TraceContext,
};
use serde_json::Value;

/// A target: its name, and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 8] = [
    ("envelope", envelope),
    ("cursor", cursor),
    ("token", token),
    ("query", query),
    ("json", json),
    ("histogram", histogram),
    ("headers", headers),
    ("trace", trace),
];

/// What is done with the bytes by the target of that name.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.into_iter().find(|(target, _)| *target == name);
    let (_, target) = found.unwrap_or_else(|| panic!("there is no target {name}"));
    target(bytes);
}

/// A job that is read is written again as it was read.
fn envelope(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    if let Ok(job) = Job::decode(text) {
        assert_eq!(Job::decode(&job.encode().unwrap()).unwrap(), job);
    }
}

/// A cursor that is read leads on in one list alone.
fn cursor(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let (all, mine) =
        (Filter::default(), Filter { tenant_id: Some(uuid::Uuid::nil().into()), ..Filter::default() });
    let read = [all, mine].map(|filter| Cursor::decode(text, &filter).map(|cursor| (cursor, filter)));
    if let Some((cursor, filter)) = read.iter().flatten().next() {
        assert!(Cursor::decode(&cursor.encode(filter), filter).is_ok_and(|again| again == *cursor));
    }
    assert!(read.iter().filter(|read| read.is_ok()).count() < 2, "{text}");
}

/// A key's id is a name, and a part of the token.
fn token(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    if let Some(id) = key_id(text) {
        assert!(!id.is_empty() && id.len() <= text.len() && !id.contains(char::is_control));
    }
}

/// What is read of a query is within its bounds, and all that is left is refused.
fn query(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let mut fields = QueryFields::read(text);
    assert!((1..=100).contains(&fields.number("limit", 1..=100, 50)));
    let (from, to) = fields.days();
    let found = fields.text("search", 20);
    assert!(found.is_none_or(|found| found.chars().count() <= 20 && !found.contains(char::is_control)));
    fields.uuid("tenant_id");
    fields.word("status", &[("all", 1)]);
    let is_fine = fields.finish().is_ok();
    assert!(!is_fine || from.zip(to).is_none_or(|(from, to)| from <= to));
}

/// What is read of a body is what any reader of JSON makes of it.
fn json(bytes: &[u8]) {
    let Ok(object) = json_object(bytes) else { return };
    assert_eq!(serde_json::from_slice::<Value>(bytes).unwrap(), Value::Object(object));
}

/// Percentiles of whatever is stored rise with their rank.
fn histogram(bytes: &[u8]) {
    let mut histogram = LatencyHistogram::default();
    let (buckets, counts): (Vec<i16>, Vec<i64>) = bytes
        .chunks_exact(10)
        .map(|row| {
            let (bucket, count) = row.split_at(2);
            (i16::from_le_bytes(bucket.try_into().unwrap()), i64::from_le_bytes(count.try_into().unwrap()))
        })
        .unzip();
    histogram.add_stored(&buckets, &counts);
    let percentiles = [1, 50, 99, 100].map(|percent| histogram.percentile(percent));
    assert!(percentiles.is_sorted_by(|a, b| a <= b), "{percentiles:?}");
    assert!(histogram.stored().0.len() <= buckets.len());
}

/// Whatever a message's headers are, they are so many returns or none.
fn headers(bytes: &[u8]) {
    if let Ok((_, table)) = parse_field_table(bytes) {
        returns(&BasicProperties::default().with_headers(table));
    }
}

/// A trace that is read is written as it was.
fn trace(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    if let Ok(trace) = text.parse::<TraceContext>() {
        assert!(text.contains(&trace.trace_id()));
    }
}
