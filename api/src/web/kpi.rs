//! A figure that counts, and what it is measured by.

/// A figure.
pub(super) struct Kpi {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) note: Option<String>,
    /// How much of how much, where there is a limit.
    pub(super) meter: Option<Meter>,
}

/// Some of a limit.
pub(super) struct Meter {
    pub(super) value: i64,
    pub(super) most: i64,
}

impl Kpi {
    /// A figure alone.
    pub(super) fn new(name: &'static str, value: String) -> Self {
        Self { name, value, note: None, meter: None }
    }

    /// The same with what it is measured by.
    pub(super) fn noted(self, note: String) -> Self {
        Self { note: Some(note), ..self }
    }

    /// The same, of a limit.
    pub(super) fn of(self, value: i64, most: i64) -> Self {
        Self { meter: Some(Meter { value, most }), ..self }
    }
}
