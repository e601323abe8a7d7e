//! What a connection is waiting for, since when, and until when it may.

use std::{
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;

/// Balancers keep idle connections for a minute: one that is closed before they let go of it swallows a request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a head may take, TLS before it included.
pub const HEAD: Duration = Duration::from_secs(5);
/// How long a body may take after its head.
pub const BODY: Duration = Duration::from_secs(5);
/// How long it may take until an answer has been taken.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a client that was answered before it had sent everything has to read that.
pub const LINGER: Duration = Duration::from_secs(2);
/// Bodies are cut off by HTTP's own layer; this ends what frames little in much.
const BYTES_OF_REQUEST: usize = 1024 * 1024;
/// How much is still taken from such a client.
const BYTES_OF_LINGER: usize = 64 * 1024;
/// So much later than HTTP's own layer, which says why it ends a connection.
const GRACE: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client: a request.
    Idle,
    /// The client: the rest of a head.
    Head,
    /// The client: the rest of a body.
    Body,
    /// Us: whether whoever asks may, and has a place.
    Asked,
    /// Us: an answer.
    Work,
    /// The client: that it takes the answer.
    Answer,
    /// The client: that it reads why it is not listened to any more.
    Linger,
}

/// A connection, as its stream, its requests and the others know it.
#[derive(Debug)]
pub struct Connection {
    pub(super) address: IpAddr,
    state: Mutex<State>,
    cut: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    deadline: Option<Instant>,
    bytes: usize,
    /// Whether more has come than the request that is being answered.
    has_more: bool,
    /// Whether there is more of the answer than has been given.
    goes_on: bool,
}

impl State {
    fn enter(&mut self, phase: Phase, limit: Option<Duration>) {
        let now = Instant::now();
        (self.phase, self.since, self.deadline) = (phase, now, limit.map(|limit| now + limit));
    }
}

impl Connection {
    /// One from that address that has just been accepted.
    pub(super) fn accepted(address: IpAddr) -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Head,
            since: now,
            deadline: Some(now + HEAD + GRACE),
            bytes: BYTES_OF_REQUEST,
            has_more: false,
            goes_on: false,
        };
        Self { address, state: Mutex::new(state), cut: AtomicBool::new(false), waker: AtomicWaker::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come; whether so many may.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        let mut state = self.state();
        match state.phase {
            Phase::Idle if bytes > 0 => state.enter(Phase::Head, Some(HEAD + GRACE)),
            Phase::Asked | Phase::Work | Phase::Answer if bytes > 0 => state.has_more = true,
            _ => {}
        }
        match state.bytes.checked_sub(bytes) {
            Some(left) => {
                state.bytes = left;
                true
            }
            None => false,
        }
    }

    /// A head is there.
    pub(super) fn begin_request(&self, has_body: bool) {
        let mut state = self.state();
        (state.bytes, state.has_more, state.goes_on) = (BYTES_OF_REQUEST, false, false);
        match has_body {
            true => state.enter(Phase::Body, Some(BODY + GRACE)),
            false => state.enter(Phase::Asked, None),
        }
    }

    /// A body is there.
    pub(super) fn end_body(&self) {
        let mut state = self.state();
        if state.phase == Phase::Body {
            state.enter(Phase::Asked, None);
        }
    }

    /// The request has a place among those that are worked on.
    pub fn begin_work(&self) {
        let mut state = self.state();
        if state.phase == Phase::Asked {
            state.enter(Phase::Work, None);
        }
    }

    /// The answer is there; whether all of the request was is what decides how it goes on.
    pub(super) fn answer(&self, has_ended: bool) {
        let mut state = self.state();
        match has_ended {
            true => state.enter(Phase::Answer, Some(ANSWER)),
            false => {
                state.bytes = BYTES_OF_LINGER;
                state.enter(Phase::Linger, Some(LINGER + GRACE));
            }
        }
    }

    /// A part of an answer that comes in parts is there, or it has ended.
    pub(super) fn answer_part(&self, goes_on: bool) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Work | Phase::Answer) {
            state.goes_on = goes_on;
            state.enter(Phase::Answer, Some(ANSWER));
        }
    }

    /// The client takes nothing at the moment.
    pub(super) fn stall(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            state.enter(Phase::Answer, Some(ANSWER));
        }
    }

    /// The client has taken all there was.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.phase == Phase::Answer && state.goes_on {
            // The client waits for us again.
            state.enter(Phase::Work, None);
        } else if state.phase == Phase::Answer {
            state.bytes = BYTES_OF_REQUEST;
            match state.has_more {
                // The next head has begun to come.
                true => state.enter(Phase::Head, Some(HEAD + GRACE)),
                false => state.enter(Phase::Idle, Some(KEEP_ALIVE + GRACE)),
            }
        }
    }

    /// Since when it keeps its place without being worked for.
    pub(super) fn idles_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.phase != Phase::Work).then_some(state.since)
    }

    /// Whether its time is over.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.state().deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Ends it; whoever serves it is told. Whether it had not been ended before.
    pub(super) fn cut(&self) -> bool {
        let is_first = !self.cut.swap(true, Ordering::AcqRel);
        self.waker.wake();
        is_first
    }

    /// Whether it has been ended; if it is later, that waker is woken.
    pub(super) fn is_cut(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.cut.load(Ordering::Acquire)
    }
}
