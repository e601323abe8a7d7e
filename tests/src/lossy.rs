//! A proxy before DynamoDB or SQS that loses answers, or answers itself, when told to; and counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a query on an index that knows nothing answers.
const NOTHING: &str = r#"{"Items":[],"Count":0,"ScannedCount":0}"#;

/// What a call without the right to it is answered.
const DENIED: &str = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not authorized"}"#;

/// The proxy. Its task ends with the runtime.
pub struct Lossy {
    address: SocketAddr,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    losses: AtomicU32,
    indexes_hidden: AtomicBool,
    bytes: AtomicU64,
    refused: Mutex<Option<&'static str>>,
    denied: Mutex<Option<&'static str>>,
    /// A text: of messages that are sent together, those whose body it is fail.
    unsendable: Mutex<Option<&'static str>>,
    calls: Mutex<Vec<String>>,
}

impl Lossy {
    /// A proxy before the server at that URL.
    pub async fn before(url: &str) -> Self {
        let server: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Told::default());
        let tells = Arc::clone(&told);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(client, TcpStream::connect(server).await.unwrap(), Arc::clone(&tells)));
            }
        });
        Self { address, told }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next answer is lost, though its request was carried out.
    pub fn lose_next_answer(&self) {
        self.told.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether every answer that was to be lost has been.
    pub fn is_quiet(&self) -> bool {
        self.told.losses.load(Ordering::SeqCst) == 0
    }

    /// From now on no index shows anything, as if all of them lagged.
    pub fn hide_indexes(&self) {
        self.told.indexes_hidden.store(true, Ordering::SeqCst);
    }

    /// From now on that operation is not carried out: its connection is closed.
    pub fn refuse(&self, operation: &'static str) {
        *self.told.refused.lock().unwrap() = Some(operation);
    }

    /// From now on that operation is denied, as to somebody without the right; none is where none is named.
    pub fn deny(&self, operation: Option<&'static str>) {
        *self.told.denied.lock().unwrap() = operation;
    }

    /// From now on batches of messages are answered without being sent: those whose body is this fail, and the others do not.
    pub fn fail_messages(&self, body: &'static str) {
        *self.told.unsendable.lock().unwrap() = Some(body);
    }

    /// How many calls of that operation there have been.
    pub fn calls(&self, operation: &str) -> usize {
        self.told.calls.lock().unwrap().iter().filter(|call| *call == operation).count()
    }

    /// How many calls there have been, and how many bytes their bodies and answers had.
    pub fn traffic(&self) -> (usize, u64) {
        (self.told.calls.lock().unwrap().len(), self.told.bytes.load(Ordering::SeqCst))
    }
}

/// Carries requests and their answers, one after the other, until either side closes.
async fn carry(mut client: TcpStream, mut server: TcpStream, told: Arc<Told>) -> Option<()> {
    loop {
        let request = message(&mut client).await?;
        let head = String::from_utf8_lossy(&request.head).into_owned();
        let operation = header(&head, "x-amz-target").and_then(|target| target.split_once('.'));
        let operation = operation.map_or_else(String::new, |(_, name)| name.to_owned());
        let on_index = operation == "Query" && String::from_utf8_lossy(&request.body).contains("\"IndexName\"");
        if *told.refused.lock().unwrap() == Some(operation.as_str()) {
            return None;
        }
        let denied = *told.denied.lock().unwrap() == Some(operation.as_str());
        let is_batch = operation == "SendMessageBatch";
        told.calls.lock().unwrap().push(operation);
        if denied {
            client.write_all(&answered("400 Bad Request", DENIED)).await.ok()?;
            continue;
        }
        told.bytes.fetch_add(request.body.len() as u64, Ordering::SeqCst);
        let unsendable = *told.unsendable.lock().unwrap();
        if let Some(unsendable) = unsendable.filter(|_| is_batch) {
            client.write_all(&answered("200 OK", &batch_without(&request.body, unsendable))).await.ok()?;
            continue;
        }
        if on_index && told.indexes_hidden.load(Ordering::SeqCst) {
            client.write_all(&answered("200 OK", NOTHING)).await.ok()?;
            continue;
        }
        server.write_all(&request.whole()).await.ok()?;
        let answer = message(&mut server).await?;
        told.bytes.fetch_add(answer.body.len() as u64, Ordering::SeqCst);
        let lost = told.losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if lost {
            // Both connections are closed.
            return None;
        }
        client.write_all(&answer.whole()).await.ok()?;
    }
}

/// The answer of SQS to messages that were sent together, of which some failed: its documentation, SendMessageBatch.
fn batch_without(request: &[u8], unsendable: &str) -> String {
    let request: Value = serde_json::from_slice(request).unwrap();
    let (failed, sent): (Vec<&Value>, Vec<&Value>) =
        request["Entries"].as_array().unwrap().iter().partition(|entry| entry["MessageBody"] == unsendable);
    let failed =
        failed.iter().map(|entry| json!({"Id": entry["Id"], "Code": "InternalError", "SenderFault": false}));
    let sent = sent.iter().map(|entry| json!({"Id": entry["Id"], "MessageId": "none", "MD5OfMessageBody": "none"}));
    json!({"Failed": failed.collect::<Vec<_>>(), "Successful": sent.collect::<Vec<_>>()}).to_string()
}

fn answered(status: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length:");
    format!("{head} {}\r\n\r\n{body}", body.len()).into_bytes()
}

struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    fn whole(&self) -> Vec<u8> {
        [self.head.as_slice(), self.body.as_slice()].concat()
    }
}

/// The next HTTP message; none where the connection has been closed.
async fn message(stream: &mut TcpStream) -> Option<Message> {
    let (mut read, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = read[..end].to_vec();
            let length =
                header(&String::from_utf8_lossy(&head), "content-length").map_or(0, |n| n.parse().unwrap());
            if read.len() >= end + length {
                return Some(Message { head, body: read[end..].to_vec() });
            }
        }
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
