//! A kind of work: what differs between a command and a rollup run. What they share is the frame in [`crate::execute`].

use std::{fmt, time::Duration};

use painel_shared::{
    command::Holder,
    command_store::StoreError,
    db,
    job::{Job, JobKind},
};

use crate::{settle::Standing, supervise::Ended};

/// Work that is claimed, kept, carried out, recorded and settled.
pub trait Work: Clone + Send + Sync + 'static {
    /// By what a job names it.
    type Key: Copy + fmt::Display + Send + Sync;
    /// As it is stored.
    type Stored: Send + Sync;
    /// What carrying it out returns.
    type Output: Send + 'static;

    /// The kind of its jobs.
    fn kind(&self) -> JobKind;

    /// What that job is about; none where it is about something else.
    fn key(&self, job: &Job) -> Option<Self::Key>;

    /// How long a claim lasts.
    fn lease(&self) -> Duration;

    /// The longest that one attempt may take.
    fn limit(&self) -> Duration;

    /// Takes hold of it, under a fresh owner.
    fn claim(&self, key: Self::Key) -> impl Future<Output = Result<Claimed<Self::Stored>, WorkError>> + Send;

    /// Carries out one attempt.
    fn run(&self, held: &Held<Self::Stored>) -> impl Future<Output = Self::Output> + Send + 'static;

    /// Keeps hold of it for longer; false where it has passed to another.
    fn renew(&self, held: &Held<Self::Stored>) -> impl Future<Output = Result<bool, WorkError>> + Send;

    /// Stores what came of an attempt.
    fn record(
        &self,
        held: &Held<Self::Stored>,
        ended: Ended<Self::Output>,
    ) -> impl Future<Output = Result<Recorded<Self::Stored>, WorkError>> + Send;

    /// How it stands.
    fn standing(&self, stored: &Self::Stored) -> Standing;

    /// Ends what lost its lease in its last attempt: how it stands then, if it still exists.
    fn expire(&self, stored: &Self::Stored)
    -> impl Future<Output = Result<Option<Self::Stored>, WorkError>> + Send;

    /// Writes what must stand before the delivery of ended work is settled.
    fn close(&self, stored: &Self::Stored) -> impl Future<Output = Result<(), WorkError>> + Send;
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claimed<S> {
    /// It is the caller's.
    Held(Held<S>),
    /// It is not to be had; this is how it stands.
    Refused(S),
    /// No delivery will ever have it: why.
    Never(String),
}

/// Work in hand.
#[derive(Clone, Debug)]
pub struct Held<S> {
    /// As it was claimed.
    pub stored: S,
    /// The claim.
    pub holder: Holder,
}

/// What was stored of an attempt.
#[derive(Debug)]
pub struct Recorded<S> {
    /// What came of it, as metrics and logs name it.
    pub outcome: &'static str,
    /// How the work stands now, if it still exists.
    pub stored: Option<S>,
    /// Whether it was stored: not where the lease had passed to another.
    pub written: bool,
}

/// A store did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The command store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// PostgreSQL.
    #[error("PostgreSQL did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

impl WorkError {
    /// Whether another delivery would end the same.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store(error) => error.is_permanent(),
            Self::Database(error) => db::is_permanent(error),
        }
    }

    /// Whether PostgreSQL refuses what was to be written, and would take other data.
    pub fn is_about_data(&self) -> bool {
        matches!(self, Self::Database(error) if db::is_about_data(error))
    }
}
