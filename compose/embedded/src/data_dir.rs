//! The folder that survives a restart. One process at a time uses it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_STANDARD};
use painel_shared::config::Vars;

use crate::services::signed::AccessKey;

/// The folder, locked for this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder where it is missing, and locks it. Others may not write in it: what they put there would be taken
    /// for its own.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // Keys and secrets are in it. One that holds something else is left as it is.
        let own = !path.exists() || issuer_key(path).exists() || is_empty(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("the data folder {} cannot be made", path.display()))?;
        if own {
            close_to_others(path)
                .with_context(|| format!("the data folder {} cannot be closed to others", path.display()))?;
        }
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o022 != 0 {
            bail!(
                "others may write in the data folder {} (mode {:o}): close it to them with chmod go-w, or name another",
                path.display(),
                mode & 0o777
            );
        }
        let file = path.join("lock");
        let lock = open_private(&file)?;
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

    /// The file of DynamoDB. What SQLite puts beside it has the same mode.
    pub fn dynamodb(&self) -> anyhow::Result<PathBuf> {
        self.private("dynamodb.sqlite")
    }

    /// What the stand-in agent runtime did.
    pub fn agent_runtime(&self) -> anyhow::Result<PathBuf> {
        self.private("agent-runtime.jsonl")
    }

    /// A file that others open by its path, and that only its owner may read.
    fn private(&self, name: &str) -> anyhow::Result<PathBuf> {
        let file = self.path.join(name);
        open_private(&file)?;
        Ok(file)
    }

    /// The token issuer's key.
    pub fn issuer_key(&self) -> PathBuf {
        issuer_key(&self.path)
    }

    /// The key that requests to the embedded AWS services are signed with: the one that is configured, or one made on first use.
    pub fn access_key(&self, vars: &Vars) -> anyhow::Result<AccessKey> {
        if let Some((id, secret)) =
            vars.text("PAINEL_AWS_ACCESS_KEY_ID").zip(vars.text("PAINEL_AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(AccessKey { id: id.to_owned(), secret: secret.to_owned() });
        }
        let secret = self.made_once("access.key", || Ok(BASE64_STANDARD.encode(random()?)))?;
        Ok(AccessKey { id: "embedded".to_owned(), secret })
    }

    /// The key that credentials are sealed with, made on first use, in the form of `PAINEL_CREDENTIALS_KEYS`.
    pub fn credentials_keys(&self) -> anyhow::Result<String> {
        self.made_once("credentials.key", || Ok(format!("local:{}", BASE64_STANDARD.encode(random()?))))
    }

    /// The key that sessions are sealed with, made on first use, in the form of `PAINEL_SESSION_KEYS`.
    pub fn session_keys(&self) -> anyhow::Result<String> {
        self.made_once("session.key", || Ok(format!("local:{}", BASE64_STANDARD.encode(random()?))))
    }

    /// The content of a file that only its owner may read, and which is made where it is missing.
    fn made_once(&self, name: &str, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
        let file = self.path.join(name);
        if !file.exists() {
            write_private(&file, make()?.as_bytes())?;
        }
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
    }
}

/// Opens a file as it is, made where it is missing so that only its owner may read it.
fn open_private(file: &Path) -> anyhow::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    opened.with_context(|| format!("{} cannot be written", file.display()))
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok().context("the system gave no random bytes")?;
    Ok(bytes)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Leaves a folder and the files in it to their owner: an earlier build has made them open to others.
fn close_to_others(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
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
