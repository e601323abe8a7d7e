//! `painel demo`: a command of each type, from HTTP request to outcome; one of them dies first. Then an
//! aggregation of three days, and every read.

use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use painel_shared::config::{TelemetryConfig, Vars};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    demo_data::{self, Example},
    demo_reads, demo_rollup,
    embedded::Embedded,
    services::issuer::Role,
};

/// How long all commands together may take.
const LIMIT: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(20);
const COMMANDS: &str = "/internal/operations/commands";
/// As many as a command has attempts: then it is dead.
const ATTEMPTS: u32 = 5;

/// A command as the API shows it, as far as the demo looks at it.
#[derive(Debug, Deserialize)]
struct Shown {
    command_id: String,
    command_type: String,
    status: String,
    attempt: u32,
    duration_ms: Option<u64>,
    completed_at: Option<String>,
    error_message: Option<String>,
    result: Option<Map<String, Value>>,
}

/// Runs the demo on a temporary folder, which is removed at the end.
pub async fn run(vars: Vars) -> anyhow::Result<()> {
    let vars = vars
        // The dead letter, which is logged as an error, is part of the show.
        .with_defaults([("PAINEL_LOG", "error,painel_workers::execute=off")])
        .overridden_by([("PAINEL_HTTP_ADDR", "127.0.0.1:0".to_owned()), ("PAINEL_ADMIN_ADDR", String::new())]);
    painel_shared::telemetry::start_logs(&TelemetryConfig::from_vars(&vars)?)?;
    let folder = tempfile::Builder::new().prefix("painel-demo-").tempdir()?;
    let shutdown = CancellationToken::new();
    painel_shared::process::cancel_on_signal(shutdown.clone())?;
    println!("Starting PostgreSQL, DynamoDB, SQS, the API and the workers in one process...");
    let embedded = Embedded::start(folder.path(), &vars, shutdown.clone()).await?;
    let client = Operator::new(&embedded)?;
    let example = demo_data::example(&embedded.stores().db.service()).await?;
    let played = tokio::select! {
        played = tokio::time::timeout(LIMIT, async {
            let commands = play(&client, &example).await?;
            let runs = demo_rollup::play(&client).await?;
            Ok((commands, runs, demo_reads::measure(&client, &example).await?))
        }) => {
            played.unwrap_or_else(|_| Err(anyhow!("the demo did not finish within {LIMIT:?}")))
        }
        () = shutdown.cancelled() => Err(anyhow!("interrupted")),
    };
    shutdown.cancel();
    embedded.run().await?;
    let (commands, runs, reads) = played?;
    print_table(&commands)?;
    demo_rollup::print_table(&runs)?;
    demo_reads::print_table(&reads)
}

/// Sends everything and waits for its end.
async fn play(client: &Operator, example: &Example) -> anyhow::Result<Vec<Shown>> {
    let [agent, doomed] = example.agents;
    client.refuse_restarts(example, ATTEMPTS).await?;
    let restart = |agent| json!({"command_type": "RESTART_AGENT", "tenant_id": example.tenant, "parameters": {"agent_id": agent}});
    let dying = client.send(restart(doomed)).await?;
    println!("One agent refuses to restart: its command is tried {ATTEMPTS} times, and dies.");
    let (health, reset, restarted, dead) = tokio::try_join!(
        client.carry_out(json!({"command_type": "HEALTH_CHECK", "parameters": {}})),
        client.carry_out(json!({
            "command_type": "RESET_TOKEN",
            "tenant_id": example.tenant,
            "parameters": {"integration_id": example.integration},
        })),
        client.carry_out(restart(agent)),
        client.outcome(&dying),
    )?;
    ensure!(dead.status == "ERROR", "the refused restart ended in {}", dead.status);
    println!("It died. Its queue is reprocessed, and now the agent restarts.");
    let reprocessed = client
        .carry_out(json!({
            "command_type": "REPROCESS_QUEUE",
            "parameters": {"queue_name": "painel.restart-agent", "message_count": 10},
        }))
        .await?;
    let moved = reprocessed.result.as_ref().and_then(|result| result.get("moved")?.as_u64());
    ensure!(moved == Some(1), "reprocessing moved {moved:?} commands instead of 1");
    let revived = client.outcome_after(&dying, dead.completed_at.as_deref()).await?;
    Ok(vec![health, reset, restarted, revived, reprocessed])
}

fn print_table(commands: &[Shown]) -> anyhow::Result<()> {
    println!("\n{:<16} {:<8} {:>7} {:>9}  RESULT", "COMMAND", "STATUS", "ATTEMPT", "DURATION");
    for command in commands {
        let duration = command.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        println!(
            "{:<16} {:<8} {:>7} {duration:>9}  {}",
            command.command_type,
            command.status,
            command.attempt,
            summary(command)
        );
    }
    ensure!(commands.iter().all(|command| command.status == "SUCCESS"), "not every command succeeded");
    Ok(())
}

/// The result in a few words.
fn summary(command: &Shown) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match &command.result {
        Some(result) => result
            .iter()
            .filter(|(_, value)| !value.is_object())
            .map(|(name, value)| format!("{name} {}", text(value)))
            .collect::<Vec<_>>()
            .join(", "),
        None => command.error_message.clone().unwrap_or_default(),
    }
}

/// An operator at the API.
pub(crate) struct Operator {
    pub(crate) http: Client,
    pub(crate) url: String,
    pub(crate) token: String,
    agent_runtime_url: String,
}

impl Operator {
    fn new(embedded: &Embedded) -> anyhow::Result<Self> {
        Ok(Self {
            http: Client::builder().timeout(Duration::from_secs(10)).build()?,
            url: embedded.url(),
            token: embedded.issuer().token(Role::Admin, None)?,
            agent_runtime_url: embedded.agent_runtime_url(),
        })
    }

    /// Sends a command; its id.
    async fn send(&self, body: Value) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}{COMMANDS}", self.url)).bearer_auth(&self.token).json(&body);
        let response = request.header("Idempotency-Key", Uuid::new_v4().to_string()).send().await?;
        let status = response.status();
        ensure!(status.as_u16() == 202, "the API answered {status}: {}", response.text().await?);
        Ok(response.json::<Shown>().await?.command_id)
    }

    async fn carry_out(&self, body: Value) -> anyhow::Result<Shown> {
        let id = self.send(body).await?;
        self.outcome(&id).await
    }

    async fn outcome(&self, id: &str) -> anyhow::Result<Shown> {
        self.outcome_after(id, None).await
    }

    /// The command once it has ended, but not as it ended at `earlier`.
    async fn outcome_after(&self, id: &str, earlier: Option<&str>) -> anyhow::Result<Shown> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let request = self.http.get(format!("{}{COMMANDS}/{id}", self.url)).bearer_auth(&self.token);
            let command: Shown = request.send().await?.error_for_status()?.json().await?;
            let ended = command.completed_at.as_deref();
            if ended.is_some() && ended != earlier {
                return Ok(command);
            }
            sleep(PAUSE).await;
        }
        bail!("the command {id} did not end")
    }

    /// Has the stand-in agent runtime refuse the second agent's next restarts.
    async fn refuse_restarts(&self, example: &Example, refusals: u32) -> anyhow::Result<()> {
        let [_, doomed] = example.agents;
        let url = format!("{}/tenants/{}/agents/{doomed}/refusals", self.agent_runtime_url, example.tenant);
        self.http.post(url).json(&json!({"refusals": refusals})).send().await?.error_for_status()?;
        Ok(())
    }
}
