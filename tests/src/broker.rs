//! A RabbitMQ of the test's own, to be killed and started again. The machine's own is left alone.

use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::port::free_port;

/// How long a broker may take to start.
const START: Duration = Duration::from_secs(60);

/// A broker with a node name, ports and files of its own.
pub struct Broker {
    folder: TempDir,
    node: String,
    port: u16,
    /// Where it listens over TLS, if it does.
    encrypted: Option<u16>,
    distribution_port: u16,
    server: Child,
}

impl Broker {
    /// Starts one, and waits until it accepts connections.
    pub fn start() -> Self {
        Self::start_with(None, "loopback_users.guest = true\n")
    }

    /// The same, over TLS too, with `cert.pem` and `key.pem` of that folder.
    pub fn start_over_tls(certificate: &Path) -> Self {
        let port = free_port();
        let file = |name: &str| certificate.join(name).display().to_string();
        let settings = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.certfile = {}\nssl_options.cacertfile = {}\n\
             ssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
            file("cert.pem"),
            file("cert.pem"),
            file("key.pem"),
        );
        Self::start_with(Some(port), &settings)
    }

    fn start_with(encrypted: Option<u16>, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rabbit.conf"), settings).unwrap();
        let node = format!("painel-{}@localhost", uuid::Uuid::new_v4().simple());
        let (port, distribution_port) = (free_port(), free_port());
        let server = server(folder.path(), &node, port, distribution_port);
        let broker = Self { folder, node, port, encrypted, distribution_port, server };
        broker.await_listening();
        broker
    }

    /// Its URL.
    pub fn url(&self) -> String {
        match self.encrypted {
            Some(port) => format!("amqps://guest:guest@localhost:{port}/%2f"),
            None => format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port),
        }
    }

    /// Has it hang: connections stay open, and nothing answers.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.server.wait().unwrap();
    }

    fn signal(&self, signal: &str) {
        // The script and the virtual machine that it has started are one group.
        let group = format!("-{}", self.server.id());
        let sent = Command::new("kill").args([signal, "--", &group]).status().unwrap();
        assert!(sent.success());
    }

    /// Starts it anew on the same files; when it began to accept connections.
    pub fn start_again(&mut self) -> Instant {
        self.server = server(self.folder.path(), &self.node, self.port, self.distribution_port);
        self.await_listening();
        Instant::now()
    }

    /// Runs `rabbitmqctl` on it.
    pub fn control(&self, arguments: &[&str]) {
        let mut command = Command::new(program("rabbitmqctl"));
        let ran = environment(&mut command, self.folder.path()).arg("-n").arg(&self.node).args(arguments).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn await_listening(&self) {
        let address = SocketAddr::from(([127, 0, 0, 1], self.encrypted.unwrap_or(self.port)));
        let deadline = Instant::now() + START;
        while TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err() {
            assert!(Instant::now() < deadline, "the broker did not start: {}", self.printed());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.server.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

fn server(folder: &Path, node: &str, port: u16, distribution_port: u16) -> Child {
    let out = File::create(folder.join("out")).unwrap();
    let mut command = Command::new(program("rabbitmq-server"));
    environment(&mut command, folder)
        .env("RABBITMQ_NODENAME", node)
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", distribution_port.to_string())
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbit.conf"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap()
}

/// The folder is also the home of the cookie that `rabbitmqctl` and the node share.
fn environment<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default()).env("HOME", folder)
}

/// Debian's own scripts change the user; the broker's do not.
fn program(name: &str) -> PathBuf {
    let plain = Path::new("/usr/lib/rabbitmq/bin").join(name);
    if plain.exists() { plain } else { PathBuf::from(name) }
}
