//! A figure that counts, and what it is measured by.

use super::visit::Visit;

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

    /// The same with how much that is more or less than in the period before, where there was one.
    pub(super) fn since(self, visit: &Visit, now: f64, before: Option<f64>) -> Self {
        let Some(before) = before.filter(|before| *before > 0.0) else { return self };
        let change = visit.format().change((now - before) / before * 100.0);
        self.noted((visit.t().usage.than_before)(&change))
    }

    /// How many of so many requests succeeded, in per cent, and by how many points that has moved; of none there is no share.
    pub(super) fn share(visit: &Visit, now: f64, of: i64, before: Option<f64>) -> Self {
        let name = visit.t().usage.success;
        if of == 0 {
            return Self::new(name, "—".to_owned());
        }
        let kpi = Self::new(name, visit.format().percent(now));
        let Some(before) = before else { return kpi };
        let points = visit.format().points(now - before);
        kpi.noted((visit.t().usage.than_before)(&points))
    }

    /// The same with that, where nothing else is said of it.
    pub(super) fn or_noted(self, note: String) -> Self {
        if self.note.is_some() { self } else { self.noted(note) }
    }

    /// The same, of a limit.
    pub(super) fn of(self, value: i64, most: i64) -> Self {
        Self { meter: Some(Meter { value, most }), ..self }
    }
}
