//! A host before a server, that can fall silent, drop packets, or vanish; and comes back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use painel_shared::config::Vars;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It carries what comes.
    Well,
    /// It accepts connections and says nothing.
    Silent,
    /// It answers no packet of a new connection, and says nothing on the others.
    Dropping,
}

/// What was read from a side, and when it is to be passed on.
type Passing = (Instant, Vec<u8>);

/// The host. Its tasks end with the runtime.
pub struct Host {
    address: SocketAddr,
    health: watch::Sender<Health>,
    /// How often it was replaced by another under the same address.
    age: watch::Sender<u32>,
    /// How often it has closed all connections.
    cuts: watch::Sender<u32>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

/// The address of the server that a URL names.
pub(crate) fn address_in(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap()
}

impl Host {
    /// One before the server at that address.
    pub async fn before(server: SocketAddr) -> Self {
        Self::far_before(server, Duration::ZERO).await
    }

    /// One so far from the server at that address that each answer takes that much longer.
    async fn far_before(server: SocketAddr, distance: Duration) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        // Room for one that waits to be accepted: to the third, nothing is answered.
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let host = Self {
            address,
            health: watch::Sender::new(Health::Well),
            age: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
            open: Arc::default(),
            most_open: Arc::default(),
        };
        let (health, age, cuts) = (host.health.subscribe(), host.age.subscribe(), host.cuts.subscribe());
        let (open, most_open) = (Arc::clone(&host.open), Arc::clone(&host.most_open));
        tokio::spawn(async move {
            let mut accepting = health.clone();
            loop {
                // Nobody needs it any more where this fails.
                if accepting.wait_for(|health| *health != Health::Dropping).await.is_err() {
                    return;
                }
                let (client, _) = listener.accept().await.unwrap();
                let (health, open) = (health.clone(), Arc::clone(&open));
                let (mut age, mut cuts) = (age.clone(), cuts.clone());
                age.mark_unchanged();
                cuts.mark_unchanged();
                most_open.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(client, server, distance, health, age) => {}
                        _ = cuts.changed() => {}
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        host
    }

    /// One before the server that a variable names; the URL that leads through it.
    pub async fn before_the_one_in(vars: &Vars, variable: &'static str) -> (Self, String) {
        Self::far_before_the_one_in(vars, variable, Duration::ZERO).await
    }

    /// The same, so far from it that each answer takes that much longer.
    pub async fn far_before_the_one_in(vars: &Vars, variable: &'static str, distance: Duration) -> (Self, String) {
        let url = vars.text(variable).unwrap();
        let host = Self::far_before(address_in(url).parse().unwrap(), distance).await;
        let behind = url.replacen(address_in(url), &host.address.to_string(), 1);
        (host, behind)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it is so. Where it drops packets, that holds when this returns.
    pub async fn become_so(&self, health: Health) {
        self.most_open.store(self.open.load(Ordering::SeqCst), Ordering::SeqCst);
        self.health.send_replace(health);
        if health == Health::Dropping {
            // These fill the room before it. What is in it will find nobody.
            for _ in 0..3 {
                tokio::spawn(TcpStream::connect(self.address));
            }
        }
    }

    /// It vanishes and is replaced: nothing comes on the old connections any more, not even their end.
    pub fn be_replaced(&self) {
        self.age.send_modify(|age| *age += 1);
    }

    /// It closes the connections that there are.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections have been open at once since it last changed.
    pub fn most_open(&self) -> usize {
        self.most_open.load(Ordering::SeqCst)
    }
}

/// Carries both directions until the client goes away.
async fn carry(
    client: TcpStream,
    server: SocketAddr,
    distance: Duration,
    health: watch::Receiver<Health>,
    mut age: watch::Receiver<u32>,
) {
    let (from_client, to_client) = client.into_split();
    let (up, going_up) = mpsc::unbounded_channel();
    let serve = async {
        let mut well = health.clone();
        if well.wait_for(|health| *health == Health::Well).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (from_server, to_server) = server.into_split();
        let (down, going_down) = mpsc::unbounded_channel();
        tokio::select! {
            () = read(from_server, down, distance) => {}
            () = write(to_server, going_up, health.clone()) => {}
            () = write(to_client, going_down, health.clone()) => {}
        }
    };
    let old = async {
        let mut serve = std::pin::pin!(serve);
        tokio::select! {
            () = &mut serve => {}
            // Not dropped: that would tell the client.
            _ = age.changed() => std::future::pending::<()>().await,
        }
    };
    tokio::select! {
        () = read(from_client, up, Duration::ZERO) => {}
        () = old => {}
    }
}

/// Reads until the end. What was read is to be passed on after `distance`.
async fn read(mut from: OwnedReadHalf, to: mpsc::UnboundedSender<Passing>, distance: Duration) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // Nobody reads from a host that says nothing.
        let _ = to.send((Instant::now() + distance, buffer[..count].to_vec()));
    }
}

/// Writes what comes, while the host is well.
async fn write(
    mut to: OwnedWriteHalf,
    mut coming: mpsc::UnboundedReceiver<Passing>,
    mut health: watch::Receiver<Health>,
) {
    while let Some((due, bytes)) = coming.recv().await {
        tokio::time::sleep_until(due).await;
        if health.wait_for(|health| *health == Health::Well).await.is_err() || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
