//! A claim is decided by DynamoDB, on a condition made of the table in `command.rs`: for each standing that there can be,
//! both say the same and make the same of it.

use std::time::Duration;

use futures::{StreamExt, stream};
use painel_shared::{
    command::{ClaimRefused, Command, CommandKey, Holder, Status},
    command_store::Claim,
    commands::{self, CommandType},
    ids::{CommandId, LeaseOwner},
    time::{Timestamp, now, to_text},
};
use painel_tests::stack::{Stack, with_stack};
use serde_json::{Value, json};
use uuid::Uuid;

/// How a command may stand: an attribute, and its value; null where it is absent.
type Standing = Vec<(&'static str, Value)>;

/// Each value that an attribute may have, where it makes a difference; and each time at its very moment.
fn standings(at: Timestamp) -> Vec<Standing> {
    let time = |at| json!({"S": to_text(at)});
    let number = |n: i64| json!({"N": n.to_string()});
    let (past, future) = (at - Duration::from_secs(3600), at + Duration::from_secs(3600));
    let statuses = Status::ALL.map(|status| json!({"S": status.as_str()})).to_vec();
    let apart = each_with_each([
        ("status", statuses.clone()),
        ("attempt", vec![Value::Null, number(0), number(4), number(5)]),
        ("max_attempts", vec![Value::Null, number(5)]),
        ("not_before", vec![Value::Null, time(past), time(future)]),
        ("lease_expires_at", vec![Value::Null, time(past), time(future)]),
        ("fence", vec![Value::Null, number(7)]),
        ("ttl", vec![Value::Null, number(future.timestamp()), number(1)]),
    ]);
    let at_the_moment = each_with_each([
        ("status", statuses),
        ("attempt", vec![number(4), number(5)]),
        ("max_attempts", vec![number(5)]),
        ("not_before", vec![time(at)]),
        ("lease_expires_at", vec![time(at)]),
        ("fence", vec![number(7)]),
        ("ttl", vec![number(future.timestamp()), number(at.timestamp())]),
    ]);
    [apart, at_the_moment].concat()
}

fn each_with_each(attributes: [(&'static str, Vec<Value>); 7]) -> Vec<Standing> {
    attributes.into_iter().fold(vec![Vec::new()], |standings, (name, values)| {
        let with = |standing: &Standing, value: &Value| {
            let mut standing = standing.clone();
            standing.push((name, value.clone()));
            standing
        };
        standings.iter().flat_map(|standing| values.iter().map(move |value| with(standing, value))).collect()
    })
}

/// What the pure core says of a claim: the image it makes, or why there is none.
fn expected(found: Option<&Command>, owner: LeaseOwner, at: Timestamp) -> Result<Command, Option<ClaimRefused>> {
    let found = found.ok_or(None)?;
    found.claim(owner, Duration::from_secs(30), at).map_err(Some)
}

/// A command that stands like that, as an item.
fn item(template: &Value, key: CommandKey, standing: &[(&'static str, Value)]) -> Value {
    let mut item = template.clone();
    item["command_id"] = json!({"S": key.command_id});
    item["created_at"] = json!({"S": to_text(key.created_at)});
    for (name, value) in standing {
        match value {
            Value::Null => drop(item.as_object_mut().unwrap().remove(*name)),
            value => item[*name] = value.clone(),
        }
    }
    item
}

async fn check(stack: &Stack, key: CommandKey, standing: &[(&'static str, Value)], at: Timestamp) {
    let store = &stack.stores.commands;
    let found = store.get_key(key).await.unwrap();
    let claim = store.claim_at(key, CommandType::of::<commands::HealthCheck>(), at).await.unwrap();
    let stored = store.get_key(key).await.unwrap();
    match claim {
        Claim::Held(held, Holder { fence, owner }) => {
            assert_eq!(expected(found.as_ref(), owner, at), Ok(held.clone()), "{standing:?}");
            assert_eq!((fence, stored.as_ref()), (held.fence, Some(&held)), "{standing:?}");
            // The index of what is due says what the image says.
            let [due_at, due_shard] = stack.attributes(&held, ["due_at", "due_shard"]).await;
            assert_eq!(due_at, json!({"S": to_text(held.due().unwrap().at)}), "{standing:?}");
            assert!(due_shard["S"].as_str().unwrap().starts_with("held#"), "{standing:?}");
        }
        Claim::Refused(stands, refused) => {
            assert_eq!(expected(found.as_ref(), LeaseOwner::fresh(), at), Err(Some(refused)), "{standing:?}");
            assert_eq!((Some(&stands), stored.as_ref()), (found.as_ref(), found.as_ref()), "{standing:?}");
        }
        Claim::Missing => assert_eq!((found, stored), (None, None), "{standing:?}"),
        Claim::OtherType(_) => panic!("it is of that type: {standing:?}"),
    }
}

#[test]
fn the_store_and_the_pure_core_decide_alike() {
    with_stack(|stack| async move {
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        let template = stack.item(&command).await;
        let at = now();
        let standings = standings(at);
        assert_eq!(standings.len(), 4 * 4 * 2 * 3 * 3 * 2 * 3 + 4 * 2 * 2);
        let fresh = || CommandKey { command_id: CommandId::from(Uuid::new_v4()), created_at: at };
        let keys: Vec<CommandKey> = standings.iter().map(|_| fresh()).collect();
        let items: Vec<Value> =
            keys.iter().zip(&standings).map(|(key, standing)| item(&template, *key, standing)).collect();
        stack.fill_raw(items.len() as i64, |n| items[n as usize].clone()).await;
        let all = stream::iter(keys.iter().zip(&standings));
        all.for_each_concurrent(16, |(key, standing)| check(stack, *key, standing, at)).await;
    });
}

#[test]
fn what_is_of_another_type_or_not_there_is_left_alone() {
    with_stack(|stack| async move {
        let store = &stack.stores.commands;
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        let before = stack.stored(&command).await;
        let claim = store.claim(command.key, CommandType::of::<commands::ResetToken>()).await.unwrap();
        assert_eq!(claim, Claim::OtherType(CommandType::of::<commands::HealthCheck>()));
        assert_eq!(stack.stored(&command).await, before);

        let nobody = CommandKey { command_id: CommandId::from(Uuid::new_v4()), ..command.key };
        let claim = store.claim(nobody, CommandType::of::<commands::HealthCheck>()).await.unwrap();
        assert_eq!(claim, Claim::Missing);
        assert_eq!(store.get_key(nobody).await.unwrap(), None, "an update makes no item");
    });
}

#[test]
fn a_claim_whose_answer_was_lost_knows_itself() {
    with_stack(|stack| async move {
        let (lossy, store) = stack.behind_a_proxy().await;
        let command = stack.send::<commands::HealthCheck>(None, json!({})).await;
        // A connection is open before an answer is lost.
        store.ping().await.unwrap();
        lossy.lose_next_answer();
        let claim = store.claim(command.key, command.command_type).await.unwrap();
        let Claim::Held(held, holder) = claim else { panic!("{claim:?}") };
        assert!(lossy.is_quiet());
        assert_eq!((held.attempt, held.fence, held.holder()), (1, 1, Some(holder)));
        assert_eq!(stack.stored(&command).await, held);
    });
}
