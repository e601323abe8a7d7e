//! Figures, money and times as people read them. Pure; what is written reads back to the same value.

use std::time::Duration;

use chrono::{Datelike, NaiveDate, TimeZone, Timelike};
use chrono_tz::Tz;
use painel_shared::time::Timestamp;

use super::texts::Language;

/// Between a figure and its unit, so that they stay on one line.
const NO_BREAK: char = '\u{a0}';

/// How somebody reads figures and times: in which language, and in which zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The language.
    pub language: Language,
    /// The zone of times; days of usage are UTC whatever it is.
    pub zone: Tz,
}

impl Format {
    fn marks(self) -> (char, char) {
        match self.language {
            Language::Portuguese => ('.', ','),
            Language::English => (',', '.'),
        }
    }

    /// A whole number: 1.234.567.
    pub fn count(self, number: i64) -> String {
        let (group, _) = self.marks();
        let sign = if number < 0 { "-" } else { "" };
        format!("{sign}{}", grouped(&number.unsigned_abs().to_string(), group))
    }

    /// A number with so many decimals: 1.234,50.
    pub fn decimal(self, value: f64, decimals: usize) -> String {
        let (group, point) = self.marks();
        let plain = format!("{:.decimals$}", value.abs());
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        // What is rounded to nothing has no sign.
        let sign = if value < 0.0 && plain.contains(|digit| matches!(digit, '1'..='9')) { "-" } else { "" };
        let whole = grouped(whole, group);
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}{point}{fraction}") }
    }

    /// A number for programs: without marks between its digits, and no more decimals than it has.
    pub fn plain(self, value: f64, decimals: usize) -> String {
        let (_, point) = self.marks();
        let text = format!("{value:.decimals$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        text.replace('.', &point.to_string())
    }

    /// An amount of money, in cents: R$ 1.234,50.
    pub fn money(self, cents: i64) -> String {
        let (_, point) = self.marks();
        let sign = if cents < 0 { "-" } else { "" };
        let (reais, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
        let (group, _) = self.marks();
        format!("{sign}R${NO_BREAK}{}{point}{rest:02}", grouped(&reais.to_string(), group))
    }

    /// How much more or less something is, in per cent, with its sign: +12,4 %.
    pub fn change(self, value: f64) -> String {
        let text = self.signed(value);
        match self.language {
            Language::Portuguese => format!("{text}{NO_BREAK}%"),
            Language::English => format!("{text}%"),
        }
    }

    /// By how many points a share in per cent has moved, with its sign: -0,4 p.p.
    pub fn points(self, value: f64) -> String {
        let unit = match self.language {
            Language::Portuguese => "p.p.",
            Language::English => "pp",
        };
        format!("{}{NO_BREAK}{unit}", self.signed(value))
    }

    /// With one decimal where there is something behind the point, and with its sign where it is not nothing.
    fn signed(self, value: f64) -> String {
        let tenths = (value * 10.0).round();
        let text = self.decimal(tenths / 10.0, usize::from(tenths % 10.0 != 0.0));
        if tenths > 0.0 { format!("+{text}") } else { text }
    }

    /// Per cent, with one decimal where there is something behind the point: 97,5 %.
    pub fn percent(self, value: f64) -> String {
        // 99.96 of 100 are not all.
        let cut = if value < 100.0 { value.min(99.9) } else { value };
        let decimals = usize::from((cut * 10.0).round() % 10.0 != 0.0);
        let text = self.decimal(cut, decimals);
        match self.language {
            Language::Portuguese => format!("{text}{NO_BREAK}%"),
            Language::English => format!("{text}%"),
        }
    }

    /// A duration: 120 ms, 3,4 s, 2 min 5 s, 3 h 12 min.
    pub fn duration(self, millis: f64) -> String {
        let unit = |text: String, unit: &str| format!("{text}{NO_BREAK}{unit}");
        let seconds = whole(millis / 1000.0);
        match millis {
            ..999.5 => unit(self.decimal(millis, 0), "ms"),
            ..59_950.0 => unit(self.decimal(millis / 1000.0, 1), "s"),
            ..3_599_500.0 => {
                format!("{} {}", unit((seconds / 60).to_string(), "min"), unit((seconds % 60).to_string(), "s"))
            }
            _ => format!(
                "{} {}",
                unit(self.count(seconds / 3600), "h"),
                unit((seconds / 60 % 60).to_string(), "min")
            ),
        }
    }

    /// The same of a whole number.
    pub fn duration_of(self, millis: u64) -> String {
        self.duration(Duration::from_millis(millis).as_secs_f64() * 1000.0)
    }

    /// A number as short as the axis of a chart needs it: 1,2 mil, 3,4 mi.
    pub fn short(self, value: f64) -> String {
        let (thousand, million) = match self.language {
            Language::Portuguese => ("mil", "mi"),
            Language::English => ("k", "M"),
        };
        let scaled = |by: f64, unit: &str| {
            let value = value / by;
            let text = self.decimal(value, usize::from(value.abs() < 10.0 && (value * 10.0).round() % 10.0 != 0.0));
            match self.language {
                Language::Portuguese => format!("{text}{NO_BREAK}{unit}"),
                Language::English => format!("{text}{unit}"),
            }
        };
        match value.abs() {
            ..1_000.0 => {
                self.decimal(value, usize::from(value.abs() < 10.0 && (value * 10.0).round() % 10.0 != 0.0))
            }
            ..999_500.0 => scaled(1_000.0, thousand),
            _ => scaled(1_000_000.0, million),
        }
    }

    /// A day: 25/11/2026.
    pub fn day(self, day: NaiveDate) -> String {
        match self.language {
            Language::Portuguese => format!("{:02}/{:02}/{:04}", day.day(), day.month(), day.year()),
            Language::English => format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day()),
        }
    }

    /// A day without its year: 25/11.
    pub fn short_day(self, day: NaiveDate) -> String {
        match self.language {
            Language::Portuguese => format!("{:02}/{:02}", day.day(), day.month()),
            Language::English => format!("{:02}-{:02}", day.month(), day.day()),
        }
    }

    /// A month: 11/2026.
    pub fn month(self, year: i32, month: u32) -> String {
        match self.language {
            Language::Portuguese => format!("{month:02}/{year:04}"),
            Language::English => format!("{year:04}-{month:02}"),
        }
    }

    /// A month that is stored as `YYYY-MM`.
    pub fn stored_month(self, stored: &str) -> String {
        let parsed =
            stored.split_once('-').and_then(|(year, month)| Some((year.parse().ok()?, month.parse().ok()?)));
        parsed.map_or_else(|| stored.to_owned(), |(year, month)| self.month(year, month))
    }

    /// An instant in the reader's zone: 25/11/2026 14:03.
    pub fn time(self, at: Timestamp) -> String {
        let local = self.zone.from_utc_datetime(&at.naive_utc());
        format!("{} {:02}:{:02}", self.day(local.date_naive()), local.hour(), local.minute())
    }

    /// The same to the second: 25/11/2026 14:03:07.
    pub fn exact_time(self, at: Timestamp) -> String {
        let local = self.zone.from_utc_datetime(&at.naive_utc());
        format!("{}:{:02}", self.time(at), local.second())
    }

    /// What a clock on the reader's wall shows: 14:03.
    pub fn clock(self, at: Timestamp) -> String {
        let local = self.zone.from_utc_datetime(&at.naive_utc());
        format!("{:02}:{:02}", local.hour(), local.minute())
    }
}

/// A CNPJ as people write it: 12.345.678/0001-95. Since 2026 it may hold letters (IN RFB 2.229/2024).
pub fn cnpj(stored: &str) -> String {
    let (Some(a), Some(b), Some(c), Some(d), Some(e)) =
        (stored.get(..2), stored.get(2..5), stored.get(5..8), stored.get(8..12), stored.get(12..))
    else {
        return stored.to_owned();
    };
    format!("{a}.{b}.{c}/{d}-{e}")
}

fn grouped(digits: &str, mark: char) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(mark);
        }
        text.push(digit);
    }
    text
}

#[expect(clippy::cast_possible_truncation, reason = "durations are far below 2^63 seconds, and `as` saturates")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}
