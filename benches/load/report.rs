//! What came of it.

use crate::mix::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

/// The generator is the bottleneck when its core has less than this left.
const SATURATED: f64 = 0.97;

/// The machine itself pauses a few times a second, for some milliseconds: about every second tenth of a second has no pause in it.
const TENTH: Duration = Duration::from_millis(100);

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// In tenths of a microsecond.
    latencies: Vec<u32>,
    /// How many latencies there were when each tenth of a second began, and when the next begins.
    tenths: Vec<usize>,
    next_tenth: Duration,
    statuses: BTreeMap<u16, u64>,
    unexpected: u64,
    errors: u64,
    first_error: Option<String>,
}

/// A time that was counted: seconds of the clock, and of the CPU time of server and generator.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) requests: usize,
    pub(crate) seconds: f64,
    pub(crate) server: f64,
    pub(crate) generator: f64,
}

/// The figures of one run; throughput and CPU time are medians over its slices.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) requests: usize,
    pub(crate) seconds: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) cpu_us_per_request: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// The 99th percentile of each tenth of a second by itself, and of these the lower quartile: what the server does where the machine
    /// does not pause.
    pub(crate) p99_quiet_us: f64,
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
    /// An answer, `latency` after its request was `due`.
    pub(crate) fn answered(&mut self, kind: Kind, status: u16, due: Duration, latency: Duration) {
        if due >= self.next_tenth {
            self.tenths.push(self.latencies.len());
            self.next_tenth = due + TENTH;
        }
        self.latencies.push(u32::try_from(latency.as_nanos() / 100).unwrap_or(u32::MAX));
        *self.statuses.entry(status).or_default() += 1;
        self.unexpected += u64::from(!kind.deserves(status));
    }

    pub(crate) fn failed(&mut self, error: &io::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    pub(crate) const fn requests(&self) -> usize {
        self.latencies.len()
    }

    /// The figures, without what others know.
    pub(crate) fn report(&mut self, slices: &[Slice]) -> Report {
        let sum = |of: fn(&Slice) -> f64| slices.iter().map(of).sum::<f64>();
        let seconds = sum(|slice| slice.seconds);
        let per_slice = |of: fn(&Slice) -> f64| {
            quarter(2, slices.iter().filter(|slice| slice.requests > 0).map(of).collect())
        };
        let p99_quiet_us = self.p99_quiet();
        self.latencies.sort_unstable();
        let quantile = |share: f64| quantile(&self.latencies, share);
        Report {
            requests: self.latencies.len(),
            seconds,
            requests_per_second: per_slice(|slice| slice.requests as f64 / slice.seconds),
            cpu_us_per_request: per_slice(|slice| slice.server * 1e6 / slice.requests as f64),
            server_load: sum(|slice| slice.server) / seconds,
            generator_load: sum(|slice| slice.generator) / seconds,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            p99_quiet_us,
            statuses: self.statuses.clone(),
            unexpected: self.unexpected,
            errors: self.errors,
            first_error: self.first_error.clone(),
            ..Report::default()
        }
    }

    fn p99_quiet(&self) -> f64 {
        let tenths = self.tenths.windows(2).map(|bounds| &self.latencies[bounds[0]..bounds[1]]);
        let whole = tenths.clone().map(<[u32]>::len).max().unwrap_or_default() / 2;
        // A turn may be a little longer than a tenth: what is left over is none.
        let of_each = tenths.filter(|tenth| tenth.len() > whole).map(|tenth| {
            let mut tenth = tenth.to_vec();
            tenth.sort_unstable();
            quantile(&tenth, 0.99)
        });
        quarter(1, of_each.collect())
    }
}

/// Quartiles: the second is the median.
fn quarter(number: usize, mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() * number / 4).copied().unwrap_or_default()
}

/// In microseconds.
fn quantile(sorted: &[u32], share: f64) -> f64 {
    let place = (share * sorted.len() as f64) as usize;
    f64::from(sorted.get(place).copied().unwrap_or_default()) / 10.0
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
        writeln!(f, "               p99 of a quiet tenth of a second: {:.0} us", self.p99_quiet_us)?;
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
