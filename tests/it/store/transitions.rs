//! Each transition as a conditional write: the store keeps the law that `command.rs` states.

use std::time::Duration;

use futures::future::join_all;
use painel_shared::{
    command::{ClaimRefused, CommandError, Holder, Status, Verdict},
    command_store::{Claim, Write},
    commands,
    ids::LeaseOwner,
    time::now,
};
use painel_tests::{
    stack::{Stack, with_stack, with_stack_and},
    wait::eventually,
};
use serde_json::{Map, json};

const ONE_SECOND: &[(&str, &str)] = &[("PAINEL_LEASE_SECONDS", "1")];

fn error() -> CommandError {
    CommandError { code: "test".to_owned(), message: "for a test".to_owned(), retryable: true }
}

async fn fresh(stack: &Stack) -> painel_shared::command::Command {
    stack.send::<commands::HealthCheck>(None, json!({})).await
}

async fn claim(
    stack: &Stack,
    command: &painel_shared::command::Command,
) -> (painel_shared::command::Command, Holder) {
    match stack.stores.commands.claim(command.key, command.command_type).await.unwrap() {
        Claim::Held(command, holder) => (command, holder),
        other => panic!("not claimed: {other:?}"),
    }
}

#[test]
fn of_many_claims_at_once_one_holds() {
    with_stack(|stack| async move {
        let command = fresh(stack).await;
        let claims =
            join_all((0..16).map(|_| stack.stores.commands.claim(command.key, command.command_type))).await;
        let (mut held, mut leased) = (0, 0);
        for claim in claims {
            match claim.unwrap() {
                Claim::Held(..) => held += 1,
                Claim::Refused(_, ClaimRefused::Leased) => leased += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((held, leased), (1, 15));
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.attempt, stored.fence), (Status::Running, 1, 1));
    });
}

#[test]
fn what_a_transition_writes_is_what_the_pure_core_says() {
    with_stack(|stack| async move {
        let store = &stack.stores.commands;
        let command = fresh(stack).await;
        let (held, holder) = claim(stack, &command).await;
        assert_eq!(stack.stored(&command).await, held);
        let retried = store.retry(&held, holder, error(), Duration::ZERO).await.unwrap().stored().unwrap();
        assert_eq!(stack.stored(&command).await, retried);
        assert_eq!((retried.status, retried.attempt, retried.lease_owner), (Status::Pending, 1, None));

        let (held, holder) = claim(stack, &command).await;
        let verdict = Verdict::Error { error: error(), dead_letter: true };
        let dead = store.finish(&held, holder, verdict).await.unwrap().stored().unwrap();
        assert_eq!(stack.stored(&command).await, dead);
        assert!(dead.dead_letter && dead.duration_ms.is_some() && dead.completed_at.is_some());

        let revived = store.reprocess(&dead).await.unwrap().stored().unwrap();
        assert_eq!(stack.stored(&command).await, revived);
        assert_eq!((revived.status, revived.attempt, revived.fence), (Status::Pending, 0, 3));

        let (held, holder) = claim(stack, &command).await;
        let result = Map::from_iter([("nested".to_owned(), json!({"n": 1, "list": ["a", null, 2.5]}))]);
        let done = store.finish(&held, holder, Verdict::Success(result.clone())).await.unwrap().stored().unwrap();
        assert_eq!(stack.stored(&command).await, done);
        assert_eq!(done.result, Some(result));
    });
}

#[test]
fn a_holder_that_lost_its_lease_writes_nothing() {
    with_stack_and(ONE_SECOND, |stack| async move {
        let store = &stack.stores.commands;
        let command = fresh(stack).await;
        let (old, old_holder) = claim(stack, &command).await;
        let new = eventually("the lease to expire", Duration::from_secs(5), || async {
            match store.claim(command.key, command.command_type).await.unwrap() {
                Claim::Held(command, _) => Some(command),
                _ => None,
            }
        })
        .await;
        assert_eq!((new.attempt, new.fence), (2, 2));
        for write in [
            store.renew(&old, old_holder).await.unwrap(),
            store.finish(&old, old_holder, Verdict::Success(Map::new())).await.unwrap(),
            store.retry(&old, old_holder, error(), Duration::ZERO).await.unwrap(),
            store.release(&old, old_holder).await.unwrap(),
        ] {
            assert_eq!(write, Write::Refused(Some(new.clone())));
        }
        assert_eq!(stack.stored(&command).await, new);
    });
}

#[test]
fn a_write_whose_answer_was_lost_is_recognised_when_it_is_sent_again() {
    with_stack(|stack| async move {
        let (lossy, store) = stack.behind_a_proxy().await;
        let command = fresh(stack).await;

        let (held, holder) = claim(stack, &command).await;
        // A connection is open before an answer is lost.
        store.ping().await.unwrap();
        lossy.lose_next_answer();
        assert!(matches!(store.renew(&held, holder).await.unwrap(), Write::Done(_)));
        lossy.lose_next_answer();
        let retried = store.retry(&held, holder, error(), Duration::ZERO).await.unwrap();
        assert!(matches!(retried, Write::Done(_)), "{retried:?}");

        let (held, holder) = claim(stack, &command).await;
        lossy.lose_next_answer();
        let finished = store.finish(&held, holder, Verdict::Success(Map::new())).await.unwrap();
        assert!(matches!(finished, Write::Done(_)), "{finished:?}");
        assert!(lossy.is_quiet());
        assert_eq!(Write::Done(stack.stored(&command).await), finished);
    });
}

#[test]
fn a_foreign_owner_with_the_right_fence_is_refused() {
    with_stack(|stack| async move {
        let command = fresh(stack).await;
        let (held, holder) = claim(stack, &command).await;
        let thief = Holder { owner: LeaseOwner::fresh(), ..holder };
        let write = stack.stores.commands.finish(&held, thief, Verdict::Success(Map::new())).await.unwrap();
        assert_eq!(write, Write::Refused(Some(held)));
    });
}

#[test]
fn one_of_several_reconcilers_publishes() {
    with_stack_and(ONE_SECOND, |stack| async move {
        let command = fresh(stack).await;
        claim(stack, &command).await;
        let expired = eventually("the lease to expire", Duration::from_secs(5), || async {
            let stored = stack.stored(&command).await;
            stored.lease_expired(now()).then_some(stored)
        })
        .await;
        // Those of one millisecond write the same.
        let writes = join_all((0..64).map(|_| stack.stores.commands.republish(&expired))).await;
        let done = writes.into_iter().filter(|write| matches!(write, Ok(Write::Done(_)))).count();
        assert_eq!(done, 1);
    });
}
