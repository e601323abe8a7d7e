//! A delivery is settled by what is stored, and only by that.

use std::time::Duration;

use painel_shared::{
    command::{Command, CommandError, Holder, Status, Verdict},
    ids::LeaseOwner,
    time::Timestamp,
};
use painel_workers::settle::{Decision, Settlement, Standing, decide};
use serde_json::Map;

use super::command;

const LEASE: Duration = Duration::from_secs(30);

fn settle(command: &Command, now: Timestamp) -> Settlement {
    painel_workers::settle::settle(Standing::of_command(command, now))
}

fn error(retryable: bool) -> CommandError {
    CommandError { code: "test".to_owned(), message: "for a test".to_owned(), retryable }
}

fn claimed(attempt: u32) -> (Command, Holder) {
    let fresh = Command { attempt: attempt - 1, ..command() };
    let owner = LeaseOwner::fresh();
    let held = fresh.claim(owner, LEASE, fresh.key.created_at).unwrap();
    let holder = Holder { fence: held.fence, owner };
    (held, holder)
}

#[test]
fn an_outcome_and_an_attempt_decide() {
    let dead = |dead_letter, retryable| Decision::Fail { error: error(retryable), dead_letter };
    assert_eq!(decide(1, 5, Ok(7)), Decision::Succeed(7));
    assert_eq!(decide::<u32>(1, 5, Err(error(true))), Decision::Retry(error(true)));
    assert_eq!(decide::<u32>(1, 5, Err(error(false))), dead(false, false));
    assert_eq!(decide::<u32>(5, 5, Err(error(true))), dead(true, true));
    assert_eq!(decide(5, 5, Ok(7)), Decision::Succeed(7));
}

#[test]
fn each_state_has_one_settlement() {
    let (held, holder) = claimed(1);
    let now = held.key.created_at;
    let late = now + LEASE;
    let success = held.finish(holder, Verdict::Success(Map::new()), now).unwrap();
    let permanent = Verdict::Error { error: error(false), dead_letter: false };
    let permanent = held.finish(holder, permanent, now).unwrap();
    let dead = held.finish(holder, Verdict::Error { error: error(true), dead_letter: true }, now).unwrap();
    let retried = held.retry(holder, error(true), Duration::from_secs(7), now).unwrap();
    let (last, _) = claimed(held.max_attempts);

    assert_eq!(settle(&success, now), Settlement::Acknowledge);
    assert_eq!(settle(&permanent, now), Settlement::Acknowledge);
    assert_eq!(settle(&dead, now), Settlement::DeadLetter("test: for a test".to_owned()));
    assert_eq!(settle(&retried, now), Settlement::RetryLater(Duration::from_secs(7)));
    assert_eq!(settle(&held, now), Settlement::Acknowledge, "another worker holds it");
    assert_eq!(settle(&held, late), Settlement::RetryLater(Duration::ZERO));
    // It was claimed a moment after the other, so its lease ends a moment later.
    assert_eq!(settle(&last, last.lease_expires_at.unwrap()), Settlement::Expire);
    assert_eq!(last.status, Status::Running);
}
