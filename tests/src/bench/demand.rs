//! A demand that does not wait for its answers: so many requests a second, whatever comes of them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

/// How many connections there are at most.
const CONNECTIONS: usize = 400;
/// No answer takes longer.
const LONG: Duration = Duration::from_secs(30);

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// 0 where the connection ended.
    pub(super) status: u16,
    /// Since it was due.
    pub(super) took: Duration,
    /// When it was due, since the demand began.
    pub(super) due: Duration,
}

/// Sends requests of HTTP to one server.
#[derive(Clone)]
pub(super) struct Caller {
    address: Arc<str>,
    idle: Arc<Mutex<VecDeque<TcpStream>>>,
    connections: Arc<Semaphore>,
}

impl Caller {
    pub(super) fn of(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap().into();
        Self { address, idle: Arc::default(), connections: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Sends so many a second for so long; `text` writes the request of that number.
    pub(super) async fn demand(
        &self,
        a_second: f64,
        lasting: Duration,
        text: impl Fn(usize) -> String,
    ) -> Vec<Told> {
        let (began, mut asked) = (Instant::now(), JoinSet::new());
        let mut told = Vec::new();
        let count = (a_second * lasting.as_secs_f64()) as usize;
        for number in 0..count {
            let due = Duration::from_secs_f64(number as f64 / a_second);
            if due > began.elapsed() {
                tokio::time::sleep_until((began + due).into()).await;
            }
            let (caller, text) = (self.clone(), text(number));
            asked.spawn(async move {
                let status = caller.ask(&text).await;
                Told { status, took: began.elapsed() - due, due }
            });
            while let Some(one) = asked.try_join_next() {
                told.push(one.unwrap());
            }
        }
        told.extend(asked.join_all().await);
        told
    }

    /// Sends by so many, each when it has its answer, for so long.
    pub(super) async fn saturate(
        &self,
        callers: usize,
        lasting: Duration,
        text: impl Fn(usize) -> String + Clone + Send + 'static,
    ) -> Vec<Told> {
        let began = Instant::now();
        let asking = (0..callers).map(|place| {
            let (caller, text) = (self.clone(), text.clone());
            tokio::spawn(async move {
                let mut told = Vec::new();
                for number in (place..).step_by(callers) {
                    let due = began.elapsed();
                    if due >= lasting {
                        break;
                    }
                    let status = caller.ask(&text(number)).await;
                    told.push(Told { status, took: began.elapsed() - due, due });
                }
                told
            })
        });
        let told = futures::future::join_all(asking).await;
        told.into_iter().flat_map(Result::unwrap).collect()
    }

    /// The status of the answer; 0 where there was none.
    async fn ask(&self, text: &str) -> u16 {
        let _permit = self.connections.acquire().await.unwrap();
        let kept = self.idle.lock().unwrap().pop_back();
        let stream = match kept {
            Some(stream) => stream,
            None => match TcpStream::connect(&*self.address).await {
                Ok(stream) => stream,
                Err(_) => return 0,
            },
        };
        let Ok(Some((status, stream))) = tokio::time::timeout(LONG, exchange(stream, text)).await else { return 0 };
        self.idle.lock().unwrap().extend(stream);
        status
    }
}

/// The status of the answer; and the connection, where it is good for another.
async fn exchange(mut stream: TcpStream, text: &str) -> Option<(u16, Option<TcpStream>)> {
    stream.write_all(text.as_bytes()).await.ok()?;
    let mut read = Vec::with_capacity(8 * 1024);
    let head = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    while read.len() < head + length {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some((status, (!text.contains("connection: close")).then_some(stream)))
}
