//! Time: [`UnixTime`] is an argument everywhere, and [`Clock`] the one place that asks the operating system.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

/// How far the clocks of replicas may differ.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z, as `NumericDate` counts (RFC 7519 section 2).
///
/// Milliseconds because a `NumericDate` may have a fraction; a finer fraction is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

impl UnixTime {
    /// The first moment that a `NumericDate` here can name: the epoch itself.
    pub const EPOCH: Self = Self(0);
    /// The last: the end of the year 9999. Later ones are refused, so that no sum overflows.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The moment `secs` whole seconds after the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// The moment `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Reads a `NumericDate`: whole or fractional, finite, from the epoch to the year 9999; `None` otherwise.
    pub fn from_numeric_date(seconds: f64) -> Option<Self> {
        let millis = seconds * 1000.0;
        // In this range an `f64` holds every millisecond exactly enough for the cast to be the floor of it.
        #[expect(clippy::as_conversions, reason = "the range check makes the float-to-integer cast exact")]
        (0.0..=253_402_300_799_999.0).contains(&millis).then_some(Self(millis as i64))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// `self + duration`, at most [`UnixTime::MAX`].
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis)).min(Self::MAX)
    }

    /// `self - duration`; may lie before the epoch.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `self - other` in seconds, negative if `self` is before `other`.
    pub fn seconds_after(self, other: Self) -> f64 {
        #[expect(clippy::as_conversions, reason = "differences of dates are far below 2^53")]
        let millis = self.0.saturating_sub(other.0) as f64;
        millis / 1000.0
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What time it is, by a clock that can be set, also backwards.
    pub wall: UnixTime,
    /// What the wall clock would show if nobody had set it since the process began: it never goes back. It says nothing to other processes.
    pub steady: UnixTime,
}

impl Moment {
    /// What both will show then, if nobody sets anything.
    #[must_use]
    pub fn later_by(self, duration: Duration) -> Self {
        Self { wall: self.wall.saturating_add(duration), steady: self.steady.saturating_add(duration) }
    }
}

impl From<UnixTime> for Moment {
    /// For a clock that nobody sets both are the same.
    fn from(wall: UnixTime) -> Self {
        Self { wall, steady: wall }
    }
}

/// Tells the time: the system's, or one set by hand in tests.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<Manual>>,
}

#[derive(Debug)]
struct Manual {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Clock {
    /// The operating system's wall clock.
    pub const fn system() -> Self {
        Self { manual: None }
    }

    /// A clock that stands at `now` until [`Clock::set`] moves it; clones move together.
    pub fn manual(now: UnixTime) -> Self {
        Self { manual: Some(Arc::new(Manual { wall: AtomicI64::new(now.0), steady: AtomicI64::new(now.0) })) }
    }

    /// Moves a manual clock. Forwards, so much time has passed; backwards, it was set and no time has passed. The system's clock stays as it
    /// is.
    pub fn set(&self, now: UnixTime) {
        if let Some(manual) = &self.manual {
            let before = manual.wall.swap(now.0, Ordering::SeqCst);
            manual.steady.fetch_add(now.0.saturating_sub(before).max(0), Ordering::SeqCst);
        }
    }

    /// Somebody sets a manual clock, forwards or backwards; no time passes.
    pub fn step(&self, now: UnixTime) {
        if let Some(manual) = &self.manual {
            manual.wall.store(now.0, Ordering::SeqCst);
        }
    }

    /// What time it is. Ask once per request and pass the answer on.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the operating system")]
    pub fn now(&self) -> UnixTime {
        #[cfg(test)]
        if let (None, Some(simulated)) = (&self.manual, simulated::moment()) {
            return simulated.wall;
        }
        if let Some(manual) = &self.manual {
            return UnixTime(manual.wall.load(Ordering::SeqCst));
        }
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        UnixTime::EPOCH.saturating_add(since_epoch)
    }

    /// How long the kernel has run, by its clock that nobody can set: the same for every process of it, one after the other. `None` where it
    /// does not tell.
    pub fn uptime(&self) -> Option<Duration> {
        #[cfg(test)]
        if let (None, Some(uptime)) = (&self.manual, simulated::uptime()) {
            return Some(uptime);
        }
        match &self.manual {
            Some(manual) => {
                u64::try_from(manual.steady.load(Ordering::SeqCst)).ok().map(Duration::from_millis)
            }
            None => kernel_uptime(),
        }
    }

