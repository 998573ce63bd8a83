//! How many connections a listener has, and how many of them are from one source.

use arc_swap::ArcSwap;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections a listener has at most, where the limit on open files does not say fewer.
const MAX_CONNECTIONS: usize = 10_000;
/// How many of them one address may have, or one /64 network of IPv6.
const MAX_PER_SOURCE: usize = 256;

/// The connections of a listener.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    failed_handshakes: AtomicU64,
    malformed: AtomicU64,
    limit: usize,
    per_source: Mutex<HashMap<IpAddr, usize>>,
    exempt: ArcSwap<Vec<IpNet>>,
}

impl Connections {
    /// None yet; these peers are trusted.
    pub fn new(exempt: Vec<IpNet>) -> Self {
        // The other half is for upstreams, keys, the shared store and the administrator.
        let limit = open_files_limit().map_or(MAX_CONNECTIONS, |files| MAX_CONNECTIONS.min(files / 2));
        Self {
            open: AtomicUsize::new(0),
            failed_handshakes: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            limit,
            per_source: Mutex::new(HashMap::new()),
            exempt: ArcSwap::from_pointee(exempt),
        }
    }

    /// From now on these peers are trusted, and no others.
    pub fn trust(&self, trusted: Vec<IpNet>) {
        self.exempt.store(Arc::new(trusted));
    }

    /// How many there are now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many TLS handshakes failed, those included whose client only looked whether somebody listens.
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    /// How many requests the HTTP layer refused: nobody could have said what they ask for.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    pub(super) fn handshake_failed(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// A place for a connection from here, or none.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<CountedConnection> {
        let source = self.source(address);
        if let Some(source) = source {
            let mut sources = self.sources();
            let count = sources.entry(source).or_insert(0);
            if *count >= MAX_PER_SOURCE {
                return None;
            }
            *count = count.saturating_add(1);
        }
        // From here on `place` gives back what was taken.
        let place = CountedConnection { connections: Arc::clone(self), source };
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        (before < self.limit).then_some(place)
    }

    /// What counts as one source; `None` where sources are not counted.
    fn source(&self, address: IpAddr) -> Option<IpAddr> {
        if address.is_loopback() || self.exempt.load().iter().any(|network| network.contains(&address)) {
            return None;
        }
        Some(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing panics under the lock; were it to, the counts would still be counts.
        self.per_source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place among the listener's; given back when dropped.
#[derive(Debug)]
pub(super) struct CountedConnection {
    connections: Arc<Connections>,
    source: Option<IpAddr>,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(source) = self.source {
            let mut sources = self.connections.sources();
            if let Some(count) = sources.get_mut(&source) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    sources.remove(&source);
                }
            }
        }
    }
}

/// The soft limit on open files, where the system tells.
fn open_files_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(limit: usize) -> Arc<Connections> {
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        Arc::new(Connections { limit, ..Connections::new(trusted) })
    }

    fn enter(connections: &Arc<Connections>, address: &str) -> Option<CountedConnection> {
        connections.enter(address.parse().unwrap())
    }

    #[test]
    fn one_source_cannot_take_all_places() {
        for (source, same, other) in
            [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")]
        {
            let connections = connections(10_000);
            let mut places: Vec<_> =
                (0..MAX_PER_SOURCE).map(|_| enter(&connections, source).unwrap()).collect();
            assert!(enter(&connections, same).is_none());
            assert!(enter(&connections, other).is_some());
            places.pop();
            let again = enter(&connections, same);
            assert!(again.is_some());
            assert!(enter(&connections, same).is_none());
            drop((places, again));
            assert_eq!(connections.open(), 0);
            assert!(connections.sources().is_empty(), "the table forgets who has left");
        }
    }

    #[test]
    fn loopback_and_trusted_peers_are_limited_by_the_listener_alone() {
        for source in ["127.0.0.1", "::1", "10.1.2.3"] {
            let connections = connections(MAX_PER_SOURCE + 2);
            let places: Vec<_> =
                (0..MAX_PER_SOURCE + 2).map(|_| enter(&connections, source).unwrap()).collect();
            assert!(enter(&connections, source).is_none());
            assert_eq!(connections.open(), places.len());
        }
    }
}
