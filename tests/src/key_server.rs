//! A server of a key set that counts how often it is asked, and whose keys can be changed.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::AbortOnDropHandle;

/// A running server; ends when it is dropped.
pub struct KeyServer {
    address: SocketAddr,
    keys: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl KeyServer {
    /// Serves these keys; none for an issuer that answers 500.
    pub async fn start(keys: Option<Value>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (keys, asked) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicUsize::new(0)));
        let (served, counted) = (Arc::clone(&keys), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                // The head of a GET comes in one piece.
                let _ = connection.read(&mut request).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = match served.lock().unwrap().as_ref() {
                    Some(keys) => {
                        let body = keys.to_string();
                        format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                            body.len()
                        )
                    }
                    None => "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
                };
                // The client may have gone.
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, keys, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    /// Serves other keys from now on.
    pub fn set(&self, keys: Option<Value>) {
        *self.keys.lock().unwrap() = keys;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
