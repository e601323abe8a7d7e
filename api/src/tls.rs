//! TLS without a proxy: the certificate and its key, read again when they change.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use painel_shared::config::{ConfigError, Vars};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const CERTIFICATE: &str = "PAINEL_TLS_CERT";
const KEY: &str = "PAINEL_TLS_KEY";
/// How often is looked whether the files have changed.
const ROUND: Duration = Duration::from_secs(5);

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// `PAINEL_TLS_CERT`: a file with the certificate, and those between it and the root, in PEM.
    pub certificate: PathBuf,
    /// `PAINEL_TLS_KEY`: a file with its key, in PEM.
    pub key: PathBuf,
}

impl TlsConfig {
    /// Reads the variables named above: both, or none for HTTP without TLS.
    pub fn from_vars(vars: &Vars) -> Result<Option<Self>, ConfigError> {
        match (vars.text(CERTIFICATE), vars.text(KEY)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate: certificate.into(), key: key.into() })),
            (Some(_), None) => Err(ConfigError::new(KEY, format!("is not set, and {CERTIFICATE} is"))),
            (None, Some(_)) => Err(ConfigError::new(CERTIFICATE, format!("is not set, and {KEY} is"))),
        }
    }
}

/// The certificate that is shown to clients.
#[derive(Debug)]
pub struct Certificate {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// The one in those files.
    pub fn read(config: TlsConfig) -> anyhow::Result<Arc<Self>> {
        let provider = CryptoProvider::get_default().context("no provider of TLS is installed")?.clone();
        let shown = RwLock::new(load(&config, &provider)?);
        Ok(Arc::new(Self { config, provider, shown }))
    }

    /// What accepts connections with it.
    pub fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?;
        let mut config =
            builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Shows the certificate that is in the files, also when they change, until `shutdown`. One that cannot be read, or does
    /// not fit its key, is not shown: the one before goes on.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut known = changed_at(&self.config);
        while shutdown.run_until_cancelled(tokio::time::sleep(ROUND)).await.is_some() {
            let found = changed_at(&self.config);
            if found == known {
                continue;
            }
            match load(&self.config, &self.provider) {
                Ok(read) => {
                    *self.shown.write().unwrap_or_else(PoisonError::into_inner) = read;
                    known = found;
                    tracing::info!("the certificate was read again");
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the new certificate was not taken; the one before goes on"
                    );
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn load(config: &TlsConfig, provider: &CryptoProvider) -> anyhow::Result<Arc<CertifiedKey>> {
    let unread = |variable, path: &PathBuf| format!("{variable} is {}, and it cannot be read", path.display());
    let chain = CertificateDer::pem_file_iter(&config.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| unread(CERTIFICATE, &config.certificate))?;
    if chain.is_empty() {
        bail!("{CERTIFICATE} is {}, and it holds no certificate", config.certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(&config.key).with_context(|| unread(KEY, &config.key))?;
    let certified = CertifiedKey::from_der(chain, key, provider);
    Ok(Arc::new(certified.with_context(|| format!("{CERTIFICATE} and {KEY} do not fit together"))?))
}

fn changed_at(config: &TlsConfig) -> [Option<SystemTime>; 2] {
    [&config.certificate, &config.key].map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
}
