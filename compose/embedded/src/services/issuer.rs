//! A token issuer for development: RS256, its keys served like Cognito's.

use std::{fs, path::Path, time::Duration};

use actix_web::{Responder, web};
use anyhow::{Context, anyhow};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use clap::ValueEnum;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode,
    jwk::{Jwk, JwkSet},
};
use painel_api::config::TokenUse;
use painel_shared::{ids::TenantId, secrets::sha256_hex, time::now};
use pem::{EncodeConfig, LineEnding, Pem};
use serde_json::{Map, Value, json};

/// What the tokens bear as `iss`. The key set is fetched elsewhere, so it need not be an address.
pub const ISSUER: &str = "http://painel.localhost/development";
/// The one client that tokens are issued to.
pub const CLIENT_ID: &str = "painel-development";
/// How long a token is good for.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Who a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// An operator who may do everything.
    Admin,
    /// An operator.
    Support,
    /// A tenant's administrator.
    Tenant,
    /// Another user of a tenant.
    User,
}

impl Role {
    fn group(self) -> &'static str {
        match self {
            Self::Admin => "INTERNAL_ADMIN",
            Self::Support => "INTERNAL_SUPPORT",
            Self::Tenant => "TENANT_ADMIN",
            Self::User => "TENANT_USER",
        }
    }

    fn address(self) -> String {
        format!("{}@painel.localhost", self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Tenant => "tenant",
            Self::User => "user",
        }
    }

    /// Whether it is of a tenant's users.
    pub fn is_of_tenant(self) -> bool {
        matches!(self, Self::Tenant | Self::User)
    }
}

/// The issuer and its one key.
#[derive(Clone)]
pub struct Issuer {
    key: EncodingKey,
    kid: String,
    token_use: TokenUse,
}

impl Issuer {
    /// The issuer whose key is in that file, which is made where it is missing.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        if !file.exists() {
            let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key was generated"))?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| anyhow!("the RSA key cannot be written"))?;
            let pem = Pem::new("PRIVATE KEY", der.as_ref());
            let text = pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF));
            super::super::data_dir::write_private(file, text.as_bytes())?;
        }
        let pem = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let key = EncodingKey::from_rsa_pem(&pem)
            .with_context(|| format!("{} holds no RSA key; remove it and start again", file.display()))?;
        Ok(Self { key, kid: sha256_hex(&pem).chars().take(16).collect(), token_use: TokenUse::Access })
    }

    /// The same, whose tokens are of that use.
    pub fn with_token_use(self, token_use: TokenUse) -> Self {
        Self { token_use, ..self }
    }

    /// A fresh token.
    pub fn token(&self, role: Role, tenant: Option<TenantId>) -> anyhow::Result<String> {
        let mut claims = claims(role, tenant, LIFETIME)?;
        claims.extend(match self.token_use {
            TokenUse::Access => access_claims(role),
            TokenUse::Id => id_claims(role),
        });
        self.sign(&claims)
    }

    /// An id token of somebody who has just signed in, for the attempt that bears `nonce`. `stead` stands in the place of what
    /// it would say.
    pub fn id_token(
        &self,
        role: Role,
        tenant: Option<TenantId>,
        nonce: Option<String>,
        lifetime: Duration,
        stead: &Map<String, Value>,
    ) -> anyhow::Result<String> {
        let mut claims = claims(role, tenant, lifetime)?;
        claims.extend(id_claims(role));
        claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        claims.extend(stead.clone());
        self.sign(&claims)
    }

    fn sign(&self, claims: &Map<String, Value>) -> anyhow::Result<String> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::RS256) };
        Ok(encode(&header, claims, &self.key)?)
    }

    /// The key itself.
    pub fn signing_key(&self) -> &EncodingKey {
        &self.key
    }

    /// The public half of the key, as a key set.
    pub fn key_set(&self) -> anyhow::Result<JwkSet> {
        let mut key = Jwk::from_encoding_key(&self.key, Algorithm::RS256)?;
        key.common.key_id = Some(self.kid.clone());
        Ok(JwkSet { keys: vec![key] })
    }
}

fn claims(role: Role, tenant: Option<TenantId>, lifetime: Duration) -> anyhow::Result<Map<String, Value>> {
    let at = now().timestamp();
    let tenant = tenant.filter(|_| role.is_of_tenant());
    // Each tenant has a user of its own.
    let sub = match tenant {
        Some(tenant) => format!("development-{}-{tenant}", role.name()),
        None => format!("development-{}", role.name()),
    };
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(ISSUER)),
        ("sub".to_owned(), json!(sub)),
        ("cognito:groups".to_owned(), json!([role.group()])),
        ("iat".to_owned(), json!(at)),
        ("exp".to_owned(), json!(at + i64::try_from(lifetime.as_secs())?)),
    ]);
    claims.extend(tenant.map(|tenant| ("custom:tenant_id".to_owned(), json!(tenant))));
    Ok(claims)
}

fn access_claims(role: Role) -> Vec<(String, Value)> {
    named([("token_use", "access"), ("client_id", CLIENT_ID), ("username", &role.address())])
}

fn id_claims(role: Role) -> Vec<(String, Value)> {
    named([("token_use", "id"), ("aud", CLIENT_ID), ("email", &role.address())])
}

fn named(claims: [(&str, &str); 3]) -> Vec<(String, Value)> {
    claims.map(|(name, value)| (name.to_owned(), json!(value))).into()
}

/// `GET /.well-known/jwks.json`.
pub async fn serve_keys(keys: web::Data<JwkSet>) -> impl Responder {
    web::Json(keys.get_ref().clone())
}
