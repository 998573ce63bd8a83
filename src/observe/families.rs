//! Every metric of the gateway: name, meaning, labels, buckets. The one list of names.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry,
};

/// A metric's name and what it means.
type Name = (&'static str, &'static str);

const BUILD_INFO: Name = ("keyproof_build_info", "Which version runs; always 1.");
const REQUESTS: Name = ("keyproof_requests_total", "Requests answered; 499: the client went away first.");
const DECISIONS: Name = ("keyproof_decisions_total", "What was decided about requests, and why.");
const REQUEST_DURATION: Name =
    ("keyproof_request_duration_seconds", "From a request's head to the end of its answer.");
const UPSTREAM_DURATION: Name =
    ("keyproof_upstream_duration_seconds", "From forwarding a request to the head of the upstream's answer.");
const UPSTREAM_REQUESTS: Name =
    ("keyproof_upstream_requests_total", "Requests that went to an upstream, by how that ended.");
const UPSTREAM_SERVERS: Name = (
    "keyproof_upstream_servers",
    "Servers of an upstream. healthy: they get requests; unhealthy: their checks fail; ejected: they rest, because requests failed.",
);
const UPSTREAM_CONNECTIONS: Name = (
    "keyproof_upstream_connections",
    "Connections to the servers of an upstream, those included that are being opened; without those of health checks.",
);
const DECISION_DURATION: Name =
    ("keyproof_decision_duration_seconds", "From a request's head to the decision: the gateway's own work.");
const TOKENS: Name =
    ("keyproof_tokens_total", "Requests by how their verified token is bound; none: no such token.");
const PROOF_SKEW: Name = (
    "keyproof_proof_skew_seconds",
    "Now minus iat of verified proofs; negative: the client's clock is ahead.",
);
const REPLAY_ENTRIES: Name = ("keyproof_replay_entries", "Used proofs that are remembered.");
const REPLAY_CAPACITY: Name = ("keyproof_replay_capacity", "How many used proofs can be remembered.");
const NONCE_CHALLENGES: Name = ("keyproof_nonce_challenges_total", "Refusals with use_dpop_nonce.");
const INTROSPECTION_REQUESTS: Name =
    ("keyproof_introspection_requests_total", "Questions to an issuer about a token (RFC 7662).");
const INTROSPECTION_DURATION: Name =
    ("keyproof_introspection_duration_seconds", "How long an issuer took to answer about a token.");
const JWKS_REFRESH: Name = ("keyproof_jwks_refresh_total", "Attempts to read an issuer's keys.");
const JWKS_AGE: Name =
    ("keyproof_jwks_age_seconds", "Time since an issuer's keys were last read; infinite: never.");
const CONFIG_RELOADS: Name = ("keyproof_config_reloads_total", "Attempts to reload the configuration.");
const LAST_RELOAD: Name = (
    "keyproof_config_last_reload_successful",
    "1: the last attempt to reload was taken, or there was none; 0: it was rejected, and what ran before runs on.",
);
const CERTIFICATE_EXPIRY: Name = (
    "keyproof_tls_certificate_expiry_timestamp_seconds",
    "When a listener's certificate expires (notAfter).",
);
const CONNECTIONS: Name = ("keyproof_connections", "Open connections.");
const FAILED_HANDSHAKES: Name = (
    "keyproof_tls_handshake_failures_total",
    "TLS handshakes that failed, those included that began and ended with connecting.",
);
const MALFORMED: Name = (
    "keyproof_malformed_requests_total",
    "Requests that the HTTP layer refused: bad framing, names or values that no HTTP has.",
);
const REPLAY_UNCHECKED: Name = (
    "keyproof_replay_unchecked_total",
    "Proofs let through although the replay store could not be asked (replay.redis.on_failure: accept).",
);
const JOURNAL_ERRORS: Name = (
    "keyproof_journal_errors_total",
    "Writes to the replay journal that failed; each refused a proof (replay.journal).",
);
const HOT_KEYS: Name = ("keyproof_hot_keys", "Keys that are seen often and have a table (dpop.hot_keys).");
const HOT_KEYS_CAPACITY: Name = (
    "keyproof_hot_keys_capacity",
    "How many keys can have a table; 0 after an answer of one was not ring's, whatever dpop.hot_keys says.",
);
const HOT_KEY_TABLES: Name =
    ("keyproof_hot_key_tables_built_total", "Tables that were made for keys seen often.");
const HOT_KEY_VERIFICATIONS: Name =
    ("keyproof_hot_key_verifications_total", "Signatures of proofs that were verified from a table alone.");
const HOT_KEY_DIFFERENCES: Name = (
    "keyproof_hot_key_differences_total",
    "Answers of tables that were not ring's, which stands; with the first, tables are off until a restart.",
);
const LOG_LINES_DROPPED: Name =
    ("keyproof_log_lines_dropped_total", "Log lines lost because the output did not take them.");

