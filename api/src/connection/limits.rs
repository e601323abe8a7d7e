//! How many connections there may be, of all and of one address, and who goes when there is no place left.
//!
//! Whoever comes gets a place as long as anybody keeps one without using it: the one that has waited longest for its client
//! goes. So neither idle connections nor slow ones keep anybody out, whether they come from one address or from many.

use std::{
    collections::HashMap,
    net::IpAddr,
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

    /// A place for a connection from that address. None where all others are being worked for.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Place> {
        let mut open = self.open();
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        let freed = if of_address >= self.0.most_of_one_address && !self.0.proxies.is_trusted(address) {
            open.cut_one(|one| one.address == address)
        } else if open.all.len() >= self.0.most {
            open.cut_one(|_| true)
        } else {
            true
        };
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
            overdue.iter().for_each(|one| one.cut());
        }
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

    /// Ends the one of these that has waited longest for its client, if there is one.
    fn cut_one(&mut self, of: impl Fn(&Connection) -> bool) -> bool {
        let waiting = self.all.iter().filter(|(_, one)| of(one));
        let waiting = waiting.filter_map(|(id, one)| Some((one.waits_for_client_since()?, *id)));
        let Some((_, id)) = waiting.min() else { return false };
        if let Some(connection) = self.all.get(&id) {
            connection.cut();
        }
        metrics::counter!("painel_http_connections_cut_total").increment(1);
        self.remove(id);
        true
    }
}
