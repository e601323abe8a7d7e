//! Charts as SVG, made on the server: lines, stacked bars, ranked bars. Pure. Positions are in per cent, so that a chart fits
//! any width and its words do not shrink; what a chart shows stands in a table beneath it, too.

use std::fmt::Write;

use chrono::NaiveDate;

use super::{
    format::Format,
    table::{Cell, Table},
    texts::Texts,
    usage,
};

/// How many lines a chart's scale has at most, beside that of nothing.
const TICKS: usize = 4;
/// How many days are named beneath a chart.
const NAMED_DAYS: usize = 6;
/// Where the plot begins and ends, in per cent of the chart's height: words stand beneath it.
const TOP: f64 = 4.0;
const BOTTOM: f64 = 88.0;
/// How wide a character of the scale is at most, in pixels, at 13 pixels of DejaVu Sans.
const CHARACTER: usize = 9;

/// A chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// Least, most and last, in a sentence.
    pub(super) summary: String,
    pub(super) plot: Plot,
    pub(super) data: Table,
}

/// What is drawn.
pub(super) struct Plot {
    /// How wide the column of the scale's words is, in pixels.
    pub(super) gutter: usize,
    pub(super) scale: Vec<Tick>,
    pub(super) days: Vec<Tick>,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<Curve>,
    pub(super) legend: Vec<Key>,
}

/// A word beside, or beneath.
pub(super) struct Tick {
    /// Where, in per cent.
    pub(super) at: String,
    pub(super) text: String,
    /// How it stands there: `start`, `middle` or `end`.
    pub(super) anchor: &'static str,
}

/// A part of a bar, in per cent.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) series: usize,
}

/// A curve in a square of a hundred.
pub(super) struct Curve {
    pub(super) path: String,
    pub(super) series: usize,
}

/// What a colour, and a pattern, stands for.
pub(super) struct Key {
    pub(super) series: usize,
    pub(super) label: &'static str,
}

/// A series of values, one a day; none where there is no value.
pub(super) struct Series {
    pub(super) label: &'static str,
    pub(super) values: Vec<Option<f64>>,
}

/// How values are written: whole, or as short as the scale needs it.
pub(super) type Written = fn(Format, f64) -> String;

impl Plot {
    /// A curve a series.
    pub(super) fn lines(format: Format, days: &[NaiveDate], series: &[Series], written: Written) -> Self {
        let most = series.iter().flat_map(|one| one.values.iter().flatten()).copied().fold(0.0, f64::max);
        let (scale, top) = scale(format, most, written);
        let lines =
            series.iter().enumerate().map(|(place, one)| Curve { path: path(&one.values, top), series: place + 1 });
        Self { lines: lines.collect(), bars: Vec::new(), ..Self::around(format, days, scale, series) }
    }

    /// A bar a day, on which the series stand on one another.
    pub(super) fn stacked(format: Format, days: &[NaiveDate], series: &[Series], written: Written) -> Self {
        let of_day =
            |day: usize| series.iter().map(move |one| one.values.get(day).copied().flatten().unwrap_or(0.0));
        let most = (0..days.len()).map(|day| of_day(day).sum::<f64>()).fold(0.0, f64::max);
        let (scale, top) = scale(format, most, written);
        let slot = 100.0 / float(days.len().max(1));
        let mut bars = Vec::new();
        for day in 0..days.len() {
            let mut below = 0.0;
            for (place, value) in of_day(day).enumerate().filter(|(_, value)| *value > 0.0) {
                let (from, to) = (height(below, top), height(below + value, top));
                bars.push(Bar {
                    x: percent(slot * (float(day) + 0.15)),
                    y: percent(to),
                    width: percent(slot * 0.7),
                    height: percent(from - to),
                    series: place + 1,
                });
                below += value;
            }
        }
        Self { bars, lines: Vec::new(), ..Self::around(format, days, scale, series) }
    }

    fn around(format: Format, days: &[NaiveDate], scale: Vec<Tick>, series: &[Series]) -> Self {
        let widest = scale.iter().map(|tick| tick.text.chars().count()).max().unwrap_or(0);
        Self {
            gutter: widest * CHARACTER + 8,
            scale,
            days: named_days(format, days),
            bars: Vec::new(),
            lines: Vec::new(),
            legend: series
                .iter()
                .enumerate()
                .map(|(place, one)| Key { series: place + 1, label: one.label })
                .collect(),
        }
    }
}

