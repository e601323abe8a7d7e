//! A PostgreSQL of the test's own, to be crashed and started again. The machine's own is left alone.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::port::free_port;

/// A cluster with a port and files of its own.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    settings: String,
}

impl Postgres {
    /// Makes one as Debian ships it, and starts it.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with settings as the server's command line has them.
    pub fn start_with(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings.to_owned())
    }

    /// The same, over TLS, with `cert.pem` and `key.pem` of that folder.
    pub fn start_over_tls(certificate: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = |name: &str| {
            let copied = folder.path().join(name);
            std::fs::copy(certificate.join(name), &copied).unwrap();
            std::fs::set_permissions(&copied, Permissions::from_mode(0o600)).unwrap();
            copied
        };
        let settings = format!(
            "-c ssl=on -c ssl_cert_file={} -c ssl_key_file={}",
            copy("cert.pem").display(),
            copy("key.pem").display()
        );
        Self::start_in(folder, settings)
    }

    fn start_in(folder: TempDir, settings: String) -> Self {
        let port = free_port();
        let postgres = Self { folder, programs: programs(), port, settings };
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(postgres.folder.path()));
        }
        postgres.run("initdb", &["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        postgres.control("start");
        postgres
    }

    /// The database where databases can be made.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Crashes it and starts it again: it recovers from its log.
    pub fn crash_and_start(&self) {
        self.control("stop");
        self.control("start");
    }

    fn control(&self, what: &str) {
        let options = format!("-p {} -h 127.0.0.1 -k '' {}", self.port, self.settings);
        let log = self.folder.path().join("log");
        let more: Vec<&str> = match what {
            "start" => vec!["-w", "-o", &options, "-l", log.to_str().unwrap(), "start"],
            // As a crash: no checkpoint is made, and connections are cut.
            _ => vec!["-m", "immediate", "stop"],
        };
        self.run("pg_ctl", &more);
    }

    /// The server refuses to run as root.
    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(path);
                command
            }
            false => Command::new(path),
        };
        command.arg("-D").arg(self.folder.path().join("data")).args(arguments).current_dir("/");
        run(&mut command);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.control("stop");
    }
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|said| said.stdout == b"0\n")
}

/// Debian keeps the server's programs beside each other, a folder a version.
fn programs() -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = std::fs::read_dir(versions)
        .map(|all| all.filter_map(|one| Some(one.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    found.sort();
    found.pop().unwrap_or_default()
}
