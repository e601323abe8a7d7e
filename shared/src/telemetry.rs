//! Logs and metrics of a process.

use std::{io::IsTerminal, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{ConfigError, LogFormat, TelemetryConfig};

/// The bounds of duration histograms, in seconds: from a millisecond to a minute.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Starts logs and metrics. Call it once, in the runtime.
pub fn start(config: &TelemetryConfig) -> anyhow::Result<()> {
    start_logs(config)?;
    start_metrics(config)
}

/// Where an admin address is given, serves `/metrics` there.
pub fn start_metrics(config: &TelemetryConfig) -> anyhow::Result<()> {
    let Some(address) = config.admin_address else { return Ok(()) };
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("duration_seconds".to_owned()), DURATION_BUCKETS)?
        .upkeep_timeout(Duration::from_secs(30))
        .install()
        .with_context(|| format!("PAINEL_ADMIN_ADDR is {address}, and metrics cannot be served there"))?;
    describe();
    Ok(())
}

/// Starts logging to standard error.
pub fn start_logs(config: &TelemetryConfig) -> anyhow::Result<()> {
    // A connection that fails is reported by whoever needed it; the driver's own words come on top where they are asked for.
    let filter = EnvFilter::try_new(format!("lapin=off,{}", config.filter))
        .map_err(|error| ConfigError::new("PAINEL_LOG", format!("is no log filter: {error}")))?;
    let terminal = std::io::stderr().is_terminal();
    let text = config.format.map_or(terminal, |format| format == LogFormat::Text);
    let logs = tracing_subscriber::registry().with(filter).with(filter_fn(is_discreet));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match text {
        true => logs.with(layer.with_ansi(terminal)).try_init()?,
        false => logs.with(layer.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}

/// Below `info`, libraries quote what they carry: tokens, keys, people's addresses. That is never logged, whatever is asked for.
fn is_discreet(event: &Metadata<'_>) -> bool {
    event.target().starts_with("painel") || *event.level() <= Level::INFO
}

/// What each metric means, as `/metrics` says it.
fn describe() {
    use metrics::{Unit::Seconds, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("painel_http_requests_total", "Requests by method, route and status.");
    describe_histogram!("painel_http_request_duration_seconds", Seconds, "Time to answer, by method and route.");
    describe_gauge!("painel_http_connections", "Connections that are open.");
    describe_counter!("painel_http_connections_cut_total", "Connections ended because others needed their place.");
    describe_counter!("painel_jobs_total", "Deliveries settled, by kind and outcome.");
    describe_histogram!("painel_job_duration_seconds", Seconds, "Time in a handler, by kind and outcome.");
    describe_gauge!("painel_jobs_in_flight", "Jobs being executed, by kind.");
    describe_counter!("painel_job_retries_total", "Attempts given back to be retried, by kind.");
    describe_counter!("painel_dead_letters_total", "Messages dead-lettered, by queue.");
    describe_gauge!("painel_queue_ready", "Jobs that wait, by queue.");
    describe_gauge!("painel_queue_in_flight", "Jobs delivered and not settled, by queue.");
    describe_gauge!("painel_queue_dead", "Jobs in the dead-letter queue, by queue.");
    describe_gauge!("painel_overdue_commands", "Commands that waited too long, as the last round found them.");
    describe_gauge!("painel_oldest_overdue_seconds", Seconds, "Age of the oldest command that waited too long.");
    describe_counter!("painel_commands_republished_total", "Commands found waiting too long and published again.");
    describe_counter!("painel_audit_events_recovered_total", "Audit events that were owed and have been written.");
    describe_counter!("painel_publish_failures_total", "Jobs the queue did not take in time, by queue.");
}
