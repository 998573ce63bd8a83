//! What is not counted as it happens: whoever knows it is asked at every scrape.

use super::families::Families;
use super::metrics::Metrics;
use crate::clock::UnixTime;
use crate::names::{ListenerId, UpstreamId};
use prometheus::{IntCounter, IntGauge};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// What the replay store says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayState {
    /// How many used proofs are remembered.
    pub entries: usize,
    /// How many can be.
    pub capacity: usize,
    /// How many passed unchecked since the start.
    pub unchecked: u64,
    /// How many writes to the journal failed since the start.
    pub journal_errors: u64,
}

/// What is said of keys that are seen often.
#[derive(Clone, Copy, Debug, Default)]
pub struct HotKeysState {
    /// How many have a table.
    pub tables: usize,
    /// How many can have one.
    pub most: usize,
    /// How many tables were made since the start.
    pub built: u64,
    /// How many signatures were verified from one alone.
    pub verified: u64,
    /// How many answers were not ring's.
    pub differences: u64,
}

/// What a listener says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenerState {
    /// How many connections are open.
    pub connections: usize,
    /// How many TLS handshakes failed since the start.
    pub failed_handshakes: u64,
    /// How many requests its HTTP layer refused since the start.
    pub malformed: u64,
}

/// What an upstream says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServersState {
    /// How many of its servers get requests.
    pub healthy: usize,
    /// How many do not, because their checks fail.
    pub unhealthy: usize,
    /// How many rest, because requests failed.
    pub ejected: usize,
    /// How many connections there are to all of them.
    pub connections: usize,
}

/// Asks an upstream.
pub type ServersSource = Box<dyn Fn() -> ServersState + Send>;

/// Asks a listener.
type ListenerSource = Box<dyn Fn() -> ListenerState + Send>;

/// The children of one listener.
#[derive(Clone, Debug)]
struct ListenerMetrics {
    name: String,
    connections: IntGauge,
    failed_handshakes: IntCounter,
    malformed: IntCounter,
}

/// The children of one upstream that are asked for.
struct UpstreamMetrics {
    healthy: IntGauge,
    unhealthy: IntGauge,
    ejected: IntGauge,
    connections: IntGauge,
}

/// What is asked for when somebody scrapes.
#[derive(Default)]
pub(super) struct Scrape {
    replay: Option<Box<dyn Fn() -> ReplayState + Send>>,
    hot_keys: Option<Box<dyn Fn() -> HotKeysState + Send>>,
    dropped_lines: Option<Box<dyn Fn() -> u64 + Send>>,
    listeners: BTreeMap<ListenerId, (ListenerMetrics, ListenerSource)>,
    upstreams: Vec<(UpstreamMetrics, ServersSource)>,
    /// Whose keys there are.
    issuers: Vec<String>,
    /// When an issuer's keys were last read, those included whose configuration is not in force yet.
    keys_read: HashMap<String, UnixTime>,
}

impl Metrics {
    /// Says where the metrics of the replay store come from: asked at every scrape.
    pub fn set_replay_source(&self, source: Box<dyn Fn() -> ReplayState + Send>) {
        lock(&self.scrape).replay = Some(source);
    }

    /// Says where the metrics of keys that are seen often come from: asked at every scrape.
    pub fn set_hot_keys_source(&self, source: Box<dyn Fn() -> HotKeysState + Send>) {
        lock(&self.scrape).hot_keys = Some(source);
    }

    /// Says how many log lines were lost since the start: asked at every scrape.
    pub fn set_dropped_lines_source(&self, source: Box<dyn Fn() -> u64 + Send>) {
        lock(&self.scrape).dropped_lines = Some(source);
    }

    /// Says where the metrics of this listener come from: asked at every scrape.
    pub fn set_listener_source(&self, listener: ListenerId, source: Box<dyn Fn() -> ListenerState + Send>) {
        if let Some(name) = self.listeners.get(listener.0) {
            let metrics = ListenerMetrics::new(&self.families, name);
            lock(&self.scrape).listeners.insert(listener, (metrics, source));
        }
    }

    /// This listener is no more, and has no connections any more. What it has counted stays.
    pub fn listener_is_gone(&self, listener: ListenerId) {
        self.certificate_is_gone(listener);
        if let Some((ListenerMetrics { name, .. }, _)) = lock(&self.scrape).listeners.remove(&listener) {
            // It need not have any.
            self.families.connections.remove_label_values(&[&name]).ok();
        }
    }

