//! A table as a page shows it and a file holds it: what a page finds is put into one, and one template shows them all.

use std::time::Duration;

use chrono::NaiveDate;

use super::{
    format::Format,
    href::Href,
    texts::{TableTexts, Texts},
};

/// A table.
pub(super) struct Table {
    /// What it holds: its name, and which of how many.
    pub(super) caption: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    pub(super) pages: Pages,
    /// What is said where there is no row.
    pub(super) empty: Empty,
}

/// How much room a column needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// It stands on the smallest screen.
    Always,
    /// It stands where there is room.
    Wide,
}

/// A column.
pub(super) struct Column {
    pub(super) label: &'static str,
    pub(super) width: Width,
    pub(super) is_number: bool,
    pub(super) sort: Option<Sort>,
}

/// By what a table is sorted, and can be.
pub(super) struct Sort {
    /// Sorts by it, or the other way round.
    pub(super) href: String,
    /// `ascending`, `descending` or `none`.
    pub(super) aria: &'static str,
}

impl Column {
    /// One of words.
    pub(super) fn text(label: &'static str) -> Self {
        Self { label, width: Width::Always, is_number: false, sort: None }
    }

    /// One of figures.
    pub(super) fn number(label: &'static str) -> Self {
        Self { is_number: true, ..Self::text(label) }
    }

    /// The same, where there is room.
    pub(super) fn wide(self) -> Self {
        Self { width: Width::Wide, ..self }
    }

    fn sorted(self, sort: Sort) -> Self {
        Self { sort: Some(sort), ..self }
    }

    /// The same, to be sorted by as that member of the list, where the list has an order.
    pub(super) fn sorted_by(self, order: Option<&Order<'_>>, name: &str, begins_descending: bool) -> Self {
        match order {
            Some(order) => self.sorted(order.by(name, begins_descending)),
            None => self,
        }
    }

    /// How its cells look.
    pub(super) fn class(&self) -> &'static str {
        match (self.is_number, self.width) {
            (false, Width::Always) => "",
            (false, Width::Wide) => "wide",
            (true, Width::Always) => "number",
            (true, Width::Wide) => "number wide",
        }
    }
}

/// A row.
pub(super) struct Row {
    /// By which a script knows it again.
    pub(super) key: String,
    /// Its head, and the others, one a column.
    pub(super) cells: Vec<Cell>,
}

/// What stands in a cell.
pub(super) enum Cell {
    Text(String),
    Link {
        text: String,
        href: String,
    },
    Chip(Chip),
    Time(Stamp),
    Code(String),
    /// What stays on one line.
    Whole(String),
    /// How many.
    Count(i64),
    /// Money, in cents.
    Money(i64),
    /// Per cent.
    Percent(f64),
    /// A duration.
    Millis(f64),
    /// A day, in UTC.
    Day(NaiveDate),
    /// How something went, day by day: a line, and for whom cannot see it its least, most and last.
    Spark {
        path: String,
        summary: String,
    },
    /// A box to tick: the field's name, and what is chosen by it.
    Pick {
        name: String,
        label: String,
    },
    /// Shown as a dash.
    Nothing,
}

impl Cell {
    /// Words, or nothing.
    pub(super) fn or_dash(text: Option<&str>) -> Self {
        text.map_or(Self::Nothing, |text| Self::Text(text.to_owned()))
    }

    /// An instant, or nothing.
    pub(super) fn time_or_dash(at: Option<Stamp>) -> Self {
        at.map_or(Self::Nothing, Self::Time)
    }

    /// A duration in whole milliseconds.
    pub(super) fn millis(millis: u64) -> Self {
        Self::Millis(Duration::from_millis(millis).as_secs_f64() * 1000.0)
    }

    /// As people read it.
    pub(super) fn shown(&self, format: Format) -> String {
        match self {
            Self::Text(text) | Self::Whole(text) | Self::Code(text) | Self::Link { text, .. } => text.clone(),
            Self::Chip(chip) => chip.word.to_owned(),
            Self::Time(stamp) => stamp.text.clone(),
            Self::Count(number) => format.count(*number),
            Self::Money(cents) => format.money(*cents),
            Self::Percent(value) => format.percent(*value),
            Self::Millis(value) => format.duration(*value),
            Self::Day(day) => format.day(*day),
            Self::Pick { label, .. } => label.clone(),
            Self::Spark { summary, .. } => summary.clone(),
            Self::Nothing => "—".to_owned(),
        }
    }

    /// As programs read it: a figure without its unit, an instant and a day by ISO 8601.
    pub(super) fn plain(&self, format: Format) -> String {
        match self {
            Self::Time(stamp) => stamp.iso.clone(),
            Self::Count(number) => number.to_string(),
            Self::Money(cents) => format.plain(reais(*cents), 2),
            Self::Percent(value) | Self::Millis(value) => format.plain(*value, 2),
            Self::Day(day) => day.to_string(),
            Self::Nothing => String::new(),
            words => words.shown(format),
        }
    }

