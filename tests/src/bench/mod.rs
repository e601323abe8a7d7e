//! Measurements, each of everything that it compares in one run, by turns.

mod bare;
mod counted;
mod demand;
mod floor;
pub mod ingest;
pub mod night;
pub mod noisy;
pub mod overload;
pub mod panel;
pub mod pipeline;
pub mod reads;
pub mod reconcile;
pub mod rollup;
pub mod transport;

use std::time::Duration;

/// The middle one.
fn median<T: Copy + Default + PartialOrd>(mut figures: Vec<T>) -> T {
    figures.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap());
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// The time that `percent` of them did not exceed.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

/// What a process has spent since it was begun to be watched (proc(5), `/proc/pid/stat`: the 14th and 15th field).
struct Cpu {
    id: u32,
    before: Duration,
}

impl Cpu {
    fn of(id: u32) -> Self {
        Self { id, before: spent_by(id) }
    }

    fn since(&self) -> Duration {
        spent_by(self.id) - self.before
    }
}

fn spent_by(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name, which may hold anything, stands in parentheses.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    ticks(rest.split_whitespace().skip(11).take(2))
}

/// What all cores have spent (`/proc/stat`: all but the fourth and the fifth field, which are idle).
fn spent_by_all() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let fields = stat.lines().next().unwrap().split_whitespace().skip(1).take(8).enumerate();
    ticks(fields.filter(|(n, _)| !matches!(n, 3 | 4)).map(|(_, field)| field))
}

/// Hundredths of a second, added up.
fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Duration {
    Duration::from_millis(fields.map(|field| field.parse::<u64>().unwrap()).sum::<u64>() * 10)
}
