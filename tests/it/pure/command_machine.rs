//! Every sequence of claims, crashes, expiries, late finishes and reprocessings keeps the law.

use std::time::Duration;

use painel_shared::{
    attempt::ATTEMPTS_KEPT,
    command::{AttemptOutcome, Command, CommandError, Holder, Status, Verdict},
    ids::LeaseOwner,
    time::Timestamp,
};
use proptest::prelude::*;
use serde_json::Map;

use super::command;

const LEASE: Duration = Duration::from_secs(30);

/// What may happen next. Workers remember their latest claim and act on it, however stale it is.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Claim(usize),
    Renew(usize),
    Succeed(usize),
    FailForGood(usize),
    Die(usize),
    Retry(usize, u64),
    Release(usize),
    Expire,
    Reprocess,
    Republish,
    PublishFailed,
    EventWritten,
}

const WORKERS: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let worker = 0..WORKERS;
    let step = prop_oneof![
        3 => (1_u64..50).prop_map(Step::Wait),
        4 => worker.clone().prop_map(Step::Claim),
        1 => worker.clone().prop_map(Step::Renew),
        1 => worker.clone().prop_map(Step::Succeed),
        1 => worker.clone().prop_map(Step::FailForGood),
        1 => worker.clone().prop_map(Step::Die),
        2 => (worker.clone(), 0_u64..20).prop_map(|(worker, delay)| Step::Retry(worker, delay)),
        1 => worker.prop_map(Step::Release),
        2 => Just(Step::Expire),
        1 => Just(Step::Reprocess),
        1 => Just(Step::Republish),
        1 => Just(Step::PublishFailed),
        1 => Just(Step::EventWritten),
    ];
    prop::collection::vec(step, 1..60)
}

fn error(retryable: bool) -> CommandError {
    CommandError { code: "test".to_owned(), message: "test".to_owned(), retryable }
}

fn verdict(retryable: bool) -> Verdict {
    Verdict::Error { error: error(retryable), dead_letter: retryable }
}

/// A store of one command, and what each worker believes to hold.
struct World {
    stored: Command,
    claims: [Option<(Command, Holder)>; WORKERS],
    now: Timestamp,
}

impl World {
    /// Carries out a step; the next image, if the step was allowed.
    fn next(&mut self, step: &Step) -> Option<Command> {
        let now = self.now;
        // A worker writes on what is stored now; only its proof of holding it may be stale.
        let held = |worker: usize| self.claims[worker].as_ref().map(|(_, holder)| *holder);
        match *step {
            Step::Wait(seconds) => {
                self.now = now + Duration::from_secs(seconds);
                None
            }
            Step::Claim(worker) => {
                let owner = LeaseOwner::fresh();
                let next = self.stored.claim(owner, LEASE, now).ok()?;
                self.claims[worker] = Some((next.clone(), Holder { fence: next.fence, owner }));
                Some(next)
            }
            Step::Renew(worker) => self.stored.renew(held(worker)?, LEASE, now).ok(),
            Step::Succeed(worker) => self.stored.finish(held(worker)?, Verdict::Success(Map::new()), now).ok(),
            Step::FailForGood(worker) => self.stored.finish(held(worker)?, verdict(false), now).ok(),
            Step::Die(worker) => self.stored.finish(held(worker)?, verdict(true), now).ok(),
            Step::Retry(worker, delay) => {
                self.stored.retry(held(worker)?, error(true), Duration::from_secs(delay), now).ok()
            }
            Step::Release(worker) => self.stored.release(held(worker)?, now).ok(),
            Step::Expire => self.stored.expire(verdict(true), now).ok(),
            Step::Reprocess => self.stored.reprocess(now).ok(),
            Step::Republish => self.stored.republish(now).ok(),
            Step::PublishFailed => self.stored.publish_failed(now).ok(),
            Step::EventWritten => self.stored.event_written().ok(),
        }
    }
}

/// The arrows of the state machine; staying in a status is what renewing and republishing do.
fn lawful(from: Status, to: Status, step: &Step) -> bool {
    use Status::{Error, Pending, Running, Success};
    matches!(
        (from, to, step),
        (Pending | Running, Running, Step::Claim(_))
            | (Running, Running, Step::Renew(_) | Step::Republish | Step::PublishFailed)
            | (Pending, Pending, Step::Republish | Step::PublishFailed)
            | (Running, Success, Step::Succeed(_))
            | (Running, Error, Step::FailForGood(_) | Step::Die(_) | Step::Expire)
            | (Running, Pending, Step::Retry(..) | Step::Release(_))
            | (Error, Pending, Step::Reprocess)
            | (Error, Error, Step::EventWritten)
    )
}

