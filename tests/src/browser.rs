//! A real browser, and a page in it that tells what it could read.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A Chromium without a window; killed when it is dropped.
pub struct Browser {
    chromium: Child,
    _profile: TempDir,
}

impl Browser {
    /// Opens that address. `PAINEL_TEST_CHROMIUM` names the program, if it is not `chromium` on the path.
    pub fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let program = std::env::var("PAINEL_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let chromium = Command::new(&program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is missing ({error}): run tests/run.sh, which installs it"));
        Self { chromium, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.chromium.kill();
        let _ = self.chromium.wait();
    }
}

/// The server of a page whose script asks, one after the other, and tells what it could read of the answers. Ends with the
/// runtime.
pub struct Page {
    address: SocketAddr,
    asks: watch::Sender<Value>,
    read: watch::Receiver<Option<Value>>,
}

const SCRIPT: &str = r#"<!doctype html><title>Page</title><script>
async function ask({url, method, headers, body, until}) {
    for (;;) {
        const answer = await fetch(url, {method, headers, body, credentials: "include"});
        const text = await answer.text();
        if (until && answer.status !== until) { continue; }
        let error = null;
        try { error = JSON.parse(text).error ?? null; } catch {}
        return {status: answer.status, error, request_id: answer.headers.get("x-request-id")};
    }
}
(async () => {
    const asks = await (await fetch("/asks")).json();
    const read = [];
    for (const one of asks) {
        try { read.push(await ask(one)); } catch (failed) { read.push({failed: String(failed)}); }
    }
    await fetch("/read", {method: "POST", body: JSON.stringify(read)});
})();
</script>"#;

impl Page {
    /// A page that does not yet know what to ask.
    pub async fn serve() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asks, to_ask) = watch::channel(Value::Null);
        let (told, read) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let (to_ask, told) = (to_ask.borrow().clone(), told.clone());
                tokio::spawn(async move { answer(connection, &to_ask, &told).await });
            }
        });
        Self { address, asks, read }
    }

    /// Its origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the page, opened in a browser, reads of these: `{url, method, headers, body}`, with `until` again and again
    /// until that is the status.
    pub async fn ask(&mut self, asks: Value) -> Vec<Value> {
        self.asks.send_replace(asks);
        let browser = Browser::open(&self.origin());
        let read = self.read.wait_for(Option::is_some).await.unwrap().clone();
        drop(browser);
        read.as_ref().and_then(Value::as_array).unwrap().clone()
    }
}

async fn answer(
    mut connection: TcpStream,
    asks: &Value,
    told: &watch::Sender<Option<Value>>,
) -> std::io::Result<()> {
    let (head, body) = request(&mut connection).await?;
    let (kind, answer) = match head.split(' ').nth(1) {
        Some("/") => ("text/html", SCRIPT.to_owned()),
        Some("/asks") => ("application/json", asks.to_string()),
        Some("/read") => {
            told.send_replace(serde_json::from_slice(&body).ok());
            ("text/plain", String::new())
        }
        _ => ("text/plain", String::new()),
    };
    let length = answer.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.write_all(format!("{head}{answer}").as_bytes()).await
}

/// The head and the body of a request.
async fn request(connection: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            let mut body = read.split_off(end + 4);
            while body.len() < length.unwrap_or(0) {
                connection.read_buf(&mut body).await?;
            }
            return Ok((head, body));
        }
        if connection.read_buf(&mut read).await? == 0 {
            return Ok(Default::default());
        }
    }
}
