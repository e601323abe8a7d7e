//! A proxy before PostgreSQL that counts the exchanges: how often a client waits for an answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use painel_shared::config::Vars;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

use crate::host::address_in;

/// The proxy. Its tasks end with the runtime.
pub struct Exchanges {
    address: SocketAddr,
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    exchanges: AtomicU64,
    statements: AtomicU64,
    /// The texts of the simple protocol, for whoever wonders what was asked.
    texts: Mutex<Vec<String>>,
}

impl Exchanges {
    /// One before the server that `PAINEL_DATABASE_URL` names; the URL that leads through it.
    pub async fn before(vars: &Vars) -> (Self, String) {
        let url = vars.text("PAINEL_DATABASE_URL").unwrap();
        let server: SocketAddr = address_in(url).parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), counted: Arc::default() };
        let counted = Arc::clone(&proxy.counted);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(server).await.unwrap();
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let counted = Arc::clone(&counted);
                tokio::spawn(async move { carry(from_client, to_server, &counted).await });
            }
        });
        // What is encrypted could not be counted.
        let behind = url.replacen(address_in(url), &proxy.address.to_string(), 1);
        (proxy, format!("{behind}?sslmode=disable"))
    }

    /// How many there have been.
    pub fn count(&self) -> u64 {
        self.counted.exchanges.load(Ordering::SeqCst)
    }

    /// How many statements were carried out: not counted is what only looks whether a session lives.
    pub fn statements(&self) -> u64 {
        self.counted.statements.load(Ordering::SeqCst)
    }

    /// What was asked by the simple protocol since this was last asked.
    pub fn take_texts(&self) -> Vec<String> {
        std::mem::take(&mut self.counted.texts.lock().unwrap())
    }
}

/// Carries messages until either side closes. Each that the server answers as a whole is an exchange: a simple query, and
/// the end of an extended one (PostgreSQL's documentation, 55.2).
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counted: &Counted) -> std::io::Result<()> {
    // The first message bears no type.
    let length = from.read_u32().await?;
    let mut content = vec![0; length as usize - 4];
    from.read_exact(&mut content).await?;
    to.write_u32(length).await?;
    to.write_all(&content).await?;
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let mut content = vec![0; length as usize - 4];
        from.read_exact(&mut content).await?;
        if kind == b'Q' {
            let text = String::from_utf8_lossy(&content).trim_end_matches('\0').to_owned();
            counted.texts.lock().unwrap().push(text);
        }
        if matches!(kind, b'Q' | b'S') {
            counted.exchanges.fetch_add(1, Ordering::SeqCst);
        }
        if matches!(kind, b'Q' | b'E') {
            counted.statements.fetch_add(1, Ordering::SeqCst);
        }
        let mut message = vec![kind];
        message.extend(length.to_be_bytes());
        message.extend(content);
        to.write_all(&message).await?;
    }
}
