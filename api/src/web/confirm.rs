//! What must be typed before a deed that harms more: the customer's name where a token is renewed, the number where many
//! messages move.

use painel_shared::commands::{CommandType, ResetToken};

use super::{filled::Filled, texts::Texts};
use crate::internal::preview::Preview;

/// Beyond so many dead letters the number is to be typed.
const MANY: u64 = 100;

/// What must be typed, and how it is asked for.
pub(super) struct Confirmation {
    what: What,
    pub(super) label: String,
}

enum What {
    Name(String),
    Number(u64),
}

impl Confirmation {
    /// That of a deed which would touch so much.
    pub(super) fn of(t: &'static Texts, preview: &Preview) -> Option<Self> {
        if preview.command_type == CommandType::of::<ResetToken>() {
            let name = preview.tenant_name.clone()?;
            return Some(Self { label: (t.send.type_name)(&name), what: What::Name(name) });
        }
        let number = preview.dead_letters.as_ref()?.would_move;
        let label = (t.send.type_number)(&number.to_string());
        (number > MANY).then_some(Self { label, what: What::Number(number) })
    }

    /// The number that is shown, by which a later answer is judged.
    pub(super) fn number(&self) -> Option<u64> {
        match self.what {
            What::Name(_) => None,
            What::Number(number) => Some(number),
        }
    }

    /// Whether it was typed.
    pub(super) fn is_met_by(&self, filled: &Filled) -> bool {
        let typed = filled.get("typed").map(str::trim);
        match &self.what {
            What::Name(name) => typed == Some(name),
            // Fewer than were shown may be left: some have moved meanwhile, or this very form was sent before.
            What::Number(now) => {
                let shown = filled.get("counted");
                typed == shown
                    && shown.and_then(|shown| shown.parse::<u64>().ok()).is_some_and(|shown| shown >= *now)
            }
        }
    }
}
