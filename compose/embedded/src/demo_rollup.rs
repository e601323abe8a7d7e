//! The demo's aggregation: three days, from HTTP request to outcome.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use chrono::Days;
use painel_shared::time::today;
use serde::Deserialize;
use serde_json::json;

use crate::demo::Operator;

const AGGREGATIONS: &str = "/internal/operations/aggregations";
const DAYS: u64 = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// A run as the API shows it, as far as the demo looks at it.
#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    run_id: String,
    day: String,
    state: String,
    rows_read: Option<u64>,
    groups_written: Option<u64>,
    duration_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Runs {
    runs: Vec<Run>,
}

/// Asks for the last three closed days and waits for their end; oldest first.
pub(crate) async fn play(operator: &Operator) -> anyhow::Result<Vec<Run>> {
    let today = today();
    let body = json!({"from": today - Days::new(DAYS), "to": today - Days::new(1)});
    let url = format!("{}{AGGREGATIONS}", operator.url);
    let response = operator.http.post(&url).bearer_auth(&operator.token).json(&body).send().await?;
    let status = response.status();
    ensure!(status.as_u16() == 202, "the API answered {status}: {}", response.text().await?);
    let asked = response.json::<Runs>().await?.runs;
    loop {
        let shown = operator.http.get(&url).bearer_auth(&operator.token).send().await?.error_for_status()?;
        let mut runs = shown.json::<Runs>().await?.runs;
        runs.retain(|run| asked.iter().any(|one| one.run_id == run.run_id));
        if runs.iter().all(|run| run.state == "succeeded" || run.state == "failed") {
            runs.sort_by(|a, b| a.day.cmp(&b.day));
            return Ok(runs);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Prints them; an error where one did not succeed.
pub(crate) fn print_table(runs: &[Run]) -> anyhow::Result<()> {
    println!("\n{:<16} {:<10} {:>9} {:>7} {:>9}", "AGGREGATION", "STATE", "REQUESTS", "ROWS", "DURATION");
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for run in runs {
        let duration = run.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        println!(
            "{:<16} {:<10} {:>9} {:>7} {duration:>9}",
            run.day,
            run.state,
            shown(run.rows_read),
            shown(run.groups_written)
        );
    }
    let done = runs.len() == usize::try_from(DAYS)? && runs.iter().all(|run| run.state == "succeeded");
    if done { Ok(()) } else { Err(anyhow!("not every day was rolled up")) }
}
