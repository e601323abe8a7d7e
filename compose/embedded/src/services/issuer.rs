//! A token issuer for development: RS256, its keys served like Cognito's.

use std::{fs, path::Path, time::Duration};

use actix_web::{Responder, web};
use anyhow::{Context, anyhow};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::ValueEnum;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode,
    jwk::{Jwk, JwkSet},
};
use painel_shared::{ids::TenantId, secrets::sha256_hex, time::now};
use serde_json::json;

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
}

impl Role {
    fn group(self) -> &'static str {
        match self {
            Self::Admin => "INTERNAL_ADMIN",
            Self::Support => "INTERNAL_SUPPORT",
            Self::Tenant => "TENANT_ADMIN",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Tenant => "tenant",
        }
    }
}

/// The issuer and its one key.
#[derive(Clone)]
pub struct Issuer {
    key: EncodingKey,
    kid: String,
}

impl Issuer {
    /// The issuer whose key is in that file, which is made where it is missing.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        if !file.exists() {
            let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key was generated"))?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| anyhow!("the RSA key cannot be written"))?;
            super::super::data_dir::write_private(file, to_pem(der.as_ref()).as_bytes())?;
        }
        let pem = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let key = EncodingKey::from_rsa_pem(&pem)
            .with_context(|| format!("{} holds no RSA key; remove it and start again", file.display()))?;
        Ok(Self { key, kid: sha256_hex(&pem).chars().take(16).collect() })
    }

    /// A fresh access token.
    pub fn token(&self, role: Role, tenant: Option<TenantId>) -> anyhow::Result<String> {
        let at = now().timestamp();
        let name = role.name();
        let mut claims = json!({
            "iss": ISSUER,
            "sub": format!("development-{name}"),
            "username": format!("{name}@painel.localhost"),
            "client_id": CLIENT_ID,
            "token_use": "access",
            "cognito:groups": [role.group()],
            "iat": at,
            "exp": at + i64::try_from(LIFETIME.as_secs())?,
        });
        if let (Role::Tenant, Some(tenant), Some(all)) = (role, tenant, claims.as_object_mut()) {
            all.insert("custom:tenant_id".to_owned(), json!(tenant));
        }
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::RS256) };
        Ok(encode(&header, &claims, &self.key)?)
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

/// `GET /.well-known/jwks.json`.
pub async fn serve_keys(keys: web::Data<JwkSet>) -> impl Responder {
    web::Json(keys.get_ref().clone())
}

/// The textual form of a PKCS #8 key (RFC 7468).
fn to_pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
