//! The panel's budgets: bytes, requests, how long the server takes, and when something is to be seen.

use std::time::{Duration, Instant};

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::AbortOnDropHandle;

use super::{median, percentile, reads};
use crate::{
    panel::{Visitor, Who},
    stack::{Stack, with_stack_and},
    window::Window,
};

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many tenants there are.
    #[arg(long, default_value_t = 200)]
    pub tenants: i32,
    /// How often each page is asked of the server.
    #[arg(long, default_value_t = 100)]
    pub times: usize,
    /// How often a page is painted, and an empty one beside it.
    #[arg(long, default_value_t = 9)]
    pub paints: usize,
}

/// The pages, and whose they are.
const OF_OPERATORS: [&str; 9] = [
    "/app/company",
    "/app/company/tenants",
    "/app/company/agents",
    "/app/company/integrations",
    "/app/company/operations",
    "/app/company/operations/aggregations",
    "/app/company/tickets",
    "/app/company/billing?period=90d",
    "/app/company/audit",
];
const OF_TENANTS: [&str; 5] = [
    "/app/dashboard",
    "/app/dashboard/agents",
    "/app/dashboard/usage?period=90d",
    "/app/dashboard/support",
    "/app/settings",
];
/// Those that are painted: the one that shows most, and the one that is looked at most.
const PAINTED: [&str; 2] = ["/app/company", "/app/company/operations"];
/// How often an open console asks in a row.
const POLLS: usize = 50;

/// Measures in a database of its own, and prints.
pub fn run(load: Load) {
    let set = [("PAINEL_RATE_CALLER", "1000000"), ("PAINEL_RATE_TENANT", "1000000")];
    with_stack_and(&set, async |stack| measure(stack, load).await);
}

async fn measure(stack: &'static Stack, load: Load) {
    reads::fill(stack, reads::Load { tenants: load.tenants, agents: 10, days: 90, events: 20_000, times: 0 }).await;
    let url = stack.serve().await.url;
    println!("{load:?}\n");
    let mut operator = Visitor::signed_in(&url, Who::Admin).await;
    let mut customer = Visitor::signed_in(&url, Who::Of(stack.example.tenant)).await;
    println!("| page | HTML, gzip | kept p95 ms | computed p95 ms |");
    println!("|---|---|---|---|");
    for path in OF_OPERATORS {
        print_page(&mut operator, path, load.times).await;
    }
    for path in OF_TENANTS {
        print_page(&mut customer, path, load.times).await;
    }
    println!("\n| file | gzip |\n|---|---|");
    let page = operator.get("/app/company").await.text;
    for name in ["panel.css", "panel.js", "icons.svg"] {
        let parts = page.split(['"', '#']).find(|part| part.ends_with(name)).expect("the page names it");
        println!("| {name} | {} |", gzipped(&operator, parts).await.1);
    }
    print_polls(&mut operator).await;
    print_paints(&url, load.paints).await;
}

async fn print_page(visitor: &mut Visitor, path: &str, times: usize) {
    let (status, bytes) = gzipped(visitor, path).await;
    assert_eq!(status, 200, "{path}");
    let mut kept = Vec::new();
    let mut computed = Vec::new();
    for (times, fresh, found) in [(times, false, &mut kept), (times / 4, true, &mut computed)] {
        for _ in 0..times {
            let request = visitor.request(Method::GET, path);
            let request = if fresh { request.header("Cache-Control", "no-cache") } else { request };
            let began = Instant::now();
            let page = visitor.send(request).await;
            found.push(began.elapsed());
            assert_eq!(page.status, 200, "{path}");
        }
    }
    let ms = |times: &mut [Duration]| format!("{:.1}", percentile(times, 95).as_secs_f64() * 1_000.0);
    println!("| {path} | {bytes} | {} | {} |", ms(&mut kept), ms(&mut computed));
}

/// The status and the size of an answer as it goes over the net.
async fn gzipped(visitor: &Visitor, path: &str) -> (u16, usize) {
    let request = visitor.request(Method::GET, path).header("Accept-Encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip", "{path}");
    (response.status().as_u16(), response.bytes().await.unwrap().len())
}

/// What an open console that nothing happens in costs.
async fn print_polls(visitor: &mut Visitor) {
    let fragment = "/app/company/operations?fragment=live";
    let first = visitor.get(fragment).await;
    let (mut unchanged, mut largest, mut etag) = (0, 0, first.headers["etag"].clone());
    for _ in 0..POLLS {
        let request = visitor.request(Method::GET, fragment).header("If-None-Match", etag.clone());
        let answer = visitor.send(request).await;
        if answer.status == 304 {
            unchanged += 1;
            largest = largest.max(size_of_head(&answer.headers));
        }
        etag = answer.headers["etag"].clone();
    }
    println!(
        "\nOf {POLLS} looks at a console in which nothing happens {unchanged} were answered 304, in {largest} bytes."
    );
}

/// An answer's size without a body, as HTTP/1.1 writes it.
fn size_of_head(headers: &HeaderMap) -> usize {
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    "HTTP/1.1 304 Not Modified\r\n\r\n".len() + lines.sum::<usize>()
}

/// A page that holds a word.
async fn serve_empty_page() -> (String, AbortOnDropHandle<()>) {
    const PAGE: &str = "<!doctype html><title>x</title><p>x";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PAGE}",
        PAGE.len()
    );
    let serving = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    (url, AbortOnDropHandle::new(serving))
}

/// What a browser tells of the page that it shows.
const SEEN: &str = "const done = arguments[arguments.length - 1];
    let shift = 0, longest = 0;
    new PerformanceObserver(list => list.getEntries().forEach(one => shift += one.value))
        .observe({type: 'layout-shift', buffered: true});
    new PerformanceObserver(list => list.getEntries().forEach(one => longest = Math.max(longest, one.duration)))
        .observe({type: 'longtask', buffered: true});
    new PerformanceObserver((list, observer) => {
        observer.disconnect();
        const files = performance.getEntriesByType('resource').filter(one => one.transferSize > 0);
        setTimeout(() => done([list.getEntries()[0].startTime, files.length + 1, shift, longest]), 300);
    }).observe({type: 'paint', buffered: true});";

/// When something is seen of a page by somebody who is there for the first time, beside an empty page, by turns.
async fn print_paints(url: &str, paints: usize) {
    let (empty_page, _serving) = serve_empty_page().await;
    println!(
        "\n| page | first paint ms | an empty page's | requests, first visit | later | layout shift | longest task ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    for path in PAINTED {
        let (mut empty, mut full, mut worst) = (Vec::new(), Vec::new(), [0.0_f64; 4]);
        for _ in 0..paints {
            let window = Window::open(url).await;
            window.go_to(&empty_page).await;
            empty.push(number(&window.run_async(SEEN).await, 0));
            window.sign_in(Who::Admin).await;
            window.forget_files().await;
            window.go(path).await;
            let first = window.run_async(SEEN).await;
            window.go(path).await;
            let later = window.run_async(SEEN).await;
            full.push(number(&first, 0));
            let seen = [number(&first, 1), number(&later, 1), number(&first, 2), number(&first, 3)];
            worst = std::array::from_fn(|place| worst[place].max(seen[place]));
        }
        let [requests, later, shift, longest] = worst;
        let (empty, full) = (median(empty), median(full));
        println!("| {path} | {full:.0} | {empty:.0} | {requests} | {later} | {shift:.3} | {longest:.0} |");
    }
}

fn number(seen: &Value, place: usize) -> f64 {
    seen[place].as_f64().unwrap()
}
