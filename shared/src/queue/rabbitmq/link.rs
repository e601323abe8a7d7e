//! A connection that is opened when it is needed: by one attempt at a time, whoever waits for it.
//!
//! The driver runs each connection on a thread of its own, and has no limit on how long it takes to make one; to drop the
//! future does not end it. So an attempt is a task that nobody cancels, with a limit of its own, and one that is given
//! up has its socket shut down: thereby its thread ends. After a failure there is a pause, in which whoever asks is told
//! why at once.

use std::{
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties,
    options::ConfirmSelectOptions,
    tcp::OwnedTLSConfig,
    types::LongString,
    uri::{AMQPScheme, AMQPUri},
};
use tokio::time::Instant;

use super::unavailable;
use crate::{
    planted::{Bug, planted},
    queue::QueueError,
    retry::reconnect_delays,
};

/// How long it may take until a connection can be used.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a connection that was given up may take to end.
const TEAR_DOWN: Duration = Duration::from_secs(1);
/// In seconds. A broker that says nothing for twice as long is taken for gone.
const HEARTBEAT: u16 = 10;

/// After so long a broker takes a client for gone that says nothing.
pub(in super::super) const GONE: Duration = Duration::from_secs(2 * HEARTBEAT as u64);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Publishing,
    Consuming,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Publishing => "painel publishing",
            Self::Consuming => "painel consuming",
        }
    }
}

/// A connection, and where it publishes the channel that all publishings share.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) connection: Arc<Connection>,
    pub(super) publisher: Option<Channel>,
}

impl Opened {
    fn is_usable(&self) -> bool {
        self.connection.status().connected()
            && self.publisher.as_ref().is_none_or(|channel| channel.status().connected())
    }
}

type Attempt = Shared<BoxFuture<'static, Result<Opened, QueueError>>>;

/// The way to a broker for one purpose. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    uri: Result<AMQPUri, String>,
    purpose: Purpose,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    opened: Option<Opened>,
    attempt: Option<Attempt>,
    failures: usize,
    /// Until when nothing is tried, and why.
    pause: Option<(Instant, QueueError)>,
}

impl Link {
    pub(super) fn new(url: &str, purpose: Purpose) -> Self {
        let mut uri: Result<AMQPUri, String> = url.parse();
        if let Ok(uri) = &mut uri {
            uri.query.heartbeat.get_or_insert(HEARTBEAT);
        }
        Self(Arc::new(Inner { uri, purpose, state: Mutex::default() }))
    }

    /// What is open; or else what the attempt brings that is under way, or is begun.
    pub(super) async fn open(&self) -> Result<Opened, QueueError> {
        let attempt = {
            let mut state = self.0.lock();
            if let Some(opened) = state.opened.as_ref().filter(|opened| opened.is_usable()) {
                return Ok(opened.clone());
            }
            match &state.attempt {
                Some(under_way) if under_way.peek().is_none() => under_way.clone(),
                // None, or one that ended without a word.
                _ => {
                    if let Some((until, error)) = &state.pause
                        && *until > Instant::now()
                    {
                        return Err(error.clone());
                    }
                    let attempt = self.attempt(state.opened.take());
                    state.attempt = Some(attempt.clone());
                    attempt
                }
            }
        };
        attempt.await
    }

    /// The same for whoever can wait: through the pause after a failure, too.
    pub(super) async fn open_in_time(&self) -> Result<Opened, QueueError> {
        let pause = self.0.lock().pause.as_ref().map(|(until, _)| *until);
        if let Some(until) = pause {
            tokio::time::sleep_until(until).await;
        }
        self.open().await
    }

    /// Begins an attempt. A connection that lives and has lost its channel gets a new one.
    fn attempt(&self, before: Option<Opened>) -> Attempt {
        let inner = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let living = before.map(|opened| opened.connection).filter(|old| old.status().connected());
            let outcome = inner.connect(living).await;
            inner.conclude(&outcome);
            outcome
        });
        let ended = |joined: Result<_, tokio::task::JoinError>| {
            joined.unwrap_or_else(|error| Err(QueueError::Unavailable(error.to_string())))
        };
        task.map(ended).boxed().shared()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conclude(&self, outcome: &Result<Opened, QueueError>) {
        let mut state = self.lock();
        state.attempt = None;
        match outcome {
            Ok(opened) => {
                *state = State { opened: Some(opened.clone()), ..State::default() };
            }
            Err(error) => {
                let delay = reconnect_delays().nth(state.failures).unwrap_or(CONNECT_LIMIT);
                state.failures += 1;
                state.pause = Some((Instant::now() + delay, error.clone()));
            }
        }
    }

    async fn connect(&self, living: Option<Arc<Connection>>) -> Result<Opened, QueueError> {
        let socket = Socket::default();
        let mut opening = Box::pin(self.set_up(living, socket.clone()));
        if let Ok(outcome) = tokio::time::timeout(CONNECT_LIMIT, &mut opening).await {
            return outcome;
        }
        socket.shut_down();
        // Its thread sees the end of the stream, and ends.
        let _ = tokio::time::timeout(TEAR_DOWN, opening).await;
        Err(QueueError::TimedOut(CONNECT_LIMIT))
    }

    async fn set_up(&self, living: Option<Arc<Connection>>, socket: Socket) -> Result<Opened, QueueError> {
        let connection = match living {
            Some(connection) => connection,
            None => Arc::new(self.dial(socket).await?),
        };
        let publisher = match self.purpose {
            Purpose::Consuming => None,
            Purpose::Publishing => {
                let channel = connection.create_channel().await.map_err(unavailable)?;
                if !planted(Bug::NoConfirm) {
                    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(unavailable)?;
                }
                Some(channel)
            }
        };
        Ok(Opened { connection, publisher })
    }

    async fn dial(&self, socket: Socket) -> Result<Connection, QueueError> {
        let uri = self.uri.clone().map_err(QueueError::Unavailable)?;
        let properties =
            ConnectionProperties::default().with_connection_name(LongString::from(self.purpose.name()));
        let runtime = lapin::runtime::default_runtime().map_err(unavailable)?;
        let connecting = Connection::connector(
            uri,
            runtime,
            async move |uri: AMQPUri, runtime| {
                let AMQPUri { scheme, authority, .. } = uri;
                let addresses = runtime.to_socket_addrs((authority.host.clone(), authority.port));
                let secured = async {
                    let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        socket.keep(plain.get_ref())?;
                    }
                    match scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => {
                            stream.into_tls(&authority.host, OwnedTLSConfig::default().as_ref()).await
                        }
                    }
                };
                // The driver's thread waits for this alone: it must end by itself.
                let stream = tokio::time::timeout(CONNECT_LIMIT, secured).await;
                Ok(stream.unwrap_or_else(|late| Err(late.into()))?)
            },
            properties,
        );
        connecting.await.map_err(unavailable)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its URL holds a password.
        f.debug_struct("Link").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// A second handle of the socket of a connection that is being made.
#[derive(Clone, Debug, Default)]
struct Socket(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    handle: Option<TcpStream>,
    given_up: bool,
}

impl Socket {
    /// Keeps a handle; an error where the attempt has been given up meanwhile.
    fn keep(&self, stream: &tokio::net::TcpStream) -> std::io::Result<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.given_up {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        kept.handle = Some(stream.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    /// Ends the connection in both directions.
    fn shut_down(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.given_up = true;
        if let Some(handle) = kept.handle.take() {
            // It may have ended by itself.
            let _ = handle.shutdown(Shutdown::Both);
        }
    }
}
