//! How many connections there may be, of all and of one address, and who goes when there is no place left.
//!
//! Whoever comes gets a place as long as anybody keeps one without being worked for: the one that has done so longest goes,
//! whether it waits for its client, or for somebody to tell who that is. So neither idle connections nor slow ones nor those
//! of strangers keep anybody out, whether they come from one address or from many.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use super::life::Connection;
use crate::client_address::ClientAddress;

/// How often is looked for connections whose time is over.
const ROUND: Duration = Duration::from_millis(250);
/// What a process opens beside them: stores, the issuer, and who asks at the admin address.
const OTHER_FILES: u64 = 200;
/// How many of those may be taken by connections that have come and have no place yet.
pub(super) const COMING: usize = 100;

/// The connections of one process.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_of_one_address: usize,
    proxies: ClientAddress,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Arc<Connection>>,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place among the others, until it is dropped.
#[derive(Debug)]
pub struct Place {
    id: u64,
    connection: Arc<Connection>,
    connections: Connections,
}

impl Deref for Place {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open().remove(self.id);
    }
}

impl Connections {
    /// So many at most, if the process may open as many files, and so many of one address. Proxies that are trusted speak for
    /// many.
    pub fn new(most: usize, most_of_one_address: usize, proxies: ClientAddress) -> Self {
        let files = usize::try_from(open_files().saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(1);
        if files < most {
            tracing::warn!(
                most,
                files,
                "fewer connections are served than configured: the process may open too few files"
            );
        }
        let most = most.min(files);
        Self(Arc::new(Inner { most, most_of_one_address, proxies, open: Mutex::default() }))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.0.most
    }

    /// A place for a connection from that address. None where all others are being worked for.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Place> {
        let is_proxy = self.0.proxies.is_trusted(address);
        let mut open = self.open();
        let address = holder(address);
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        let freed = if of_address >= self.0.most_of_one_address && !is_proxy {
            open.cut_one(|one| one.address == address)
        } else if open.all.len() >= self.0.most {
            open.cut_one(|_| true)
        } else {
            true
        };
        if !freed {
            metrics::counter!("painel_http_connections_refused_total").increment(1);
        }
        freed.then(|| {
            let connection = Arc::new(Connection::accepted(address));
            let id = open.insert(Arc::clone(&connection));
            Place { id, connection, connections: self.clone() }
        })
    }

    /// Ends those whose time is over, until `shutdown`.
    pub(crate) async fn watch(self, shutdown: CancellationToken) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(rounds.tick()).await.is_some() {
            let now = Instant::now();
            let overdue = |one: &&Arc<Connection>| one.is_overdue(now);
            let overdue: Vec<Arc<Connection>> = self.open().all.values().filter(overdue).cloned().collect();
            told_cut("overdue", overdue.iter().filter(|one| one.cut()).count());
        }
    }
}

/// Who holds a connection from that address: of IPv6, whoever has one has the whole network of 64 bits (RFC 4291, 2.5.4).
fn holder(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

fn told_cut(reason: &'static str, count: usize) {
    if count > 0 {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        metrics::counter!("painel_http_connections_cut_total", "reason" => reason).increment(count);
    }
}

/// How many files this process may open, once it has asked for as many as it can have.
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Where that is denied, what there was still holds.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

impl Open {
    fn insert(&mut self, connection: Arc<Connection>) -> u64 {
        self.next += 1;
        *self.by_address.entry(connection.address).or_default() += 1;
        self.all.insert(self.next, connection);
        metrics::gauge!("painel_http_connections").increment(1.0);
        self.next
    }

    /// Nothing where it has been cut before.
    fn remove(&mut self, id: u64) {
        let Some(connection) = self.all.remove(&id) else { return };
        metrics::gauge!("painel_http_connections").decrement(1.0);
        if let Some(count) = self.by_address.get_mut(&connection.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&connection.address);
            }
        }
    }

    /// Ends the one of these that has idled longest, if there is one.
    fn cut_one(&mut self, of: impl Fn(&Connection) -> bool) -> bool {
        let waiting = self.all.iter().filter(|(_, one)| of(one));
        let waiting = waiting.filter_map(|(id, one)| Some((one.idles_since()?, *id)));
        let Some((_, id)) = waiting.min() else { return false };
        if let Some(connection) = self.all.get(&id) {
            connection.cut();
        }
        told_cut("displaced", 1);
        self.remove(id);
        true
    }
}
