//! One tenant asks for twenty times what it may: what the others notice of it.

use std::time::Duration;

use painel::services::issuer::Role;
use uuid::Uuid;

use super::{
    demand::{Caller, Told},
    median,
    overload::get,
    percentile,
    reads::{self, fill},
};
use crate::{
    fleet::Fleet,
    stack::{Stack, with_stack_and},
};

const API: &str = "painel-api";

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many tenants ask.
    #[arg(long, default_value_t = 100)]
    pub tenants: i32,
    /// How many requests a second a tenant may send.
    #[arg(long, default_value_t = 20)]
    pub rate: u32,
    /// How many a second the others send together.
    #[arg(long, default_value_t = 100.0)]
    pub others: f64,
    /// How long each demand lasts, in seconds.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How many rounds, each without and with the noise.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
}

/// Measures the real API, in a database of its own, and prints.
pub fn run(load: Load) {
    let rate = load.rate.to_string();
    let set = [("PAINEL_RATE_CALLER", rate.as_str()), ("PAINEL_RATE_TENANT", rate.as_str())];
    with_stack_and(&set, async |stack| measure(stack, load).await);
}

async fn measure(stack: &'static Stack, load: Load) {
    let tenants = fill(stack, reads::Load { tenants: load.tenants, ..reads::Load::small() }).await;
    let mut fleet = Fleet::new(stack);
    fleet.set("PAINEL_HTTP_CONCURRENCY", "16");
    fleet.set("PAINEL_HTTP_WORKERS", "2");
    fleet.start_logging(API, "error,painel_api::server=info");
    let client = fleet.client(&stack.issuer).await;
    let lasting = Duration::from_secs(load.seconds);
    let token = |tenant: &Uuid| stack.issuer.token(Role::Tenant, Some((*tenant).into())).unwrap();
    let ask = |token: &str| get("/tenant/usage?period=90d", token, "Cache-Control: no-cache\r\n");
    let (loud, quiet) = tenants.split_first().unwrap();
    let (loud, quiet) = (token(loud), quiet.iter().map(token).collect::<Vec<_>>());
    let (own, others) = (Caller::of(&client.url), Caller::of(&client.url));
    let others = || others.demand(load.others, lasting, |number| ask(&quiet[number % quiet.len()]));
    let noise = f64::from(load.rate) * 20.0;
    println!("{load:?}\n");
    others().await;
    let (mut before, mut beside, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..load.rounds {
        before.push(p99_of_good(&others().await));
        let (told, noise) = tokio::join!(others(), own.demand(noise, lasting, |_| ask(&loud)));
        beside.push(p99_of_good(&told));
        refused.push(noise.iter().filter(|one| one.status == 429).count() as f64 / noise.len() as f64);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (before, beside) = (median(before), median(beside));
    println!("| medians of {} rounds, by turns | alone | beside one at 20 times its rate | ratio |", load.rounds);
    println!("|---|---|---|---|");
    let ratio = beside.as_secs_f64() / before.as_secs_f64();
    println!("| p99 of the others, ms | {:.1} | {:.1} | {ratio:.2} |", ms(before), ms(beside));
    println!("\nOf the loud one's requests {:.0} % were answered 429.", median(refused) * 100.0);
}

/// Every one of the others' must be answered well.
fn p99_of_good(told: &[Told]) -> Duration {
    let bad = told.iter().filter(|one| one.status != 200).count();
    assert!(bad * 100 <= told.len(), "{bad} of {} of the others' were not answered well", told.len());
    let mut times: Vec<Duration> = told.iter().filter(|one| one.status == 200).map(|one| one.took).collect();
    percentile(&mut times, 99)
}
