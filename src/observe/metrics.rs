//! The metrics of the gateway: children are resolved once for each route, upstream, listener and issuer, so
//! that a
//! request only touches atomics.

use super::exchange::Binding;
use super::families::Families;
use super::scrape::Scrape;
use super::slots::Slots;
use crate::clock::UnixTime;
use crate::names::{ListenerId, Names, RouteId, UpstreamId};
use prometheus::{Encoder, Histogram, IntCounter, TextEncoder};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The label of requests that matched no route.
const NO_ROUTE: &str = "-";

/// All metrics; those of routes, upstreams and listeners by their numbers.
#[derive(Debug)]
pub struct Metrics {
    pub(super) families: Families,
    pub(super) scrape: Arc<Mutex<Scrape>>,
    routes: Vec<RouteMetrics>,
    no_route: RouteMetrics,
    upstreams: Vec<UpstreamMetrics>,
    pub(super) listeners: Vec<String>,
}

/// The children of one route.
#[derive(Debug)]
struct RouteMetrics {
    name: String,
    requests: Slots<u16, IntCounter>,
    decisions: Slots<(&'static str, &'static str), IntCounter>,
    tokens: Slots<Binding, IntCounter>,
    duration: Histogram,
    nonce_challenges: IntCounter,
}

/// The children of one upstream.
#[derive(Debug)]
struct UpstreamMetrics {
    name: String,
    duration: Histogram,
    requests: [(&'static str, IntCounter); 7],
}

impl UpstreamMetrics {
    fn new(families: &Families, name: &str) -> Self {
        let requests = |result| (result, families.upstream_requests.with_label_values(&[name, result]));
        Self {
            name: name.to_owned(),
            duration: families.upstream_duration.with_label_values(&[name]),
            requests: ["ok", "refused", "timeout", "reset", "malformed", "no_room", "unhealthy"]
                .map(requests),
        }
    }
}

impl Metrics {
    /// Registers every metric, and its children for these names.
    pub fn new(version: &str, names: &Names) -> Self {
        let families = Families::register(version);
        for result in ["success", "rejected"] {
            families.config_reloads.with_label_values(&[result]);
        }
        families.last_reload.set(1.0);
        let metrics = Self::resolve(families, Arc::default(), names);
        let issuers: Vec<&str> = names.issuers.names().iter().map(String::as_str).collect();
        metrics.set_issuers(&issuers);
        metrics
    }

    /// The same metrics, counting on, for another configuration's names.
    #[must_use]
    pub fn renamed(&self, names: &Names) -> Self {
        Self::resolve(self.families.clone(), Arc::clone(&self.scrape), names)
    }

    fn resolve(families: Families, scrape: Arc<Mutex<Scrape>>, names: &Names) -> Self {
        for issuer in names.issuers.names() {
            for result in ["success", "failure"] {
                families.jwks_refresh.with_label_values(&[issuer.as_str(), result]);
            }
        }
        let upstreams = names.upstreams.names().iter().map(|name| UpstreamMetrics::new(&families, name));
        Self {
            upstreams: upstreams.collect(),
            listeners: names.listeners.names().to_vec(),
            routes: names.routes.names().iter().map(|name| RouteMetrics::new(&families, name)).collect(),
            no_route: RouteMetrics::new(&families, NO_ROUTE),
            families,
            scrape,
        }
    }

    /// Says when the certificate of this listener expires, in seconds since the epoch.
    pub fn certificate_expires(&self, listener: ListenerId, unix_seconds: i64) {
        if let Some(name) = self.listeners.get(listener.0) {
            self.families.certificate_expiry.with_label_values(&[name]).set(unix_seconds);
        }
    }

    /// Counts a question to an issuer about a token.
    pub fn introspection(&self, issuer: &str, result: &'static str, duration: Duration) {
        self.families.introspection_requests.with_label_values(&[issuer, result]).inc();
        self.families.introspection_duration.with_label_values(&[issuer]).observe(duration.as_secs_f64());
    }

    /// Counts an attempt to reload the configuration.
    pub fn config_reloaded(&self, ok: bool) {
        let result = if ok { "success" } else { "rejected" };
        self.families.config_reloads.with_label_values(&[result]).inc();
        self.families.last_reload.set(if ok { 1.0 } else { 0.0 });
    }

    /// All metrics in Prometheus's text format, with their content type.
    pub fn render(&self, now: UnixTime) -> (&'static str, Vec<u8>) {
        self.ask_sources(now);
        let mut text = Vec::with_capacity(64 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.families.registry.gather(), &mut text) {
            tracing::warn!(%error, "the metrics cannot be written");
        }
        ("text/plain; version=0.0.4; charset=utf-8", text)
    }

    /// The route's name, `-` for none.
    pub(super) fn route_name(&self, route: Option<RouteId>) -> &str {
        &self.route(route).name
    }

    /// The upstream's name.
    pub(super) fn upstream_name(&self, upstream: UpstreamId) -> &str {
        self.upstreams.get(upstream.0).map_or(NO_ROUTE, |upstream| &upstream.name)
    }

    /// The listener's name.
    pub fn listener_name(&self, listener: ListenerId) -> &str {
        self.listeners.get(listener.0).map_or(NO_ROUTE, String::as_str)
    }

    /// Counts an answer.
    pub(super) fn request(&self, route: Option<RouteId>, status: u16, duration: Duration) {
        let route = self.route(route);
        let make = || {
            let status = status.to_string();
            self.families.requests.with_label_values(&[route.name.as_str(), status.as_str()])
        };
        route.requests.find(status, make).map_or_else(|| make().inc(), IntCounter::inc);
        route.duration.observe(duration.as_secs_f64());
    }

    /// Counts a decision.
    pub(super) fn decision(&self, route: Option<RouteId>, decision: &'static str, reason: &'static str) {
        let route = self.route(route);
        let make = || self.families.decisions.with_label_values(&[route.name.as_str(), decision, reason]);
        route.decisions.find((decision, reason), make).map_or_else(|| make().inc(), IntCounter::inc);
    }

    /// Counts how a request's token is bound.
    pub(super) fn token(&self, route: Option<RouteId>, binding: Binding) {
        let route = self.route(route);
        let make = || self.families.tokens.with_label_values(&[route.name.as_str(), binding.as_str()]);
        route.tokens.find(binding, make).map_or_else(|| make().inc(), IntCounter::inc);
    }

    /// Counts a refusal with `use_dpop_nonce`.
    pub(super) fn nonce_challenge(&self, route: Option<RouteId>) {
        self.route(route).nonce_challenges.inc();
    }

    /// Records how long the decision took.
    pub(super) fn decided_after(&self, duration: Duration) {
        self.families.decision_duration.observe(duration.as_secs_f64());
    }

    /// Records how long the upstream took.
    pub(super) fn upstream_took(&self, upstream: UpstreamId, duration: Duration) {
        if let Some(upstream) = self.upstreams.get(upstream.0) {
            upstream.duration.observe(duration.as_secs_f64());
        }
    }

    /// Counts how a request to an upstream ended.
    pub(super) fn upstream_ended(&self, upstream: UpstreamId, result: &str) {
        let upstream = self.upstreams.get(upstream.0);
        let found = upstream.and_then(|upstream| upstream.requests.iter().find(|(name, _)| *name == result));
        if let Some((_, counter)) = found {
            counter.inc();
        }
    }

    /// Records a proof's age.
    pub(super) fn skew(&self, seconds: f64) {
        self.families.proof_skew.observe(seconds);
    }

    fn route(&self, route: Option<RouteId>) -> &RouteMetrics {
        route.and_then(|place| self.routes.get(place.0)).unwrap_or(&self.no_route)
    }
}

impl RouteMetrics {
    fn new(families: &Families, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            requests: Slots::new(),
            decisions: Slots::new(),
            tokens: Slots::new(),
            duration: families.request_duration.with_label_values(&[name]),
            nonce_challenges: families.nonce_challenges.with_label_values(&[name]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HotKeysState, ListenerState, ReplayState, ServersSource, ServersState};
    use super::*;
    use std::collections::BTreeMap;

    const ORDERS: Option<RouteId> = Some(RouteId(0));
    const LEGACY: UpstreamId = UpstreamId(0);
    const PUBLIC: ListenerId = ListenerId(0);

    fn names(routes: &[&str]) -> Names {
        Names {
            listeners: ["public"].into_iter().collect(),
            routes: routes.iter().copied().collect(),
            upstreams: ["legacy"].into_iter().collect(),
            issuers: ["main"].into_iter().collect(),
        }
    }

    fn metrics() -> Metrics {
        Metrics::new("1.2.3", &names(&["orders"]))
    }

    fn rendered(metrics: &Metrics, now: i64) -> String {
        String::from_utf8(metrics.render(UnixTime::from_secs(now)).1).unwrap()
    }

    /// Name → type and labels: what dashboards and alerts are built on.
    const GOLDEN: &str = "\
keyproof_build_info gauge version
keyproof_config_last_reload_successful gauge
keyproof_config_reloads_total counter result
keyproof_connections gauge listener
keyproof_decision_duration_seconds histogram
keyproof_decisions_total counter decision reason route
keyproof_hot_key_differences_total counter
keyproof_hot_key_tables_built_total counter
keyproof_hot_key_verifications_total counter
keyproof_hot_keys gauge
keyproof_hot_keys_capacity gauge
keyproof_introspection_duration_seconds histogram issuer
keyproof_introspection_requests_total counter issuer result
keyproof_journal_errors_total counter
keyproof_jwks_age_seconds gauge issuer
keyproof_jwks_refresh_total counter issuer result
keyproof_log_lines_dropped_total counter
keyproof_malformed_requests_total counter listener
keyproof_nonce_challenges_total counter route
keyproof_proof_skew_seconds histogram
keyproof_replay_capacity gauge
keyproof_replay_entries gauge
keyproof_replay_unchecked_total counter
keyproof_request_duration_seconds histogram route
keyproof_requests_total counter route status
keyproof_tls_certificate_expiry_timestamp_seconds gauge listener
keyproof_tls_handshake_failures_total counter listener
keyproof_tokens_total counter binding route
keyproof_upstream_connections gauge upstream
keyproof_upstream_duration_seconds histogram upstream
keyproof_upstream_requests_total counter result upstream
keyproof_upstream_servers gauge state upstream
";

    #[test]
    fn names_types_and_labels_are_the_promised_ones() {
        let metrics = metrics();
        metrics.request(ORDERS, 200, Duration::from_millis(3));
        metrics.decision(ORDERS, "allow", "dpop");
        metrics.token(ORDERS, Binding::Dpop);
        metrics.introspection("main", "active", Duration::from_millis(2));
        metrics.certificate_expires(PUBLIC, 1);
        metrics.set_listener_source(PUBLIC, Box::new(ListenerState::default));
        let source: ServersSource = Box::new(ServersState::default);
        metrics.set_upstream_sources([(LEGACY, source)].into_iter());
        let mut found = BTreeMap::new();
        for family in metrics.families.registry.gather() {
            let labels = family.get_metric().first().unwrap().get_label();
            let labels: Vec<_> = labels.iter().map(|label| label.name().to_owned()).collect();
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            found.insert(family.name().to_owned(), format!("{kind} {}", labels.join(" ")));
        }
        found.retain(|name, _| !name.starts_with("process_"));
        metrics.render(UnixTime::EPOCH);
        let age =
            metrics.families.registry.gather().into_iter().find(|f| f.name() == "keyproof_jwks_age_seconds");
        found.insert(age.unwrap().name().to_owned(), "gauge issuer".to_owned());
        let text: String = found.iter().map(|(name, rest)| format!("{name} {}\n", rest.trim_end())).collect();
        assert_eq!(text, GOLDEN);
    }

    #[test]
    fn dashboard_and_alerts_name_metrics_that_exist() {
        let known: Vec<_> = GOLDEN.lines().filter_map(|line| line.split(' ').next()).collect();
        for (file, text) in [
            ("keyproof.json", include_str!("../../deploy/grafana/keyproof.json")),
            ("alerts.yaml", include_str!("../../deploy/prometheus/alerts.yaml")),
            ("alerts_test.yaml", include_str!("../../deploy/prometheus/alerts_test.yaml")),
        ] {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let named: Vec<_> = words.filter(|word| word.starts_with("keyproof_")).collect();
            assert!(named.len() > 5, "{file}");
            for name in named {
                assert!(known.contains(&name.trim_end_matches("_bucket")), "{file}: {name}");
            }
        }
    }

    #[test]
    fn counts_stand_under_the_names_of_the_configuration() {
        let metrics = metrics();
        metrics.request(ORDERS, 200, Duration::from_millis(3));
        metrics.request(ORDERS, 200, Duration::from_millis(3));
        metrics.request(None, 404, Duration::ZERO);
        metrics.request(Some(RouteId(7)), 404, Duration::ZERO);
        metrics.decision(None, "deny", "no_route");
        metrics.token(ORDERS, Binding::Bearer);
        metrics.nonce_challenge(ORDERS);
        metrics.upstream_took(LEGACY, Duration::from_millis(1));
        metrics.skew(-1.5);
        let text = rendered(&metrics, 0);
        for line in [
            "keyproof_requests_total{route=\"orders\",status=\"200\"} 2",
            "keyproof_requests_total{route=\"-\",status=\"404\"} 2",
            "keyproof_decisions_total{decision=\"deny\",reason=\"no_route\",route=\"-\"} 1",
            "keyproof_tokens_total{binding=\"bearer\",route=\"orders\"} 1",
            "keyproof_nonce_challenges_total{route=\"orders\"} 1",
            "keyproof_upstream_duration_seconds_bucket{upstream=\"legacy\",le=\"0.001\"} 1",
            "keyproof_proof_skew_seconds_bucket{le=\"-2\"} 0",
            "keyproof_proof_skew_seconds_bucket{le=\"-1\"} 1",
            "keyproof_config_reloads_total{result=\"rejected\"} 0",
            "keyproof_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }

    #[test]
    fn sources_are_asked_when_somebody_scrapes() {
        let metrics = metrics();
        assert!(rendered(&metrics, 100).contains("keyproof_jwks_age_seconds{issuer=\"main\"} inf"));
        metrics.set_replay_source(Box::new(|| ReplayState {
            entries: 5,
            capacity: 10,
            unchecked: 2,
            journal_errors: 3,
        }));
        metrics.set_dropped_lines_source(Box::new(|| 3));
        metrics.set_hot_keys_source(Box::new(|| HotKeysState {
            tables: 6,
            most: 7,
            built: 8,
            verified: 9,
            differences: 1,
        }));
        metrics.jwks_refresh("main", true, UnixTime::from_secs(100));
        metrics.jwks_refresh("main", false, UnixTime::from_secs(130));
        let open = Arc::new(std::sync::atomic::AtomicUsize::new(1));
        let source = Arc::clone(&open);
        let state = move || ListenerState {
            connections: source.load(std::sync::atomic::Ordering::Relaxed),
            failed_handshakes: 4,
            malformed: 5,
        };
        metrics.set_listener_source(PUBLIC, Box::new(state));
        for _ in 0..2 {
            let text = rendered(&metrics, 160);
            for line in [
                "keyproof_replay_entries 5",
                "keyproof_replay_capacity 10",
                "keyproof_journal_errors_total 3",
                "keyproof_replay_unchecked_total 2",
                "keyproof_hot_keys 6",
                "keyproof_hot_keys_capacity 7",
                "keyproof_hot_key_tables_built_total 8",
                "keyproof_hot_key_verifications_total 9",
                "keyproof_hot_key_differences_total 1",
                "keyproof_log_lines_dropped_total 3",
                "keyproof_jwks_age_seconds{issuer=\"main\"} 60",
                "keyproof_jwks_refresh_total{issuer=\"main\",result=\"failure\"} 1",
                "keyproof_connections{listener=\"public\"} 1",
                "keyproof_tls_handshake_failures_total{listener=\"public\"} 4",
                "keyproof_malformed_requests_total{listener=\"public\"} 5",
            ] {
                assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
            }
        }
        open.store(0, std::sync::atomic::Ordering::Relaxed);
        assert!(rendered(&metrics, 160).contains("keyproof_connections{listener=\"public\"} 0"));
    }

    #[test]
    fn servers_are_counted_for_the_upstreams_that_there_are() {
        let metrics = metrics();
        let state = ServersState { healthy: 3, unhealthy: 2, ejected: 1, connections: 9 };
        let source: ServersSource = Box::new(move || state);
        metrics.set_upstream_sources([(LEGACY, source)].into_iter());
        let text = rendered(&metrics, 0);
        for (state, count) in [("healthy", 3), ("unhealthy", 2), ("ejected", 1)] {
            let line =
                format!("keyproof_upstream_servers{{state=\"{state}\",upstream=\"legacy\"}} {count}\n");
            assert!(text.contains(&line), "{text}");
        }
        assert!(text.contains("keyproof_upstream_connections{upstream=\"legacy\"} 9\n"), "{text}");
        metrics.set_upstream_sources(std::iter::empty());
        assert!(!rendered(&metrics, 0).contains("keyproof_upstream_servers{"));
    }

    /// The keys of a new issuer are read before its configuration is in force.
    #[test]
    fn keys_of_an_issuer_that_comes_with_a_reload_have_an_age_at_once() {
        let metrics = metrics();
        metrics.jwks_refresh("other", true, UnixTime::from_secs(100));
        assert!(!rendered(&metrics, 130).contains("issuer=\"other\"} 30"), "it is none yet");
        metrics.set_issuers(&["other"]);
        let text = rendered(&metrics, 130);
        assert!(text.contains("keyproof_jwks_age_seconds{issuer=\"other\"} 30\n"), "{text}");
        assert!(!text.contains("keyproof_jwks_age_seconds{issuer=\"main\"}"), "{text}");
    }

    #[test]
    fn another_configuration_counts_on() {
        let before = metrics();
        before.request(ORDERS, 200, Duration::ZERO);
        let after = before.renamed(&names(&["users", "orders"]));
        after.request(Some(RouteId(1)), 200, Duration::ZERO);
        after.request(ORDERS, 200, Duration::ZERO);
        let text = rendered(&before, 0);
        assert!(text.contains("keyproof_requests_total{route=\"orders\",status=\"200\"} 2"), "{text}");
        assert!(text.contains("keyproof_requests_total{route=\"users\",status=\"200\"} 1"), "{text}");
    }
}
