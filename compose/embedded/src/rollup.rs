//! `painel rollup`: has days of the configured services rolled up, and shows how far that has come.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use chrono::NaiveDate;
use indicatif::{ProgressBar, ProgressStyle};
use painel_shared::{
    config::Vars,
    dispatch::dispatch_aggregation,
    events::Origin,
    ids::TenantId,
    rollup::{self, Aggregation, RollupRun, RunState},
    stores::Stores,
    time::today,
    trace::TraceContext,
};

/// How often the runs are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Asks for a run a day and waits until all have ended; an error where one failed.
pub async fn run(vars: &Vars, from: NaiveDate, to: NaiveDate, tenant_id: Option<TenantId>) -> anyhow::Result<()> {
    ensure!(from <= to, "--from must not be after --to");
    ensure!(to < today(), "--to must be a day that is over");
    let stores = Stores::from_vars(vars).await?;
    let asked = Aggregation {
        from,
        to,
        tenant_id,
        requested_by: "painel rollup".to_owned(),
        requested_by_email: None,
        traceparent: TraceContext::root(),
    };
    let runs = dispatch_aggregation(&stores, &asked, Origin::default()).await?;
    let bar = ProgressBar::new(runs.len().try_into()?);
    let style = "{bar:30} {pos}/{len} days, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    let ended = follow(&stores, &runs, &bar).await?;
    bar.finish_and_clear();
    report(&ended)
}

/// Looks until every run has ended.
async fn follow(stores: &Stores, runs: &[RollupRun], bar: &ProgressBar) -> anyhow::Result<Vec<RollupRun>> {
    let mut open: Vec<_> = runs.iter().map(|run| run.id).collect();
    let (mut ended, mut rows) = (Vec::new(), 0);
    while !open.is_empty() {
        let mut left = Vec::new();
        for id in open {
            let run =
                rollup::find(&stores.db.service(), id).await?.ok_or_else(|| anyhow!("the run {id} is gone"))?;
            match run.state {
                RunState::Queued | RunState::Running => left.push(id),
                RunState::Succeeded | RunState::Failed => {
                    rows += run.rows_read.unwrap_or(0);
                    bar.inc(1);
                    ended.push(run);
                }
            }
        }
        bar.set_message(format!("{rows} requests"));
        open = left;
        tokio::time::sleep(LOOK).await;
    }
    Ok(ended)
}

fn report(ended: &[RollupRun]) -> anyhow::Result<()> {
    let failed: Vec<&RollupRun> = ended.iter().filter(|run| run.state == RunState::Failed).collect();
    for run in &failed {
        eprintln!("{}: {}", run.day, run.error.as_deref().unwrap_or("failed"));
    }
    let sum = |of: fn(&RollupRun) -> Option<u64>| ended.iter().filter_map(of).sum::<u64>();
    println!(
        "{} days, {} requests, {} rows of daily usage",
        ended.len(),
        sum(|run| run.rows_read),
        sum(|run| run.groups_written)
    );
    ensure!(failed.is_empty(), "{} of {} days failed", failed.len(), ended.len());
    Ok(())
}