/// How a step that ends an attempt ends it.
fn outcome(step: &Step) -> Option<AttemptOutcome> {
    match step {
        Step::Succeed(_) => Some(AttemptOutcome::Success),
        Step::FailForGood(_) | Step::Die(_) | Step::Expire => Some(AttemptOutcome::Error),
        Step::Retry(..) => Some(AttemptOutcome::Retry),
        Step::Release(_) => Some(AttemptOutcome::Released),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_lawful(steps in steps()) {
        let stored = command();
        let now = stored.key.created_at;
        let mut world = World { stored, claims: [None, None, None], now };
        let (mut successes, mut claims) = (0, 0);
        for step in &steps {
            let before = world.stored.clone();
            let Some(after) = world.next(step) else { continue };
            prop_assert!(lawful(before.status, after.status, step), "{:?} -> {:?} by {step:?}", before.status, after.status);
            prop_assert!(after.fence >= before.fence, "the fence shrank");
            prop_assert!(after.attempt <= after.max_attempts, "more attempts than allowed");
            prop_assert_eq!(after.key, before.key);
            prop_assert_eq!(after.holder().is_some(), after.status == Status::Running);
            if matches!(step, Step::Claim(_) | Step::Expire | Step::Reprocess) {
                prop_assert_eq!(after.fence, before.fence + 1, "a change of hands needs a new fence");
            }
            if let Some(holder) = before.holder() && !matches!(step, Step::Claim(_) | Step::Expire | Step::Republish | Step::PublishFailed) {
                let acted = match step {
                    Step::Renew(w) | Step::Succeed(w) | Step::FailForGood(w) | Step::Die(w) | Step::Retry(w, _)
                    | Step::Release(w) => world.claims[*w].as_ref().map(|(_, holder)| *holder),
                    _ => None,
                };
                prop_assert_eq!(acted, Some(holder), "somebody else than the holder wrote");
            }
            prop_assert_eq!(after.due().is_some(), !after.status.is_final() || after.owes_event);
            prop_assert!(after.status == Status::Error || !after.owes_event, "only an ERROR owes its event here");
            successes += u32::from(after.status == Status::Success);
            prop_assert!(successes <= 1, "two effective outcomes");
            prop_assert_eq!(after.status.is_final(), after.completed_at.is_some());
            claims += usize::from(matches!(step, Step::Claim(_)));
            let told = after.told_attempts();
            prop_assert_eq!(told.len(), claims.min(ATTEMPTS_KEPT), "an attempt is missing, or there is one too many");
            prop_assert!(told.is_sorted_by_key(|attempt| attempt.started_at));
            let running = told.iter().filter(|attempt| attempt.outcome.is_none()).count();
            prop_assert_eq!(running, usize::from(after.status == Status::Running));
            if let Some(outcome) = outcome(step) {
                let last = told.last().expect("it has been claimed");
                prop_assert_eq!((last.outcome, last.ended_at), (Some(outcome), Some(world.now)));
                prop_assert_eq!(last.error.is_some(), matches!(outcome, AttemptOutcome::Error | AttemptOutcome::Retry));
            }
            world.stored = after;
        }
    }

    #[test]
    fn nothing_is_stuck(steps in steps()) {
        // Whatever happened, time and a willing worker bring an end.
        let stored = command();
        let now = stored.key.created_at;
        let mut world = World { stored, claims: [None, None, None], now };
        for step in &steps {
            if let Some(after) = world.next(step) {
                world.stored = after;
            }
        }
        world.now += Duration::from_secs(400);
        if !world.stored.status.is_final() {
            prop_assert!(world.stored.due().is_some_and(|due| due.at <= world.now), "the index does not name it");
            prop_assert!(world.stored.republish(world.now).is_ok(), "the reconciler does not see it");
            let claimed = world.stored.claim(LeaseOwner::fresh(), LEASE, world.now);
            let expired = world.stored.expire(verdict(true), world.now);
            prop_assert!(claimed.is_ok() != expired.is_ok(), "either a claim or an expiry, never both");
        }
    }
}

#[test]
fn an_attempt_that_was_not_heard_of_any_more_says_so() {
    let fresh = command();
    let (now, later) = (fresh.key.created_at, fresh.key.created_at + LEASE);
    let lost = fresh.claim(LeaseOwner::fresh(), LEASE, now).unwrap();
    assert_eq!(lost.told_attempts()[0].outcome, None, "it runs");
    let taken_over = lost.claim(LeaseOwner::fresh(), LEASE, later).unwrap().told_attempts();
    let outcomes: Vec<_> = taken_over.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(AttemptOutcome::LeaseLost), None]);
}

#[test]
fn of_many_long_errors_little_is_kept() {
    let mut command = command();
    let now = command.key.created_at;
    let error = CommandError::new("test", &"\u{1f980}".repeat(10_000), true);
    for _ in 0..30 {
        let owner = LeaseOwner::fresh();
        let held = command.claim(owner, LEASE, now).unwrap();
        let retried = held.retry(held.holder().unwrap(), error.clone(), Duration::ZERO, now).unwrap();
        command = Command { attempt: 0, ..retried };
    }
    let size = serde_json::to_vec(&command).unwrap().len();
    assert!(size < 100_000, "an item of DynamoDB holds 400 KB: {size}");
}

#[test]
fn a_release_gives_the_attempt_back() {
    let fresh = command();
    let now = fresh.key.created_at;
    let owner = LeaseOwner::fresh();
    let claimed = fresh.claim(owner, LEASE, now).unwrap();
    let released = claimed.release(Holder { fence: 1, owner }, now).unwrap();
    assert_eq!((released.status, released.attempt, released.fence), (Status::Pending, 0, 1));
}

#[test]
fn the_wait_between_publishings_doubles_up_to_five_minutes() {
    let mut command = command();
    let mut waits = Vec::new();
    for _ in 0..7 {
        let due = command.next_publish_at.unwrap();
        assert!(command.republish(due - Duration::from_millis(1)).is_err());
        command = command.republish(due).unwrap();
        waits.push((command.next_publish_at.unwrap() - due).num_seconds());
    }
    assert_eq!(waits, [30, 60, 120, 240, 300, 300, 300]);
}
