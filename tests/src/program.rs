//! The program `painel` as its own process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use painel::{data_dir::issuer_key, services::issuer::Issuer};

use crate::{client::Client, wait::eventually};

/// A running `painel serve`; killed when it is dropped.
pub struct Program {
    child: Child,
    output: PathBuf,
}

/// The built program, beside the test binary.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // A test is in `deps`, a program beside the others.
    let folder = test.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).unwrap();
    let program = folder.join("painel");
    assert!(program.exists(), "{} is missing: run `cargo build -p painel` first", program.display());
    program
}

/// `painel` with these arguments on that data folder, on free ports.
pub fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .env("PAINEL_HTTP_ADDR", "127.0.0.1:0")
        .env("PAINEL_ADMIN_ADDR", "127.0.0.1:0")
        .env("PAINEL_LOG", "warn,dynoxide=error")
        .stdin(Stdio::null());
    command
}

impl Program {
    /// Starts it, with what it prints in a file.
    pub fn start(data_dir: &Path, output: PathBuf, set: &[(&str, &str)]) -> Self {
        let file = File::create(&output).unwrap();
        let child = command(data_dir, &[])
            .envs(set.iter().copied())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client of it, once it says where it listens.
    pub async fn client(&mut self, data_dir: &Path) -> Client {
        let url = eventually("the program to listen", Duration::from_secs(30), || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", self.printed());
            let printed = self.printed();
            async move {
                // The last line shows that everything has been printed.
                printed.contains("Ctrl-C stops it.").then_some(())?;
                printed.lines().find_map(|line| line.strip_prefix("Painel listens on ")).map(str::to_owned)
            }
        })
        .await;
        Client::new(url, &Issuer::open(&issuer_key(data_dir)).unwrap())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, once it has.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        eventually("the program to end", limit, || {
            let status = self.child.try_wait().unwrap();
            async move { status }
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
