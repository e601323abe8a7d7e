//! States and kinds of things in words. What nobody has named yet is shown as it is stored.

use painel_shared::command::Status;

use super::{
    command_words::status_chip,
    table::{Cell, Chip},
    texts::Texts,
};

/// The state of a tenant, an agent or an integration.
pub(super) fn state(t: &'static Texts, stored: &str) -> Cell {
    let words = &t.states;
    chip_or_text(
        stored,
        match stored {
            "active" => Some(Chip { kind: "success", word: words.active }),
            "inactive" => Some(Chip { kind: "neutral", word: words.inactive }),
            "suspended" => Some(Chip { kind: "high", word: words.suspended }),
            "error" => Some(Chip { kind: "error", word: words.error }),
            "pending" => Some(Chip { kind: "pending", word: words.pending }),
            _ => None,
        },
    )
}

/// The state of a rollup run.
pub(super) fn run_state(t: &'static Texts, stored: &str) -> Cell {
    let words = &t.states;
    chip_or_text(
        stored,
        match stored {
            "queued" => Some(Chip { kind: "pending", word: t.status.pending }),
            "running" => Some(Chip { kind: "running", word: t.status.running }),
            "succeeded" => Some(Chip { kind: "success", word: t.status.success }),
            "failed" => Some(Chip { kind: "error", word: words.error }),
            _ => None,
        },
    )
}

/// What has happened, by the type of its event.
pub(super) fn event(t: &'static Texts, stored: &str) -> String {
    named(&t.audit.events, stored)
}

/// What came of something, by the status of its event.
pub(super) fn status(t: &'static Texts, stored: &str) -> Cell {
    let known = Status::ALL.into_iter().find(|status| status.as_str() == stored);
    known.map_or_else(|| Cell::Text(stored.to_owned()), |status| Cell::Chip(status_chip(t, status)))
}

/// How a ticket stands.
pub(super) fn ticket_chip(t: &'static Texts, stored: &str) -> Chip {
    match stored {
        "answered" => Chip { kind: "success", word: t.tickets.answered },
        "closed" => Chip { kind: "neutral", word: t.tickets.closed },
        _ => Chip { kind: "pending", word: t.tickets.waiting },
    }
}

/// How grave an incident is.
pub(super) fn severity(t: &'static Texts, stored: &str) -> Cell {
    let words = &t.states;
    chip_or_text(
        stored,
        match stored {
            "info" => Some(Chip { kind: "neutral", word: words.info }),
            "warning" => Some(Chip { kind: "pending", word: words.warning }),
            "error" => Some(Chip { kind: "high", word: words.error }),
            "critical" => Some(Chip { kind: "critical", word: words.critical }),
            _ => None,
        },
    )
}

/// A plan's name.
pub(super) fn plan(t: &'static Texts, stored: &str) -> String {
    named(&t.plans, stored)
}

/// A segment's name.
pub(super) fn segment(t: &'static Texts, stored: &str) -> String {
    named(&t.segments, stored)
}

/// What a user of a tenant is.
pub(super) fn role(t: &'static Texts, stored: &str) -> String {
    named(&t.roles, stored)
}

fn named(words: &[(&str, &str)], stored: &str) -> String {
    words.iter().find(|(known, _)| *known == stored).map_or(stored, |(_, name)| name).to_owned()
}

fn chip_or_text(stored: &str, chip: Option<Chip>) -> Cell {
    chip.map_or_else(|| Cell::Text(stored.to_owned()), Cell::Chip)
}