/// The whole request: from a tenth of a millisecond to a minute.
const REQUEST_SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];
/// The gateway's own work: one signature is about 50 microseconds.
const DECISION_SECONDS: &[f64] = &[
    0.00001, 0.000025, 0.00005, 0.000075, 0.0001, 0.00015, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
    0.025, 0.05, 0.1,
];
/// Now minus `iat`: negative where the client's clock is ahead.
const SKEW_SECONDS: &[f64] =
    &[-60.0, -30.0, -10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The metric families, registered. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Families {
    pub(super) registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) decisions: IntCounterVec,
    pub(super) request_duration: HistogramVec,
    pub(super) upstream_duration: HistogramVec,
    pub(super) upstream_requests: IntCounterVec,
    pub(super) upstream_servers: IntGaugeVec,
    pub(super) upstream_connections: IntGaugeVec,
    pub(super) decision_duration: Histogram,
    pub(super) tokens: IntCounterVec,
    pub(super) proof_skew: Histogram,
    pub(super) replay_entries: Gauge,
    pub(super) replay_capacity: Gauge,
    pub(super) nonce_challenges: IntCounterVec,
    pub(super) introspection_requests: IntCounterVec,
    pub(super) introspection_duration: HistogramVec,
    pub(super) jwks_refresh: IntCounterVec,
    pub(super) jwks_age: GaugeVec,
    pub(super) config_reloads: IntCounterVec,
    pub(super) last_reload: Gauge,
    pub(super) certificate_expiry: IntGaugeVec,
    pub(super) connections: IntGaugeVec,
    pub(super) failed_handshakes: IntCounterVec,
    pub(super) malformed: IntCounterVec,
    pub(super) replay_unchecked: IntCounter,
    pub(super) journal_errors: IntCounter,
    pub(super) hot_keys: Gauge,
    pub(super) hot_keys_capacity: Gauge,
    pub(super) hot_key_tables: IntCounter,
    pub(super) hot_key_verifications: IntCounter,
    pub(super) hot_key_differences: IntCounter,
    pub(super) log_lines_dropped: IntCounter,
}

impl Families {
    /// Registers all of them in a registry of their own, and says which version runs.
    #[expect(
        clippy::expect_used,
        reason = "names and labels are the constants below: a test makes every one of them"
    )]
    pub(super) fn register(version: &str) -> Self {
        Self::try_register(version).expect("metric names are valid and used once")
    }

    fn try_register(version: &str) -> prometheus::Result<Self> {
        let r = Registry::new();
        gauges(&r, BUILD_INFO, &["version"])?.with_label_values(&[version]).set(1);
        #[cfg(target_os = "linux")]
        r.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self {
            requests: counters(&r, REQUESTS, &["route", "status"])?,
            decisions: counters(&r, DECISIONS, &["route", "decision", "reason"])?,
            request_duration: histograms(&r, REQUEST_DURATION, REQUEST_SECONDS, &["route"])?,
            upstream_duration: histograms(&r, UPSTREAM_DURATION, REQUEST_SECONDS, &["upstream"])?,
            upstream_requests: counters(&r, UPSTREAM_REQUESTS, &["upstream", "result"])?,
            upstream_servers: gauges(&r, UPSTREAM_SERVERS, &["upstream", "state"])?,
            upstream_connections: gauges(&r, UPSTREAM_CONNECTIONS, &["upstream"])?,
            decision_duration: histogram(&r, DECISION_DURATION, DECISION_SECONDS)?,
            tokens: counters(&r, TOKENS, &["route", "binding"])?,
            proof_skew: histogram(&r, PROOF_SKEW, SKEW_SECONDS)?,
            replay_entries: one(&r, Gauge::new(REPLAY_ENTRIES.0, REPLAY_ENTRIES.1)?)?,
            replay_capacity: one(&r, Gauge::new(REPLAY_CAPACITY.0, REPLAY_CAPACITY.1)?)?,
            nonce_challenges: counters(&r, NONCE_CHALLENGES, &["route"])?,
            introspection_requests: counters(&r, INTROSPECTION_REQUESTS, &["issuer", "result"])?,
            introspection_duration: histograms(&r, INTROSPECTION_DURATION, REQUEST_SECONDS, &["issuer"])?,
            jwks_refresh: counters(&r, JWKS_REFRESH, &["issuer", "result"])?,
            jwks_age: one(&r, GaugeVec::new(Opts::new(JWKS_AGE.0, JWKS_AGE.1), &["issuer"])?)?,
            config_reloads: counters(&r, CONFIG_RELOADS, &["result"])?,
            last_reload: one(&r, Gauge::new(LAST_RELOAD.0, LAST_RELOAD.1)?)?,
            certificate_expiry: gauges(&r, CERTIFICATE_EXPIRY, &["listener"])?,
            connections: gauges(&r, CONNECTIONS, &["listener"])?,
            failed_handshakes: counters(&r, FAILED_HANDSHAKES, &["listener"])?,
            malformed: counters(&r, MALFORMED, &["listener"])?,
            replay_unchecked: one(&r, IntCounter::new(REPLAY_UNCHECKED.0, REPLAY_UNCHECKED.1)?)?,
            journal_errors: one(&r, IntCounter::new(JOURNAL_ERRORS.0, JOURNAL_ERRORS.1)?)?,
            hot_keys: one(&r, Gauge::new(HOT_KEYS.0, HOT_KEYS.1)?)?,
            hot_keys_capacity: one(&r, Gauge::new(HOT_KEYS_CAPACITY.0, HOT_KEYS_CAPACITY.1)?)?,
            hot_key_tables: one(&r, IntCounter::new(HOT_KEY_TABLES.0, HOT_KEY_TABLES.1)?)?,
            hot_key_verifications: one(
                &r,
                IntCounter::new(HOT_KEY_VERIFICATIONS.0, HOT_KEY_VERIFICATIONS.1)?,
            )?,
            hot_key_differences: one(&r, IntCounter::new(HOT_KEY_DIFFERENCES.0, HOT_KEY_DIFFERENCES.1)?)?,
            log_lines_dropped: one(&r, IntCounter::new(LOG_LINES_DROPPED.0, LOG_LINES_DROPPED.1)?)?,
            registry: r,
        })
    }
}

fn one<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counters(registry: &Registry, (name, help): Name, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    one(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(registry: &Registry, (name, help): Name, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    one(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histogram(registry: &Registry, (name, help): Name, buckets: &[f64]) -> prometheus::Result<Histogram> {
    one(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
}

fn histograms(
    registry: &Registry,
    (name, help): Name,
    buckets: &[f64],
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    one(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}
