//! The keys that integrations' credentials are sealed with.

use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, Vars};
use crate::secrets::Keyring;

const VARIABLE: &str = "PAINEL_CREDENTIALS_KEYS";
const FORM: &str =
    "a comma-separated list of id:base64 of a 32-byte key, each id once; the first one seals, all of them open";

/// The keyring as text.
#[derive(Clone, Debug)]
pub struct CredentialsConfig {
    /// `PAINEL_CREDENTIALS_KEYS`, required by the reset-token worker: `id:base64,id:base64`.
    pub keys: SecretString,
}

impl CredentialsConfig {
    /// Reads the variable named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let keys = vars.secret(VARIABLE, FORM)?;
        let config = Self { keys };
        config.keyring()?;
        Ok(config)
    }

    /// The keys, ready for use.
    pub fn keyring(&self) -> Result<Keyring, ConfigError> {
        Keyring::read(self.keys.expose_secret())
            .ok_or_else(|| ConfigError::new(VARIABLE, format!("must be {FORM}")))
    }
}