    /// The unit of such cells, where the cell itself does not say it.
    pub(super) fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Time(_) | Self::Day(_) => Some("UTC"),
            Self::Money(_) => Some("R$"),
            Self::Percent(_) => Some("%"),
            Self::Millis(_) => Some("ms"),
            _ => None,
        }
    }
}

/// Exact up to 2^53 cents.
#[expect(clippy::cast_precision_loss, reason = "amounts stay far below 2^53 cents")]
fn reais(cents: i64) -> f64 {
    cents as f64 / 100.0
}

/// A state: a shape, a word and a colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chip {
    /// Its look: `success`, `running`, `pending`, `error`, `dead`, `neutral`, `high` or `critical`.
    pub(super) kind: &'static str,
    pub(super) word: &'static str,
}

/// An instant: for programs, and for people.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    pub(super) iso: String,
    pub(super) text: String,
}

/// Where the other pages of a list are.
#[derive(Default)]
pub(super) struct Pages {
    pub(super) first: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

impl Pages {
    /// Those of a list that is read by `offset` and `limit`.
    pub(super) fn by_offset(here: &Href, offset: i64, limit: i64, total: i64) -> Self {
        Self::by("offset", here, offset, limit, total)
    }

    /// The same, of a list whose offset is that parameter of the page.
    pub(super) fn by(name: &str, here: &Href, offset: i64, limit: i64, total: i64) -> Self {
        let at = |offset: i64| match offset {
            0 => here.without(name).to_string(),
            offset => here.with(name, &offset.to_string()).to_string(),
        };
        Self {
            first: None,
            previous: (offset > 0).then(|| at((offset - limit).max(0))),
            next: (offset + limit < total).then(|| at(offset + limit)),
        }
    }

    /// Those of a list that leads on by a cursor, and back to its beginning.
    pub(super) fn by_cursor(here: &Href, next: Option<&str>) -> Self {
        Self {
            first: here.has("cursor").then(|| here.without("cursor").to_string()),
            previous: None,
            next: next.map(|cursor| here.with("cursor", cursor).to_string()),
        }
    }

    /// Whether the list has only one.
    pub(super) fn is_single(&self) -> bool {
        self.first.is_none() && self.previous.is_none() && self.next.is_none()
    }
}

/// What is said where there is nothing, and what can be done.
pub(super) struct Empty {
    pub(super) text: String,
    /// Where to go, and what that is called.
    pub(super) link: Option<(String, &'static str)>,
}

impl Empty {
    /// Nothing fits what was asked for; or there is nothing at all.
    pub(super) fn of(here: &Href, t: &TableTexts, nothing: &str) -> Self {
        match here.is_filtered() {
            true => Self { text: t.nothing_fits.to_owned(), link: Some((here.path().to_owned(), t.clear_filters)) },
            false => Self { text: nothing.to_owned(), link: None },
        }
    }
}

/// The order of a list that is sorted by `sort_by` and `sort_order`.
pub(super) struct Order<'a> {
    pub(super) here: &'a Href,
    /// What it is sorted by.
    pub(super) by: String,
    pub(super) is_descending: bool,
}

impl<'a> Order<'a> {
    /// As the address says.
    pub(super) fn of(here: &'a Href, default: &str) -> Self {
        Self {
            here,
            by: here.get("sort_by").unwrap_or(default).to_owned(),
            is_descending: here.get("sort_order") == Some("desc"),
        }
    }

    /// How a column sorts: the other way round where it does already.
    pub(super) fn by(&self, name: &str, begins_descending: bool) -> Sort {
        let is_by = self.by == name;
        let descending = if is_by { !self.is_descending } else { begins_descending };
        let order = if descending { "desc" } else { "asc" };
        Sort {
            href: self.here.without("offset").with("sort_by", name).with("sort_order", order).to_string(),
            aria: match (is_by, self.is_descending) {
                (true, true) => "descending",
                (true, false) => "ascending",
                _ => "none",
            },
        }
    }
}

/// The first and the last of the rows that begin at an offset, as people count.
pub(super) fn range(offset: i64, shown: usize) -> (i64, i64) {
    (offset + 1, offset.saturating_add(i64::try_from(shown).unwrap_or(i64::MAX)))
}

/// Which of how many rows a page shows: "Clientes: 1 a 50 de 312".
pub(super) fn caption(t: &'static Texts, name: &str, range: (i64, i64), total: &str) -> String {
    match range.0 > range.1 {
        true => name.to_owned(),
        false => format!("{name}: {}", (t.table.range)(range.0, range.1, total)),
    }
}
