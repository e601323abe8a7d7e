//! A proxy that carries a request to its server and then loses the answer, when told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

/// The proxy. Its task ends with the runtime.
pub struct Lossy {
    address: SocketAddr,
    losses: Arc<AtomicU32>,
}

impl Lossy {
    /// A proxy before the server at that URL.
    pub async fn before(url: &str) -> Self {
        let server: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let losses = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&losses);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(client, TcpStream::connect(server).await.unwrap(), Arc::clone(&counted)));
            }
        });
        Self { address, losses }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next answer is lost, though its request was carried out.
    pub fn lose_next_answer(&self) {
        self.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether every answer that was to be lost has been.
    pub fn is_quiet(&self) -> bool {
        self.losses.load(Ordering::SeqCst) == 0
    }
}

async fn carry(client: TcpStream, server: TcpStream, losses: Arc<AtomicU32>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async { copy(&mut from_client, &mut to_server).await.map(|_| ()) };
    let answers = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let lost = losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            if read == 0 || lost {
                return std::io::Result::Ok(());
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    // Whichever side ends first, both connections are closed.
    tokio::select! {
        _ = requests => {}
        _ = answers => {}
    }
}
