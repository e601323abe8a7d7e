//! The real processes, each on its own, as a deployment runs them.

use std::{
    collections::BTreeMap,
    fs::File,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use painel::services::issuer::Issuer;
use painel_shared::planted::Bug;

use crate::{client::Client, program, stack::Stack, wait::eventually};

/// Where the processes' programs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Programs {
    /// They are the product's binaries.
    #[default]
    Built,
    /// They are this very program, built with the feature `planted-bugs`, with that bug.
    Planted(Option<Bug>),
}

/// Processes against the services of a stack. What still runs is killed when it is dropped.
pub struct Fleet<'a> {
    stack: &'a Stack,
    programs: Programs,
    set: BTreeMap<String, String>,
    running: Vec<(String, Child)>,
    started: u32,
}

impl<'a> Fleet<'a> {
    /// Processes configured like the stack, on free ports.
    pub fn new(stack: &'a Stack) -> Self {
        Self::of(stack, Programs::Built)
    }

    /// The same, of those programs.
    pub fn of(stack: &'a Stack, programs: Programs) -> Self {
        let mut set: BTreeMap<String, String> =
            stack.vars.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        set.insert("PAINEL_LOG_FORMAT".to_owned(), "json".to_owned());
        set.insert("PAINEL_LOG".to_owned(), "info".to_owned());
        if let Programs::Planted(Some(bug)) = programs {
            set.insert("PLANTED_BUG".to_owned(), bug.name().to_owned());
        }
        Self { stack, programs, set, running: Vec::new(), started: 0 }
    }

    /// A command that runs one of the binaries to its end.
    pub fn command(&self, binary: &str) -> Command {
        let mut command = match self.programs {
            Programs::Built => {
                let path = program::path().with_file_name(binary);
                assert!(path.exists(), "{} is missing: run `cargo build` first", path.display());
                Command::new(path)
            }
            Programs::Planted(_) => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["process", binary]);
                command
            }
        };
        command.env_clear().envs(&self.set).stdin(Stdio::null());
        command
    }

    /// Sets a variable for the processes that are started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.set.insert(name.to_owned(), value.to_owned());
    }

    /// The id of the first process of that binary.
    pub fn id(&self, binary: &str) -> u32 {
        self.running.iter().find(|(name, _)| name == binary).unwrap().1.id()
    }

    /// Sends a signal to one process of that binary, chosen by `choice`; its place for [`Fleet::replace`].
    pub fn signal_one(&self, binary: &str, choice: u64, signal: &str) -> usize {
        let places: Vec<usize> =
            self.running.iter().enumerate().filter(|(_, (name, _))| name == binary).map(|(n, _)| n).collect();
        let place = places[usize::try_from(choice).unwrap() % places.len()];
        let id = self.running[place].1.id().to_string();
        // It may have ended by itself.
        let _ = Command::new("kill").args([format!("-{signal}"), id]).status();
        place
    }

    /// Puts a fresh process in the place of one that was killed.
    pub fn replace(&mut self, place: usize) {
        let (binary, mut child) = self.running.swap_remove(place);
        let _ = child.kill();
        child.wait().unwrap();
        self.start(&binary);
    }

    /// Starts a process; what it logs goes to a file.
    pub fn start(&mut self, binary: &str) {
        self.started += 1;
        let log = File::create(self.stack.folder.join(format!("{binary}-{}.log", self.started))).unwrap();
        let child = self.command(binary).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.running.push((binary.to_owned(), child));
    }

    /// The same, with that filter of what it logs.
    pub fn start_logging(&mut self, binary: &str, filter: &str) {
        let before = self.set.insert("PAINEL_LOG".to_owned(), filter.to_owned());
        self.start(binary);
        self.set.extend(before.map(|before| ("PAINEL_LOG".to_owned(), before)));
    }

    /// What the newest process of that binary has logged.
    pub fn log(&self, binary: &str) -> String {
        self.logs(binary).pop().unwrap_or_default()
    }

    /// What each process of that binary has logged, the newest last.
    pub fn logs(&self, binary: &str) -> Vec<String> {
        let files = (1..=self.started).map(|n| self.stack.folder.join(format!("{binary}-{n}.log")));
        files.filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    }

    /// A client of the API's process, once it says where it listens.
    pub async fn client(&self, issuer: &Issuer) -> Client {
        let url = eventually("the API to listen", Duration::from_secs(20), || async {
            let log = self.log("painel-api");
            let line = log.lines().find(|line| line.contains("\"listening\""))?;
            let entry: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(format!("http://{}", entry["address"].as_str()?))
        })
        .await;
        Client::new(url, issuer)
    }

    /// Sends a signal, such as `TERM`, to every process of that binary.
    pub fn signal(&self, binary: &str, signal: &str) {
        for (_, child) in self.running.iter().filter(|(name, _)| name == binary) {
            let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
            assert!(sent.success());
        }
    }

    /// How the processes of that binary ended, once they all have.
    pub async fn ended(&mut self, binary: &str, limit: Duration) -> Vec<ExitStatus> {
        let mut ended = Vec::new();
        let (gone, rest): (Vec<_>, Vec<_>) = self.running.drain(..).partition(|(name, _)| name == binary);
        self.running = rest;
        for (name, mut child) in gone {
            let what = format!("{name} to end");
            ended.push(
                eventually(&what, limit, || {
                    let status = child.try_wait().unwrap();
                    async move { status }
                })
                .await,
            );
        }
        ended
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
