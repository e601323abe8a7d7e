//! Bugs planted on purpose, one at a time, to show that a storm or a test sees them.
//!
//! Without the cargo feature `planted-bugs` there are none: [`planted`] is the constant `false`, and what
//! it guards is not compiled in. Nothing but the tests' own program turns the feature on.

/// A safeguard that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// RabbitMQ deliveries count as acknowledged when they are sent, not when their outcome is stored.
    AcknowledgeFirst,
    /// A holder's write does not look whether it still is the holder.
    NoFencingCheck,
    /// A claim does not look whether another came first.
    NoClaimCondition,
    /// An effect is made without a look at its record, and under a fresh key each time.
    NoEffectKey,
    /// Nothing that got lost is published again.
    NoReconciler,
    /// A job counts as published when RabbitMQ has been sent it, not when it has taken it.
    NoConfirm,
    /// What lost its worker is not published again.
    ReconcilerSkipsRunning,
    /// A delivery that was dropped unsettled is not given back.
    DropsUnsettled,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AcknowledgeFirst,
        Self::NoFencingCheck,
        Self::NoClaimCondition,
        Self::NoEffectKey,
        Self::NoReconciler,
        Self::NoConfirm,
        Self::ReconcilerSkipsRunning,
        Self::DropsUnsettled,
    ];

    /// Its name, as `PLANTED_BUG` in the environment has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcknowledgeFirst => "acknowledge-first",
            Self::NoFencingCheck => "no-fencing-check",
            Self::NoClaimCondition => "no-claim-condition",
            Self::NoEffectKey => "no-effect-key",
            Self::NoReconciler => "no-reconciler",
            Self::NoConfirm => "no-confirm",
            Self::ReconcilerSkipsRunning => "reconciler-skips-running",
            Self::DropsUnsettled => "drops-unsettled",
        }
    }
}

/// A check that is left out, for whoever tries the door: the tests of the panel must see each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// Whoever is signed in counts as an operator.
    NoRoleCheck,
    /// A form is taken from wherever it comes.
    NoOriginCheck,
}

impl Hole {
    /// Its name, as `PLANTED_BUG` in the environment has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRoleCheck => "no-role-check",
            Self::NoOriginCheck => "no-origin-check",
        }
    }
}

/// Whether that bug has been planted in this process.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(_: Bug) -> bool {
    false
}

/// Whether that bug has been planted in this process: the one that `PLANTED_BUG` names.
#[cfg(feature = "planted-bugs")]
pub fn planted(bug: Bug) -> bool {
    is_named(bug.name())
}

/// Whether that check is left out in this process.
#[cfg(not(feature = "planted-bugs"))]
pub const fn is_open(_: Hole) -> bool {
    false
}

/// Whether that check is left out in this process.
#[cfg(feature = "planted-bugs")]
pub fn is_open(hole: Hole) -> bool {
    is_named(hole.name())
}

#[cfg(feature = "planted-bugs")]
fn is_named(name: &str) -> bool {
    static NAMED: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("PLANTED_BUG").ok());
    NAMED.as_deref() == Some(name)
}
