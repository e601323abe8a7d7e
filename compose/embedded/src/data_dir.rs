//! The folder that survives a restart. One process at a time uses it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_STANDARD};

/// The folder, locked for this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder where it is missing, and locks it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // Keys and secrets are in it. One that is not Painel's own is left as it is.
        let own = !path.exists() || issuer_key(path).exists();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("the data folder {} cannot be made", path.display()))?;
        if own {
            // One that an earlier build has made is open to others.
            fs::set_permissions(path, Permissions::from_mode(0o700))
                .with_context(|| format!("the data folder {} cannot be closed to others", path.display()))?;
        }
        let file = path.join("lock");
        let lock = File::create(&file).with_context(|| format!("{} cannot be written", file.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another painel is running on the data folder {}", path.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", file.display()))
            }
        }
    }

    /// The files of PostgreSQL.
    pub fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// The file of DynamoDB.
    pub fn dynamodb(&self) -> PathBuf {
        self.path.join("dynamodb.sqlite")
    }

    /// What the stand-in agent runtime did.
    pub fn agent_runtime(&self) -> PathBuf {
        self.path.join("agent-runtime.jsonl")
    }

    /// The token issuer's key.
    pub fn issuer_key(&self) -> PathBuf {
        issuer_key(&self.path)
    }

    /// The key that credentials are sealed with, made on first use, in the form of `PAINEL_CREDENTIALS_KEYS`.
    pub fn credentials_keys(&self) -> anyhow::Result<String> {
        let file = self.path.join("credentials.key");
        if !file.exists() {
            let mut key = [0; 32];
            rand::fill(&mut key).ok().context("the system gave no random bytes")?;
            write_private(&file, format!("local:{}", BASE64_STANDARD.encode(key)).as_bytes())?;
        }
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
    }
}

/// The token issuer's key of a data folder that may be in use.
pub fn issuer_key(data_dir: &Path) -> PathBuf {
    data_dir.join("issuer.pem")
}

/// Writes a file that only its owner may read; whole, or not at all.
pub fn write_private(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let draft = file.with_extension("new");
    let mut opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .with_context(|| format!("{} cannot be written", draft.display()))?;
    opened.write_all(content)?;
    opened.sync_all()?;
    fs::rename(&draft, file).with_context(|| format!("{} cannot be written", file.display()))
}
