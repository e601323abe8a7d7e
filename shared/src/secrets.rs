//! Secrets at rest: AES-256-GCM with the key's id beside the text, and what it belongs to as associated data.

use std::collections::HashMap;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, rand,
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
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
    /// What was sealed was changed, moved to another owner, or sealed with another key.
    #[error("what was sealed does not open")]
    Tampered,
    /// What is to be sealed is longer than where it is kept takes.
    #[error("what is to be sealed is too long")]
    TooLong,
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

    /// Reads `id:key, id:key, ..`, each key in base64.
    pub fn read(text: &str) -> Option<Self> {
        let entries = text.split(',').map(|entry| {
            let (id, key) = entry.trim().split_once(':')?;
            Some((id.to_owned(), BASE64_STANDARD.decode(key).ok()?))
        });
        Self::new(entries.collect::<Option<Vec<_>>>()?)
    }

    /// Seals a credential of that integration.
    pub fn seal(
        &self,
        secret: &SecretString,
        tenant: TenantId,
        integration: IntegrationId,
    ) -> Result<Sealed, SecretError> {
        self.seal_bytes(secret.expose_secret().as_bytes().to_vec(), &owner(tenant, integration))
    }

    /// Opens a credential of that integration.
    pub fn open(
        &self,
        sealed: &Sealed,
        tenant: TenantId,
        integration: IntegrationId,
    ) -> Result<SecretString, SecretError> {
        let opened = self.open_bytes(sealed, &owner(tenant, integration))?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| SecretError::Tampered)
    }

    /// Seals bytes into text that a cookie can hold; they open only for the same `purpose`.
    pub fn seal_text(&self, bytes: Vec<u8>, purpose: &[u8]) -> Result<String, SecretError> {
        let Sealed { key_id, nonce, ciphertext } = self.seal_bytes(bytes, purpose)?;
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Ok(format!("{}.{}.{}", text(key_id.as_bytes()), text(&nonce), text(&ciphertext)))
    }

    /// Opens what [`Self::seal_text`] sealed.
    pub fn open_text(&self, text: &str, purpose: &[u8]) -> Result<Vec<u8>, SecretError> {
        let mut parts = text.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let (Some(key_id), Some(nonce), Some(ciphertext), None) =
            (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next())
        else {
            return Err(SecretError::Tampered);
        };
        let key_id = String::from_utf8(key_id).map_err(|_| SecretError::Tampered)?;
        self.open_bytes(&Sealed { key_id, nonce, ciphertext }, purpose)
    }

    fn seal_bytes(&self, mut bytes: Vec<u8>, about: &[u8]) -> Result<Sealed, SecretError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SecretError::Crypto)?;
        self.key(&self.current)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut bytes)
            .map_err(|_| SecretError::Crypto)?;
        Ok(Sealed { key_id: self.current.clone(), nonce: nonce.to_vec(), ciphertext: bytes })
    }

    fn open_bytes(&self, sealed: &Sealed, about: &[u8]) -> Result<Vec<u8>, SecretError> {
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| SecretError::Tampered)?;
        let mut bytes = sealed.ciphertext.clone();
        let opened = self.key(&sealed.key_id)?.open_in_place(nonce, Aad::from(about), &mut bytes);
        let length = opened.map_err(|_| SecretError::Tampered)?.len();
        bytes.truncate(length);
        Ok(bytes)
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
