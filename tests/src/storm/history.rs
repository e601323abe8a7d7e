//! Every change of every command, in order, as the table's stream tells it; checked against the rules.
//!
//! The rules are written down here a second time, from the state machine's description and not from its
//! code, so that one mistake does not stand in both.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::stack::Stack;

/// What the stream tells.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Changes that the state machine does not allow, and fencing tokens with two holders, each in words.
    pub(super) unlawful: Vec<String>,
    /// From a lease's end to the next holder's claim, in milliseconds, where a holder was lost.
    pub(super) takeovers: Vec<i64>,
}

/// A command as it stood once.
#[derive(Debug)]
struct Image {
    command: String,
    status: String,
    fence: i64,
    attempt: i64,
    max_attempts: i64,
    owner: Option<String>,
    lease_expires_at: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    dead_letter: bool,
}

impl Image {
    /// None for the table's other items: markers of idempotency keys.
    fn read(item: &Value) -> Option<Self> {
        let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
        let number = |name: &str| item[name]["N"].as_str()?.parse::<i64>().ok();
        let time = |name: &str| text(name)?.parse::<DateTime<Utc>>().ok();
        Some(Self {
            command: text("command_id")?,
            status: text("status")?,
            fence: number("fence")?,
            attempt: number("attempt")?,
            max_attempts: number("max_attempts")?,
            owner: text("lease_owner"),
            lease_expires_at: time("lease_expires_at"),
            not_before: time("not_before"),
            started_at: time("started_at"),
            dead_letter: item["dead_letter"]["BOOL"].as_bool().unwrap_or(false),
        })
    }
}

impl History {
    /// Reads the stream from its beginning.
    pub(super) async fn read(stack: &Stack) -> Self {
        let mut history = Self::default();
        let mut holders: BTreeMap<(String, i64), BTreeSet<String>> = BTreeMap::new();
        for record in records(stack).await {
            let change = &record["dynamodb"];
            let Some(new) = Image::read(&change["NewImage"]) else { continue };
            let old = Image::read(&change["OldImage"]);
            if let Some(fault) = fault(old.as_ref(), &new) {
                history.unlawful.push(format!("{}: {fault}: {old:?} -> {new:?}", new.command));
            }
            if let Some(old) = &old
                && is_takeover(old, &new)
                && let (Some(lost), Some(found)) = (old.lease_expires_at, new.started_at)
            {
                history.takeovers.push((found - lost).num_milliseconds());
            }
            if let Some(owner) = new.owner {
                holders.entry((new.command, new.fence)).or_default().insert(owner);
            }
        }
        let shared = holders.into_iter().filter(|(_, owners)| owners.len() > 1);
        history.unlawful.extend(shared.map(|((command, fence), owners)| {
            format!("{command}: {} holders of the fencing token {fence}", owners.len())
        }));
        history.takeovers.sort_unstable();
        history
    }
}

fn is_takeover(old: &Image, new: &Image) -> bool {
    old.status == "RUNNING" && new.status == "RUNNING" && old.owner != new.owner
}

/// What is wrong with a change, if anything is.
fn fault(old: Option<&Image>, new: &Image) -> Option<&'static str> {
    let Some(old) = old else {
        let fresh = new.status == "PENDING" && new.fence == 0 && new.attempt == 0 && new.owner.is_none();
        return (!fresh).then_some("not created as PENDING at fence 0");
    };
    let by = |fence: i64, attempt: i64| new.fence - old.fence == fence && new.attempt - old.attempt == attempt;
    let same_holder = old.owner == new.owner;
    let lawful = match (old.status.as_str(), new.status.as_str()) {
        // Published again.
        ("PENDING", "PENDING") => by(0, 0) && new.owner.is_none(),
        // Claimed.
        ("PENDING", "RUNNING") => by(1, 1) && new.owner.is_some() && old.not_before <= new.started_at,
        // Renewed, or published again.
        ("RUNNING", "RUNNING") if same_holder => by(0, 0),
        // Taken over.
        ("RUNNING", "RUNNING") => by(1, 1) && old.lease_expires_at <= new.started_at,
        // Retried or released.
        ("RUNNING", "PENDING") => new.owner.is_none() && (by(0, 0) || by(0, -1)),
        // Finished, or expired at the last attempt.
        ("RUNNING", "SUCCESS" | "ERROR") => by(0, 0) || (by(1, 0) && old.attempt >= old.max_attempts),
        // The event of its end was written.
        ("SUCCESS", "SUCCESS") | ("ERROR", "ERROR") => by(0, 0) && new.owner.is_none(),
        // Reprocessed.
        ("ERROR", "PENDING") => old.dead_letter && new.fence == old.fence + 1 && new.attempt == 0,
        _ => false,
    };
    (!lawful).then_some("not a lawful change")
}

async fn records(stack: &Stack) -> Vec<Value> {
    let table = stack.vars.text("PAINEL_DYNAMODB_TABLE").unwrap_or("operational_commands");
    let stream =
        stack.streams_call("ListStreams", json!({"TableName": table})).await["Streams"][0]["StreamArn"].clone();
    let described = stack.streams_call("DescribeStream", json!({"StreamArn": stream})).await;
    let mut all = Vec::new();
    for shard in described["StreamDescription"]["Shards"].as_array().unwrap() {
        let from = json!({"StreamArn": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
        let mut next = stack.streams_call("GetShardIterator", from).await["ShardIterator"].clone();
        loop {
            let mut page = stack.streams_call("GetRecords", json!({"ShardIterator": next, "Limit": 1000})).await;
            next = page["NextShardIterator"].clone();
            match page["Records"].as_array_mut() {
                Some(found) if !found.is_empty() => all.append(found),
                _ => break,
            }
        }
    }
    all
}