    /// What time it is, by the wall clock and by the one that nobody sets.
    pub fn moment(&self) -> Moment {
        #[cfg(test)]
        if let (None, Some(simulated)) = (&self.manual, simulated::moment()) {
            return simulated;
        }
        let steady = match &self.manual {
            Some(manual) => UnixTime(manual.steady.load(Ordering::SeqCst)),
            None => BEGINNING.0.saturating_add(BEGINNING.1.elapsed()),
        };
        Moment { wall: self.now(), steady }
    }
}

#[cfg(target_os = "linux")]
fn kernel_uptime() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).try_into().ok()
}

#[cfg(not(target_os = "linux"))]
const fn kernel_uptime() -> Option<Duration> {
    None
}

/// When this process first asked, by both of the system's clocks.
static BEGINNING: LazyLock<(UnixTime, Stopwatch)> =
    LazyLock::new(|| (Clock::system().now(), Stopwatch::start()));

/// Measures how long something took, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the operating system")]
    pub fn start() -> Self {
        #[cfg(test)]
        if let Some(now) = simulated::instant() {
            return Self(now);
        }
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        #[cfg(test)]
        if let Some(now) = simulated::instant() {
            return now.saturating_duration_since(self.0);
        }
        self.0.elapsed()
    }
}

/// What the system's clocks show on this thread while a simulation runs on it.
#[cfg(test)]
pub(crate) mod simulated {
    use super::Moment;
    use std::cell::Cell;
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    thread_local! {
        static SHOWN: Cell<Option<(Moment, Duration)>> = const { Cell::new(None) };
    }
    #[expect(clippy::disallowed_methods, reason = "only what lies between two of them counts")]
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// From now on they show this, and the kernel has run for so long; with `None`, the truth.
    pub(crate) fn show(shown: Option<(Moment, Duration)>) {
        SHOWN.set(shown);
    }

    pub(super) fn moment() -> Option<Moment> {
        SHOWN.get().map(|(moment, _)| moment)
    }

    pub(super) fn uptime() -> Option<Duration> {
        SHOWN.get().map(|(_, uptime)| uptime)
    }

    pub(super) fn instant() -> Option<Instant> {
        let millis = u64::try_from(moment()?.steady.as_millis()).unwrap_or(0);
        Some(*ORIGIN + Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_date_is_whole_or_fractional_and_in_range() {
        let read = UnixTime::from_numeric_date;
        assert_eq!(read(1_700_000_000.0), Some(UnixTime::from_secs(1_700_000_000)));
        assert_eq!(read(1_700_000_000.5), Some(UnixTime::from_millis(1_700_000_000_500)));
        assert_eq!(read(0.0), Some(UnixTime::EPOCH));
        for bad in [-1.0, -0.001, 1e308, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 253_402_300_800.0] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_steady_clock_goes_on_when_the_other_is_set() {
        let start = UnixTime::from_secs(1_700_000_000);
        let clock = Clock::manual(start);
        clock.set(start.saturating_add(Duration::from_secs(5)));
        clock.step(start.saturating_sub(Duration::from_secs(86_400)));
        let read = clock.moment();
        assert_eq!(read.steady, start.saturating_add(Duration::from_secs(5)));
        assert_eq!(read.wall, start.saturating_sub(Duration::from_secs(86_400)));
        let (one, two) = (Clock::system().moment(), Clock::system().moment());
        assert!(one.steady <= two.steady && one.wall.seconds_after(one.steady).abs() < 60.0);
        assert_eq!(clock.uptime(), Some(Duration::from_secs(1_700_000_005)), "it is not set either");
        assert!(Clock::system().uptime() <= Clock::system().uptime());
        assert_eq!(Clock::system().uptime().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn arithmetic_never_overflows() {
        assert_eq!(UnixTime::MAX.saturating_add(Duration::MAX), UnixTime::MAX);
        assert!(UnixTime::EPOCH.saturating_sub(Duration::MAX) < UnixTime::EPOCH);
        assert_eq!(UnixTime::EPOCH.since(UnixTime::MAX), Duration::ZERO);
    }
}
