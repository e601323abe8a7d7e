//! The command line.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::bail;
use chrono::NaiveDate;
use clap::{Parser, Subcommand};
use painel_api::config::TokenUse;
use painel_shared::{
    config::{TelemetryConfig, Vars},
    ids::TenantId,
    process,
    stores::Stores,
    telemetry,
};
use tokio_util::sync::CancellationToken;

use crate::{
    aws, data_dir, demo,
    demo_data::{self, Example},
    embedded::{Embedded, migrate},
    first_commands, rollup,
    services::issuer::{Issuer, Role},
};

const AFTER_HELP: &str = "\
Without a command, `painel` is `painel serve`. Everything runs on loopback in this one process; nothing else \
need be installed. The variables PAINEL_HTTP_ADDR, PAINEL_ADMIN_ADDR, PAINEL_LOG and those of the README's table \
may be set; the addresses of the embedded services are given.";

/// The operations panel's backend, with everything it needs in one process.
#[derive(Debug, Parser)]
#[command(name = "painel", version, about, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The folder that holds the data and survives a restart.
    #[arg(long, global = true, env = "PAINEL_DATA_DIR", default_value = ".painel")]
    data_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, and go on until Ctrl-C.
    Serve,
    /// Start on a temporary folder, send a command of each type, show how they end, and exit.
    Demo,
    /// Print a token that the API of `painel serve` takes, good for twelve hours.
    Token {
        /// Whose token.
        #[arg(long, value_enum)]
        role: Role,
        /// For the role tenant: which one; by default the first of the demo data.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Serve DynamoDB, SQS, a token issuer and a stand-in agent runtime for whoever runs the processes
    /// one by one without AWS. Prints the variables that the processes need.
    Aws {
        /// The address to listen on.
        #[arg(long, default_value = "127.0.0.1")]
        listen: IpAddr,
        /// The port of DynamoDB; 0 for any free one.
        #[arg(long, default_value_t = 8000)]
        dynamodb_port: u16,
        /// The port of SQS; 0 for any free one.
        #[arg(long, default_value_t = 9324)]
        sqs_port: u16,
        /// The port of the token issuer and the agent runtime; 0 for any free one.
        #[arg(long, default_value_t = 8090)]
        stand_ins_port: u16,
    },
    /// Roll up days of the configured real services, and wait until they are done. A metrics-rollup worker must run.
    Rollup {
        /// The first day, as YYYY-MM-DD in UTC.
        #[arg(long)]
        from: NaiveDate,
        /// The last day, which must be over.
        #[arg(long)]
        to: NaiveDate,
        /// Only this tenant.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Make the tables, queues and schema of the configured real services, or check them. Changes nothing
    /// that is there with another shape.
    Migrate,
}

/// Reads the command line and carries it out.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    process::install_tls();
    process::exit_code("painel", run(cli))
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let vars = Vars::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => serve(&cli.data_dir, vars).await,
            Command::Demo => demo::run(vars).await,
            Command::Aws { listen, dynamodb_port, sqs_port, stand_ins_port } => {
                aws::run(&cli.data_dir, &vars, listen, [dynamodb_port, sqs_port, stand_ins_port]).await
            }
            Command::Rollup { from, to, tenant } => {
                telemetry::start_logs(&TelemetryConfig::from_vars(&vars)?)?;
                rollup::run(&vars, from, to, tenant).await
            }
            Command::Token { role, tenant } => print_token(&cli.data_dir, &vars, role, tenant),
            Command::Migrate => {
                telemetry::start(&TelemetryConfig::from_vars(&vars)?)?;
                migrate(&Stores::from_vars(&vars).await?).await?;
                println!("Schema, table and queues are as they must be.");
                Ok(())
            }
        }
    })
}

async fn serve(data_dir: &Path, vars: Vars) -> anyhow::Result<()> {
    let vars = vars.with_defaults([("PAINEL_ADMIN_ADDR", "127.0.0.1:8081"), ("PAINEL_LOG", "warn,dynoxide=error")]);
    let telemetry = TelemetryConfig::from_vars(&vars)?;
    let shutdown = CancellationToken::new();
    process::cancel_on_signal(shutdown.clone())?;
    telemetry::start_logs(&telemetry)?;
    let Some(started) = shutdown.run_until_cancelled(Embedded::start(data_dir, &vars, shutdown.clone())).await
    else {
        return Ok(());
    };
    let embedded = started?;
    let welcomed = async {
        telemetry::start_metrics(&telemetry)?;
        let example = demo_data::example(&embedded.stores().db.service()).await?;
        if embedded.is_first_start() {
            first_commands::send(&embedded, &example).await?;
        }
        print_welcome(&embedded, &example, data_dir, telemetry.admin_address)
    };
    let welcomed = welcomed.await;
    if welcomed.is_err() {
        shutdown.cancel();
    }
    embedded.run().await.and(welcomed)?;
    println!("Stopped.");
    Ok(())
}

fn print_welcome(
    embedded: &Embedded,
    example: &Example,
    data_dir: &Path,
    admin: Option<std::net::SocketAddr>,
) -> anyhow::Result<()> {
    let url = embedded.url();
    let [first_agent, _] = example.agents;
    let issuer = embedded.issuer();
    let admin_token = issuer.token(Role::Admin, None)?;
    println!("Painel listens on {url}");
    println!("The panel is on {url}/app");
    if let Some(admin) = admin {
        println!("Metrics are on http://{admin}/metrics");
    }
    let made = if embedded.is_first_start() { "made with demo data" } else { "found" };
    println!("The data folder {} was {made}\n", data_dir.display());
    println!("Tokens, good for twelve hours:");
    println!("  admin    {admin_token}");
    println!("  support  {}", issuer.token(Role::Support, None)?);
    println!("  tenant   {}\n", issuer.token(Role::Tenant, Some(example.tenant))?);
    println!("Check the health of everything, restart an agent, and see how it went:\n");
    let bearer = format!("-H 'Authorization: Bearer {admin_token}'");
    let post =
        format!("curl -s {url}/internal/operations/commands -H 'Content-Type: application/json' {bearer} -d");
    println!(r#"{post} '{{"command_type":"HEALTH_CHECK","parameters":{{}}}}'"#);
    println!();
    println!(
        r#"{post} '{{"command_type":"RESTART_AGENT","tenant_id":"{}","parameters":{{"agent_id":"{first_agent}"}}}}'"#,
        example.tenant
    );
    println!();
    println!("curl -s '{url}/internal/operations/commands?limit=10' {bearer}");
    println!("\nCtrl-C stops it.");
    Ok(())
}

fn print_token(data_dir: &Path, vars: &Vars, role: Role, tenant: Option<TenantId>) -> anyhow::Result<()> {
    let key = data_dir::issuer_key(data_dir);
    if !key.exists() {
        bail!("{} holds no data yet: start `painel` first", data_dir.display());
    }
    if tenant.is_some() && !role.is_of_tenant() {
        bail!("--tenant goes with --role tenant or --role user");
    }
    let tenant = tenant.unwrap_or_else(demo_data::first_tenant);
    let issuer = Issuer::open(&key)?.with_token_use(TokenUse::from_vars(vars)?);
    println!("{}", issuer.token(role, Some(tenant))?);
    Ok(())
}
