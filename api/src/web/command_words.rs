//! Commands in words: their types, their states, what came of them.

use painel_shared::command::Status;
use serde_json::{Map, Value};

use super::{table::Chip, texts::Texts};
use crate::internal::commands::CommandView;

/// What a type is called; one that this build does not know, as it is stored.
pub(super) fn name(t: &'static Texts, command_type: &str) -> String {
    let known = t.commands.iter().find(|words| words.command_type == command_type);
    known.map_or(command_type, |words| words.name).to_owned()
}

/// A state as it is shown.
pub(super) fn chip_of(t: &'static Texts, command: &CommandView) -> Chip {
    if command.dead_letter { Chip { kind: "error", word: t.status.dead } } else { status_chip(t, command.status) }
}

/// A status as it is shown.
pub(super) fn status_chip(t: &'static Texts, status: Status) -> Chip {
    match status {
        Status::Pending => Chip { kind: "pending", word: t.status.pending },
        Status::Running => Chip { kind: "running", word: t.status.running },
        Status::Success => Chip { kind: "success", word: t.status.success },
        Status::Error => Chip { kind: "error", word: t.status.error },
    }
}

/// A result as it is shown: each of its values by its name.
pub(super) fn facts(map: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    map.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}
