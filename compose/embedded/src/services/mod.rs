//! The services that a deployment would find elsewhere, each on a loopback port of its own.

pub mod agent_runtime;
pub mod dynamodb;
pub mod issuer;
pub mod login_site;
pub mod postgres;
pub mod signed;
pub mod sqs;
pub mod stand_ins;

use std::net::{Ipv4Addr, SocketAddr};

use crate::data_dir::DataDir;

/// Any free port of loopback.
pub const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The variables by which the product finds these services.
pub fn variables(
    dynamodb: &dynamodb::DynamoDb,
    sqs: &sqs::Sqs,
    stand_ins: &stand_ins::StandIns,
    key: signed::AccessKey,
    data_dir: &DataDir,
) -> anyhow::Result<[(&'static str, String); 13]> {
    Ok([
        ("PAINEL_DYNAMODB_ENDPOINT", dynamodb.url()),
        ("PAINEL_SQS_ENDPOINT", sqs.url()),
        ("PAINEL_AWS_REGION", "us-east-1".to_owned()),
        ("PAINEL_AWS_ACCESS_KEY_ID", key.id),
        ("PAINEL_AWS_SECRET_ACCESS_KEY", key.secret),
        ("PAINEL_AUTH_ISSUER", issuer::ISSUER.to_owned()),
        ("PAINEL_AUTH_JWKS_URL", format!("{}/.well-known/jwks.json", stand_ins.url())),
        ("PAINEL_AUTH_CLIENT_IDS", issuer::CLIENT_ID.to_owned()),
        ("PAINEL_AGENT_RUNTIME_URL", stand_ins.url()),
        ("PAINEL_CREDENTIALS_KEYS", data_dir.credentials_keys()?),
        ("PAINEL_OAUTH_URL", stand_ins.url()),
        ("PAINEL_OAUTH_CLIENT_ID", issuer::CLIENT_ID.to_owned()),
        ("PAINEL_SESSION_KEYS", data_dir.session_keys()?),
    ])
}
