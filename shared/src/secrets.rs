//! Credentials at rest: AES-256-GCM with the key's id beside the text and the owner as associated data.

use std::collections::HashMap;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, rand,
};
use secrecy::{ExposeSecret, SecretString};

use crate::ids::{IntegrationId, TenantId};

/// The cipher or the machine's source of randomness refused.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The system gave no random bytes, or the cipher failed.
    #[error("the cryptographic library refused")]
    Crypto,
    /// A credential names a key that the configuration does not hold.
    #[error("no key with id {0}")]
    UnknownKey(String),
    /// The credential was changed, moved to another owner, or sealed with another key.
    #[error("the credential does not open")]
    Tampered,
}

/// An encrypted credential as it is stored.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Which key sealed it.
    pub key_id: String,
    /// The nonce, fresh for each sealing.
    pub nonce: Vec<u8>,
    /// The encrypted text and its tag.
    pub ciphertext: Vec<u8>,
}

/// The keys that credentials are sealed with: one for new ones, all for old ones.
pub struct Keyring {
    current: String,
    keys: HashMap<String, LessSafeKey>,
}

impl Keyring {
    /// A keyring from ids and 32-byte keys; the first seals. `None` where a key has another length or
    /// there is none.
    pub fn new(keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Option<Self> {
        let mut current = None;
        let mut ring = HashMap::new();
        for (id, bytes) in keys {
            let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
            current.get_or_insert_with(|| id.clone());
            // Of two keys of one id, what was sealed by one could not be opened.
            if ring.insert(id, LessSafeKey::new(key)).is_some() {
                return None;
            }
        }
        Some(Self { current: current?, keys: ring })
    }

    /// Seals a credential of that integration.
    pub fn seal(
        &self,
        secret: &SecretString,
        tenant: TenantId,
        integration: IntegrationId,
    ) -> Result<Sealed, SecretError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SecretError::Crypto)?;
        let mut text = secret.expose_secret().as_bytes().to_vec();
        self.key(&self.current)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(owner(tenant, integration)),
                &mut text,
            )
            .map_err(|_| SecretError::Crypto)?;
        Ok(Sealed { key_id: self.current.clone(), nonce: nonce.to_vec(), ciphertext: text })
    }

    /// Opens a credential of that integration.
    pub fn open(
        &self,
        sealed: &Sealed,
        tenant: TenantId,
        integration: IntegrationId,
    ) -> Result<SecretString, SecretError> {
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| SecretError::Tampered)?;
        let mut text = sealed.ciphertext.clone();
        let opened = self
            .key(&sealed.key_id)?
            .open_in_place(nonce, Aad::from(owner(tenant, integration)), &mut text)
            .map_err(|_| SecretError::Tampered)?;
        let opened = std::str::from_utf8(opened).map_err(|_| SecretError::Tampered)?;
        Ok(SecretString::from(opened))
    }

    fn key(&self, id: &str) -> Result<&LessSafeKey, SecretError> {
        self.keys.get(id).ok_or_else(|| SecretError::UnknownKey(id.to_owned()))
    }
}

/// The associated data: a sealed credential opens for its own tenant and integration only.
fn owner(tenant: TenantId, integration: IntegrationId) -> Vec<u8> {
    [*tenant.uuid().as_bytes(), *integration.uuid().as_bytes()].concat()
}

/// A new random token of 256 bits, as 64 hexadecimal digits.
pub fn random_token() -> Result<SecretString, SecretError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| SecretError::Crypto)?;
    Ok(SecretString::from(hex::encode(bytes)))
}

/// What may be shown of a token: the first 16 hexadecimal digits of its SHA-256.
pub fn fingerprint(token: &SecretString) -> String {
    sha256_hex(token.expose_secret().as_bytes()).chars().take(16).collect()
}

/// SHA-256 as 64 hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(sha256(bytes))
}

/// The same as it is.
pub fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}
