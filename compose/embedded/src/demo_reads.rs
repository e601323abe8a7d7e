//! The demo's second part: every read once computed and once kept, with the time that each took.

use std::time::{Duration, Instant};

use anyhow::ensure;
use reqwest::{StatusCode, header};

use crate::{demo::Operator, demo_data::Example};

/// A read and how it went.
pub(crate) struct Read {
    path: String,
    status: StatusCode,
    computed: Duration,
    kept: Duration,
}

/// Asks each endpoint twice: first for a fresh answer, then for the one that is kept.
pub(crate) async fn measure(operator: &Operator, example: &Example) -> anyhow::Result<Vec<Read>> {
    let tenant = example.tenant;
    let mut reads = Vec::new();
    for path in [
        "/tenant/me",
        "/tenant/agents",
        "/tenant/integrations",
        "/tenant/usage",
        "/tenant/incidents",
        "/internal/tenants",
        "/internal/tenants/{id}",
        "/internal/tenants/{id}/agents",
        "/internal/usage/overview",
        "/internal/billing/overview",
        "/internal/operations/events",
    ] {
        let asked = path.replace("{id}", &tenant.to_string());
        let query = if path.starts_with("/tenant/") { format!("?tenant_id={tenant}") } else { String::new() };
        let url = format!("{}{asked}{query}", operator.url);
        let (status, computed) = ask(operator, &url, "no-cache").await?;
        let (_, kept) = ask(operator, &url, "max-age=60").await?;
        reads.push(Read { path: path.to_owned(), status, computed, kept });
    }
    Ok(reads)
}

async fn ask(operator: &Operator, url: &str, control: &str) -> anyhow::Result<(StatusCode, Duration)> {
    let began = Instant::now();
    let request = operator.http.get(url).bearer_auth(&operator.token).header(header::CACHE_CONTROL, control);
    let response = request.send().await?;
    let status = response.status();
    response.bytes().await?;
    Ok((status, began.elapsed()))
}

/// Prints them; an error where one was not answered.
pub(crate) fn print_table(reads: &[Read]) -> anyhow::Result<()> {
    println!("\n{:<32} {:>6} {:>12} {:>12}", "READ", "STATUS", "COMPUTED", "KEPT");
    for read in reads {
        let shown = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        println!(
            "{:<32} {:>6} {:>12} {:>12}",
            read.path,
            read.status.as_u16(),
            shown(read.computed),
            shown(read.kept)
        );
    }
    ensure!(reads.iter().all(|read| read.status == StatusCode::OK), "not every read was answered");
    Ok(())
}
