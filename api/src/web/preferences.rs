//! How somebody reads the panel.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{
    format::Format,
    texts::{Language, Texts},
};

/// A zone that can be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Zone {
    /// Brasília time.
    #[default]
    SaoPaulo,
    /// Two hours behind UTC.
    Noronha,
    /// Four hours behind UTC.
    Manaus,
    /// Five hours behind UTC.
    RioBranco,
    /// UTC itself.
    Utc,
}

impl Zone {
    pub(crate) const ALL: [Self; 5] = [Self::SaoPaulo, Self::Noronha, Self::Manaus, Self::RioBranco, Self::Utc];

    /// The zone of the database of time zones.
    pub(crate) fn tz(self) -> Tz {
        match self {
            Self::SaoPaulo => Tz::America__Sao_Paulo,
            Self::Noronha => Tz::America__Noronha,
            Self::Manaus => Tz::America__Manaus,
            Self::RioBranco => Tz::America__Rio_Branco,
            Self::Utc => Tz::UTC,
        }
    }

    /// As it is sent by a form and named to people.
    pub(crate) fn name(self) -> &'static str {
        self.tz().name()
    }
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// As it is sent by a form, and stands in the page.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// What somebody has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preferences {
    pub(crate) language: Language,
    pub(crate) zone: Zone,
    pub(crate) theme: Theme,
    /// Rows stand closer.
    pub(crate) is_dense: bool,
    /// What is unfinished is looked at again and again.
    pub(crate) is_live: bool,
    /// Single keys lead to pages.
    pub(crate) has_shortcuts: bool,
    /// A page looks again no sooner than after so many seconds.
    #[serde(default = "often")]
    pub(crate) interval_seconds: u8,
}

/// What can be chosen for it.
pub(crate) const INTERVALS: [u8; 5] = [1, 2, 5, 10, 30];

fn often() -> u8 {
    INTERVALS[0]
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            language: Language::default(),
            zone: Zone::default(),
            theme: Theme::default(),
            is_dense: false,
            is_live: true,
            has_shortcuts: true,
            interval_seconds: often(),
        }
    }
}

impl Preferences {
    /// The words of the language.
    pub(super) fn texts(self) -> &'static Texts {
        self.language.texts()
    }

    /// How figures and times are written.
    pub(super) fn format(self) -> Format {
        Format { language: self.language, zone: self.zone.tz() }
    }
}