/// "Mínimo 12 (01/11), máximo 80 (05/11), último 44."
pub(super) fn summary(
    t: &'static Texts,
    format: Format,
    days: &[NaiveDate],
    values: &[f64],
    written: Written,
) -> String {
    let named = |place: usize| {
        let day = days.get(place).map(|day| format.short_day(*day)).unwrap_or_default();
        (values.get(place).map(|value| written(format, *value)).unwrap_or_default(), day)
    };
    let by_value = |a: &usize, b: &usize| {
        let at = |place: &usize| values.get(*place).copied().unwrap_or_default();
        at(a).total_cmp(&at(b))
    };
    let places = || 0..values.len();
    match (places().min_by(by_value), places().max_by(by_value), values.last()) {
        (Some(least), Some(most), Some(last)) => {
            let ((least, least_day), (most, most_day)) = (named(least), named(most));
            (t.table.chart_summary)([&least, &least_day, &most, &most_day, &written(format, *last)])
        }
        _ => t.table.no_data.to_owned(),
    }
}

/// The lines of a scale that holds `most`, and where it ends: at a round number.
fn scale(format: Format, most: f64, written: Written) -> (Vec<Tick>, f64) {
    let step = round_step(most / float(TICKS));
    let count = (most / step).ceil().max(1.0);
    let top = step * count;
    let mut ticks = Vec::new();
    let mut value = 0.0;
    while value <= top + step / 2.0 {
        ticks.push(Tick { at: percent(height(value, top)), text: written(format, value), anchor: "end" });
        value += step;
    }
    (ticks, top)
}

/// The next of 1, 2, 5, 10, 20, 50, .. that is no smaller.
fn round_step(at_least: f64) -> f64 {
    if at_least <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powf(at_least.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= at_least * 0.999);
    step.unwrap_or(10.0 * power)
}

/// Some of the days, evenly.
fn named_days(format: Format, days: &[NaiveDate]) -> Vec<Tick> {
    let last = days.len().saturating_sub(1);
    let every = last.div_ceil(NAMED_DAYS).max(1);
    let slot = 100.0 / float(days.len().max(1));
    let named = days.iter().enumerate().step_by(every);
    named
        .map(|(place, day)| Tick {
            at: percent(slot * (float(place) + 0.5)),
            text: format.short_day(*day),
            anchor: if place == 0 {
                "start"
            } else if place == last {
                "end"
            } else {
                "middle"
            },
        })
        .collect()
}

/// A curve through what there is; it begins anew behind what there is not.
fn path(values: &[Option<f64>], top: f64) -> String {
    let slot = 100.0 / float(values.len().max(1));
    let mut path = String::new();
    let mut is_open = false;
    for (place, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let (x, y) = (slot * (float(place) + 0.5), 100.0 - 100.0 * value / top);
            let how = if is_open { 'L' } else { 'M' };
            // Writing into text does not fail.
            let _ = write!(path, "{how}{x:.2} {y:.2}");
        }
        is_open = value.is_some();
    }
    path
}

/// Where a value stands, in per cent from above.
fn height(value: f64, top: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * value / top
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

/// Exact up to 2^53, which no count of days comes near.
#[expect(clippy::cast_precision_loss, reason = "a chart has some hundred days")]
fn float(number: usize) -> f64 {
    number as f64
}

/// What is ranked: its name, where it leads, its value in words, and its share of the largest, in per cent.
pub(super) struct Ranked {
    pub(super) name: String,
    pub(super) href: Option<String>,
    pub(super) value: String,
    pub(super) share: String,
}

/// A bar for each, the largest first as they come.
pub(super) fn ranked(entries: Vec<(String, Option<String>, f64, String)>) -> Vec<Ranked> {
    let most = entries.iter().map(|(_, _, value, _)| *value).fold(0.0, f64::max);
    let share = |value: f64| percent(if most > 0.0 { 100.0 * value / most } else { 0.0 });
    entries
        .into_iter()
        .map(|(name, href, value, text)| Ranked { name, href, share: share(value), value: text })
        .collect()
}

/// A line for a cell: in a square of a hundred, from nothing to the most.
pub(super) fn spark(t: &'static Texts, format: Format, values: &[i64]) -> Cell {
    let most = values.iter().copied().max().unwrap_or_default().max(1);
    let last = values.len().saturating_sub(1).max(1);
    let mut path = String::new();
    for (place, value) in values.iter().enumerate() {
        let x = 100.0 * float(place) / float(last);
        let y = 98.0 - 96.0 * usage::float(*value) / usage::float(most);
        let command = if place == 0 { 'M' } else { 'L' };
        // Writing into a text does not fail.
        let _ = write!(path, "{command}{x:.1} {y:.1}");
    }
    let [least, most, last] = [values.iter().min(), values.iter().max(), values.last()]
        .map(|value| format.count(value.copied().unwrap_or_default()));
    Cell::Spark { path, summary: (t.table.spark)([&least, &most, &last]) }
}
