//! What came of it.

use crate::mix::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

/// The generator is the bottleneck when its core has less than this left.
const SATURATED: f64 = 0.97;

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// In tenths of a microsecond.
    latencies: Vec<u32>,
    statuses: BTreeMap<u16, u64>,
    unexpected: u64,
    errors: u64,
    first_error: Option<String>,
}

/// The figures of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) cpu_us_per_request: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Answers other than those that the mix promises.
    pub(crate) unexpected: u64,
    /// Connections that failed.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// Cores that the server, and the generator itself, kept busy.
    pub(crate) server_load: f64,
    pub(crate) generator_load: f64,
    pub(crate) resident_kib: u64,
    pub(crate) pool: usize,
    pub(crate) signed_in: f64,
    pub(crate) pool_ran_dry: bool,
}

impl Tally {
    pub(crate) fn answered(&mut self, kind: Kind, status: u16, latency: Duration) {
        self.latencies.push(u32::try_from(latency.as_nanos() / 100).unwrap_or(u32::MAX));
        *self.statuses.entry(status).or_default() += 1;
        self.unexpected += u64::from(!kind.deserves(status));
    }

    pub(crate) fn failed(&mut self, error: &io::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    /// The figures, without what others know.
    pub(crate) fn report(&mut self, seconds: f64) -> Report {
        self.latencies.sort_unstable();
        let quantile = |share: f64| {
            let place = (share * self.latencies.len() as f64) as usize;
            f64::from(self.latencies.get(place).copied().unwrap_or_default()) / 10.0
        };
        Report {
            requests: self.latencies.len() as u64,
            seconds,
            requests_per_second: self.latencies.len() as f64 / seconds,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            statuses: self.statuses.clone(),
            unexpected: self.unexpected,
            errors: self.errors,
            first_error: self.first_error.clone(),
            ..Report::default()
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "requests       {} in {:.2} s", self.requests, self.seconds)?;
        writeln!(f, "throughput     {:.0} /s", self.requests_per_second)?;
        writeln!(
            f,
            "server CPU     {:.1} us a request, {:.2} cores",
            self.cpu_us_per_request, self.server_load
        )?;
        writeln!(f, "server memory  {:.1} MiB", self.resident_kib as f64 / 1024.0)?;
        let (p50, p90, p99, p999) = (self.p50_us, self.p90_us, self.p99_us, self.p999_us);
        writeln!(f, "latency        p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p999:.0} us")?;
        for (status, count) in &self.statuses {
            writeln!(f, "status {status}     {count}")?;
        }
        writeln!(f, "unexpected     {}, failed connections {}", self.unexpected, self.errors)?;
        if let Some(error) = &self.first_error {
            writeln!(f, "first failure  {error}")?;
        }
        writeln!(f, "proofs         {} signed in {:.1} s", self.pool, self.signed_in)?;
        if self.pool_ran_dry {
            writeln!(f, "THE POOL RAN DRY: the run ended early; sign more (--pool)")?;
        }
        if self.generator_load > SATURATED {
            writeln!(f, "THE GENERATOR WAS SATURATED: the server could do more; CPU a request still counts")?;
        }
        write!(f, "generator      {:.2} cores", self.generator_load)
    }
}
