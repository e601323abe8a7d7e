//! More is asked for than can be done: what is accepted keeps its pace, what is refused is told at once.

use std::time::Duration;

use painel::services::issuer::Role;
use uuid::Uuid;

use super::{
    demand::{Caller, Told},
    percentile,
    reads::{self, fill},
};
use crate::{
    client::COMMANDS,
    fleet::Fleet,
    stack::{Stack, with_stack_and},
};

const API: &str = "painel-api";
/// Who asks while the capacity is looked for.
const CALLERS: usize = 8;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many tenants ask.
    #[arg(long, default_value_t = 300)]
    pub tenants: i32,
    /// How long each demand lasts, in seconds.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How many answers are computed at once.
    #[arg(long, default_value_t = 16)]
    pub concurrency: usize,
}

/// Measures the real API, in a database of its own, and prints.
pub fn run(load: Load) {
    let set = [("PAINEL_RATE_CALLER", "1000000"), ("PAINEL_RATE_TENANT", "1000000")];
    with_stack_and(&set, async |stack| measure(stack, load).await);
}

async fn measure(stack: &'static Stack, load: Load) {
    let tenants = fill(stack, reads::Load { tenants: load.tenants, ..reads::Load::small() }).await;
    let mut fleet = Fleet::new(stack);
    fleet.set("PAINEL_HTTP_CONCURRENCY", &load.concurrency.to_string());
    fleet.set("PAINEL_HTTP_WORKERS", "2");
    fleet.start_logging(API, "error,painel_api::server=info");
    let client = fleet.client(&stack.issuer).await;
    let (caller, lasting) = (Caller::of(&client.url), Duration::from_secs(load.seconds));
    let request = requests(stack, &tenants);
    println!("{load:?}\n");
    // Sessions, memberships and tokens are known from here on.
    caller.saturate(CALLERS, lasting, request.clone()).await;
    let free = Figures::of(&caller.saturate(CALLERS, lasting, request.clone()).await, lasting);
    let capacity = free.good;
    let mut peak = capacity;
    println!(
        "| asked | asked a second | answered well a second | their p99 ms | refused a second | their p50 ms | p99 ms | ended without |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!("| by {CALLERS}, each in turn | | {free}");
    let mut rows = Vec::new();
    for times in [0.5, 1.0, 2.0, 5.0] {
        let told = caller.demand(capacity * times, lasting, &request).await;
        let figures = Figures::of(&told, lasting);
        println!("| {times} times that | {:.0} | {figures}", capacity * times);
        peak = peak.max(figures.good);
        rows.push(figures);
    }
    let after = caller.demand(capacity / 2.0, lasting, &request).await;
    println!("| 0.5 times that, right after | {:.0} | {}", capacity / 2.0, Figures::of(&after, lasting));
    let [half, once, _, five] = &rows[..] else { unreachable!() };
    println!("\nWell answered at 5 times: {:.2} of the peak.", five.good / peak);
    println!("p99 of what is well answered at 5 times: {:.2} times that at 1 times.", ratio(five.p99, once.p99));
    println!(
        "Back to normal after {:.1} s; memory at most {} MiB.",
        back_to_normal(&after, half.p99),
        memory(fleet.id(API))
    );
}

/// The request of each number: of ten one is a command, two ask what is kept, and the others what must be computed.
pub(super) fn requests(
    stack: &Stack,
    tenants: &[Uuid],
) -> impl Fn(usize) -> String + Clone + Send + 'static + use<> {
    let operators: Vec<String> =
        [Role::Admin, Role::Support].map(|role| stack.issuer.token(role, None).unwrap()).into();
    let own = |tenant: &Uuid| stack.issuer.token(Role::Tenant, Some((*tenant).into())).unwrap();
    let own: Vec<String> = tenants.iter().map(own).collect();
    move |number| {
        let operator = &operators[number / 10 % operators.len()];
        match number % 10 {
            0 => post(operator),
            1 | 2 => get("/internal/usage/overview", operator, ""),
            _ => get("/tenant/usage?period=90d", &own[number % own.len()], "Cache-Control: no-cache\r\n"),
        }
    }
}

pub(super) fn get(path: &str, token: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
}

fn post(token: &str) -> String {
    let body = r#"{"command_type": "HEALTH_CHECK"}"#;
    format!(
        "POST {COMMANDS} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What came of a demand.
struct Figures {
    good: f64,
    p99: Duration,
    refused: f64,
    refused_p50: Duration,
    refused_p99: Duration,
    ended: usize,
}

impl Figures {
    fn of(told: &[Told], lasting: Duration) -> Self {
        let took = |of: fn(u16) -> bool| -> Vec<Duration> {
            told.iter().filter(|one| of(one.status)).map(|one| one.took).collect()
        };
        let (mut good, mut refused) = (took(is_good), took(|status| matches!(status, 429 | 503)));
        let a_second = |times: &[Duration]| times.len() as f64 / lasting.as_secs_f64();
        Self {
            good: a_second(&good),
            refused: a_second(&refused),
            p99: percentile(&mut good, 99),
            refused_p50: percentile(&mut refused, 50),
            refused_p99: percentile(&mut refused, 99),
            ended: told.iter().filter(|one| !is_good(one.status) && !matches!(one.status, 429 | 503)).count(),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let Self { good, p99, refused, refused_p50, refused_p99, ended } = self;
        let (p99, refused_p50, refused_p99) = (ms(*p99), ms(*refused_p50), ms(*refused_p99));
        write!(f, "{good:.0} | {p99:.1} | {refused:.0} | {refused_p50:.1} | {refused_p99:.1} | {ended} |")
    }
}

fn is_good(status: u16) -> bool {
    matches!(status, 200 | 202)
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// After how many seconds nothing was refused any more, and nothing took much longer than it should.
fn back_to_normal(told: &[Told], usual: Duration) -> f64 {
    let late = |one: &&Told| !is_good(one.status) || one.took > usual * 2;
    let share = |second: u64| {
        let of_it: Vec<&Told> = told.iter().filter(|one| one.due.as_secs() == second).collect();
        of_it.iter().filter(|one| late(one)).count() as f64 / of_it.len().max(1) as f64
    };
    let last = (0..).take_while(|second| told.iter().any(|one| one.due.as_secs() == *second));
    last.filter(|second| share(*second) > 0.02).last().map_or(0.0, |second| second as f64 + 1.0)
}

/// The most memory that a process has had, in MiB (proc(5), `VmHWM`).
pub(super) fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}