    /// This listener has no certificate any more.
    pub fn certificate_is_gone(&self, listener: ListenerId) {
        if let Some(name) = self.listeners.get(listener.0) {
            self.families.certificate_expiry.remove_label_values(&[name]).ok();
        }
    }

    /// Says which upstreams there are, and where their metrics come from: asked at every scrape.
    pub fn set_upstream_sources(&self, sources: impl Iterator<Item = (UpstreamId, ServersSource)>) {
        let mut scrape = lock(&self.scrape);
        self.families.upstream_servers.reset();
        self.families.upstream_connections.reset();
        let with_metrics = sources.map(|(upstream, source)| {
            (UpstreamMetrics::new(&self.families, self.upstream_name(upstream)), source)
        });
        scrape.upstreams = with_metrics.collect();
    }

    /// Says whose keys there are: those of other issuers have no age any more.
    pub fn set_issuers(&self, issuers: &[&str]) {
        let mut scrape = lock(&self.scrape);
        scrape.issuers = issuers.iter().map(|issuer| (*issuer).to_owned()).collect();
        scrape.keys_read.retain(|known, _| issuers.contains(&known.as_str()));
        self.families.jwks_age.reset();
    }

    /// Counts an attempt to read an issuer's keys.
    pub fn jwks_refresh(&self, issuer: &str, ok: bool, now: UnixTime) {
        let result = if ok { "success" } else { "failure" };
        self.families.jwks_refresh.with_label_values(&[issuer, result]).inc();
        if ok {
            lock(&self.scrape).keys_read.insert(issuer.to_owned(), now);
        }
    }

    pub(super) fn ask_sources(&self, now: UnixTime) {
        let scrape = lock(&self.scrape);
        if let Some(source) = &scrape.replay {
            let state = source();
            self.families.replay_entries.set(to_f64(state.entries));
            self.families.replay_capacity.set(to_f64(state.capacity));
            raise(&self.families.replay_unchecked, state.unchecked);
            raise(&self.families.journal_errors, state.journal_errors);
        }
        if let Some(source) = &scrape.hot_keys {
            let state = source();
            self.families.hot_keys.set(to_f64(state.tables));
            self.families.hot_keys_capacity.set(to_f64(state.most));
            raise(&self.families.hot_key_tables, state.built);
            raise(&self.families.hot_key_verifications, state.verified);
            raise(&self.families.hot_key_differences, state.differences);
        }
        if let Some(source) = &scrape.dropped_lines {
            raise(&self.families.log_lines_dropped, source());
        }
        for (metrics, source) in scrape.listeners.values() {
            let state = source();
            metrics.connections.set(to_i64(state.connections));
            raise(&metrics.failed_handshakes, state.failed_handshakes);
            raise(&metrics.malformed, state.malformed);
        }
        for (metrics, source) in &scrape.upstreams {
            let state = source();
            metrics.healthy.set(to_i64(state.healthy));
            metrics.unhealthy.set(to_i64(state.unhealthy));
            metrics.ejected.set(to_i64(state.ejected));
            metrics.connections.set(to_i64(state.connections));
        }
        for issuer in &scrape.issuers {
            let read = scrape.keys_read.get(issuer);
            let age = read.map_or(f64::INFINITY, |read| now.since(*read).as_secs_f64());
            self.families.jwks_age.with_label_values(&[issuer]).set(age);
        }
    }
}

impl ListenerMetrics {
    fn new(families: &Families, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            connections: families.connections.with_label_values(&[name]),
            failed_handshakes: families.failed_handshakes.with_label_values(&[name]),
            malformed: families.malformed.with_label_values(&[name]),
        }
    }
}

impl UpstreamMetrics {
    fn new(families: &Families, name: &str) -> Self {
        let servers = |state| families.upstream_servers.with_label_values(&[name, state]);
        Self {
            healthy: servers("healthy"),
            unhealthy: servers("unhealthy"),
            ejected: servers("ejected"),
            connections: families.upstream_connections.with_label_values(&[name]),
        }
    }
}

/// Brings a counter up to what its source has counted.
fn raise(counter: &IntCounter, counted: u64) {
    counter.inc_by(counted.saturating_sub(counter.get()));
}

fn to_i64(count: usize) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn to_f64(count: usize) -> f64 {
    #[expect(clippy::as_conversions, reason = "counts stay far below 2^53")]
    let count = count as f64;
    count
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrape").field("keys_read", &self.keys_read).finish_non_exhaustive()
    }
}

fn lock(scrape: &Mutex<Scrape>) -> std::sync::MutexGuard<'_, Scrape> {
    scrape.lock().unwrap_or_else(PoisonError::into_inner)
}
