//! `painel aws`: DynamoDB, SQS and the stand-ins on given ports, for processes that are run one by one.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use painel_shared::{
    config::{TelemetryConfig, Vars},
    process, telemetry,
};
use tokio_util::sync::CancellationToken;

use crate::{
    data_dir::DataDir,
    services::{
        self, agent_runtime::AgentRuntime, dynamodb::DynamoDb, issuer::Issuer, sqs::Sqs, stand_ins::StandIns,
    },
};

/// Serves on the ports of DynamoDB, SQS and the stand-ins, on that address, until SIGTERM or Ctrl-C.
pub async fn run(data_dir: &Path, vars: &Vars, listen: IpAddr, ports: [u16; 3]) -> anyhow::Result<()> {
    let vars = vars.clone().with_defaults([("PAINEL_LOG", "warn,dynoxide=error")]);
    telemetry::start_logs(&TelemetryConfig::from_vars(&vars)?)?;
    let shutdown = CancellationToken::new();
    process::cancel_on_signal(shutdown.clone())?;
    let data_dir = DataDir::open(data_dir)?;
    let issuer = Issuer::open(&data_dir.issuer_key())?;
    let [dynamodb_at, sqs_at, stand_ins_at] = ports.map(|port| SocketAddr::new(listen, port));
    let stand_ins = StandIns::start(&issuer, AgentRuntime::open(&data_dir.agent_runtime()?)?, stand_ins_at)?;
    let key = data_dir.access_key(&vars)?;
    let dynamodb = DynamoDb::start(Some(&data_dir.dynamodb()?), dynamodb_at, &key).await?;
    let sqs = Sqs::start(sqs_at, &key).await?;
    let variables = services::variables(&dynamodb, &sqs, &stand_ins, key, &data_dir)?;
    for (name, value) in variables {
        println!("export {name}='{value}'");
    }
    println!("# Ctrl-C stops it.");
    shutdown.cancelled().await;
    stand_ins.stop().await;
    sqs.stop().await;
    dynamodb.stop().await
}
