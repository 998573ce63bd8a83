//! Our own wall clock: what may have expired in Redis by an earlier reading of it.

use crate::clock::{CLOCK_DIFFERENCE, Moment, UnixTime};
use crate::replay::Since;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of more stretches than this the oldest are taken as one.
const STRETCHES: usize = 16;

/// Redis counts a key's life from the moment it was set, and knows nothing of a wall clock that is set back
/// here: the key is gone, and the proof is acceptable again. So each stretch of time in which the clock ran
/// evenly, beside the one that nobody sets, is remembered with the proofs that can have been used in it.
#[derive(Debug)]
pub(super) struct OwnClock {
    stretches: Mutex<Stretches>,
}

#[derive(Debug)]
struct Stretches {
    /// The longest that ever was asked for.
    retention: Duration,
    /// The one of now, from the first proof on that was taken in it: what the clock showed while none was does not matter.
    now: Option<Current>,
    past: Vec<Stretch>,
}

/// A stretch that has not ended: from the first proof that was taken in it to the last.
#[derive(Clone, Copy, Debug)]
struct Current {
    start: UnixTime,
    latest: UnixTime,
    /// The wall clock less the steady one, in milliseconds, roughly.
    ahead: i64,
}

/// A stretch that has ended.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The earliest and the latest `until` of a proof used in it.
    untils: (UnixTime, UnixTime),
    ahead: i64,
    /// The mark of its end: proofs with later ones were not used in it.
    mark: u64,
}

impl OwnClock {
    pub(super) const fn new(retention: Duration) -> Self {
        Self { stretches: Mutex::new(Stretches { retention, now: None, past: Vec::new() }) }
    }

    /// Proofs live for so long from now on.
    pub(super) fn remember_for(&self, retention: Duration) {
        let mut stretches = self.lock();
        stretches.retention = stretches.retention.max(retention);
    }

    /// Whether a proof with this `until`, not used before `mark`, can have been used before the clock was set, and its key have expired
    /// since.
    pub(super) fn may_have_expired(&self, until: UnixTime, mark: u64, now: Moment, since: &Since) -> bool {
        let mut stretches = self.lock();
        if stretches.now.is_some_and(|current| !current.shows(now)) {
            stretches.end(since);
        }
        let unknown = stretches.past.iter().filter(|stretch| stretch.mark > mark);
        unknown.into_iter().any(|stretch| stretch.may_have_expired(until, now.steady))
    }

    /// A proof was taken, and our clocks had shown this before Redis was asked.
    pub(super) fn taken(&self, now: Moment, since: &Since) {
        let mut stretches = self.lock();
        if stretches.now.is_some_and(|current| !current.shows(now)) {
            stretches.end(since);
        }
        let new = Current { start: now.wall, latest: now.wall, ahead: ahead(now) };
        let current = stretches.now.get_or_insert(new);
        (current.start, current.latest) = (current.start.min(now.wall), current.latest.max(now.wall));
    }

    fn lock(&self) -> MutexGuard<'_, Stretches> {
        self.stretches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stretches {
    /// The clock was set.
    fn end(&mut self, since: &Since) {
        let Some(Current { start, latest, ahead }) = self.now.take() else { return };
        let untils = (start, latest.saturating_add(self.retention));
        self.past.push(Stretch { untils, ahead, mark: since.next() });
        self.merge();
    }

    /// The two oldest become one, with the later of their clocks.
    fn merge(&mut self) {
        if let [first, second, ..] = self.past[..]
            && self.past.len() > STRETCHES
        {
            let untils = (first.untils.0.min(second.untils.0), first.untils.1.max(second.untils.1));
            let (ahead, mark) = (first.ahead.max(second.ahead), first.mark.max(second.mark));
            self.past.splice(..2, [Stretch { untils, ahead, mark }]);
        }
    }
}

impl Current {
    /// Whether it goes on: nobody has set the clock since.
    fn shows(&self, now: Moment) -> bool {
        Duration::from_millis(ahead(now).abs_diff(self.ahead)) <= CLOCK_DIFFERENCE
    }
}

impl Stretch {
    fn may_have_expired(&self, until: UnixTime, steady: UnixTime) -> bool {
        let (first, last) = self.untils;
        // What its clock would show now.
        let shows = UnixTime::from_millis(steady.as_millis().saturating_add(self.ahead));
        first <= until && until <= last && until.saturating_add(CLOCK_DIFFERENCE) < shows
    }
}

/// How far the wall clock is ahead of the steady one.
const fn ahead(now: Moment) -> i64 {
    now.wall.as_millis().saturating_sub(now.steady.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime::from_secs(1_700_000_000);
    const RETENTION: Duration = Duration::from_secs(70);

    fn at(secs: i64) -> UnixTime {
        UnixTime::from_millis(START.as_millis() + secs * 1000)
    }

    /// A clock, and what was forgotten.
    struct Case(OwnClock, Since);

    fn begin() -> Case {
        let case = Case(OwnClock::new(RETENTION), Since::new(START));
        assert!(!case.doubts(60, 0, 0));
        case
    }

    impl Case {
        /// A proof without a nonce, that is taken unless it is in doubt; the wall clock and the steady one show these.
        fn doubts(&self, until: i64, wall: i64, steady: i64) -> bool {
            let doubts = self.asks(until, wall, steady);
            if !doubts {
                self.0.taken(read(wall, steady), &self.1);
            }
            doubts
        }

        /// The same, but nothing is taken.
        fn asks(&self, until: i64, wall: i64, steady: i64) -> bool {
            self.0.may_have_expired(at(until), 0, read(wall, steady), &self.1)
        }
    }

    fn read(wall: i64, steady: i64) -> Moment {
        Moment { wall: at(wall), steady: at(steady) }
    }

    #[test]
    fn a_clock_that_runs_evenly_forgets_nothing() {
        let case = begin();
        assert!((0..1000).all(|now| !case.doubts(now + 60, now, now)));
        assert!(!case.doubts(1000, 996, 1000), "nor one that lags a little");
        assert!(!case.doubts(100_060, 100_000, 100_000), "nor one that nobody asked for long");
    }

    #[test]
    fn a_step_back_refuses_what_may_have_been_used_and_no_new_proof() {
        let case = begin();
        assert!(!case.doubts(160, 100, 100));
        assert!(case.doubts(60, 50, 100), "used at 0, expired at 60, and it is 50 again");
        assert!(!case.doubts(110, 50, 100), "made after the step, or still in Redis");
        let now = Moment { wall: at(50), steady: at(100) };
        assert!(
            !case.0.may_have_expired(at(60), case.1.latest(), now, &case.1),
            "its nonce is from after the step"
        );
    }

    #[test]
    fn an_hour_ahead_for_a_moment_leaves_only_that_moment_behind() {
        let case = begin();
        assert!(!case.doubts(3660, 3600, 70));
        assert!(!case.doubts(131, 71, 71), "the clock is right again");
        assert!(case.doubts(60, 50, 71), "this may have been used before it went wrong");
    }

    /// While clocks were wrong, from the start or later, no proof was taken, and yet those with nonces of others were challenged when they had
    /// been set right. Where that befell two replicas, a client that went from one to the other did not get through: worlds 42,155 and 2,958.
    #[test]
    fn what_the_clock_showed_while_no_proof_was_taken_does_not_matter() {
        let case = Case(OwnClock::new(RETENTION), Since::new(START));
        assert!(!case.asks(3660, 3600, 0), "the process began with its clock an hour ahead");
        assert!(!case.doubts(60, 0, 0));
        assert!(!case.asks(3660, 3600, 10), "it is set an hour ahead again");
        assert!(!case.doubts(3660, 20, 20), "and this is none of a time in which nothing was taken");
        assert!(case.doubts(60, 0, 70), "but what was taken before counts");
    }

    /// Redis answered after the clock had been set.
    #[test]
    fn a_proof_counts_by_the_clock_that_showed_when_redis_was_asked() {
        let case = begin();
        assert!(!case.asks(110, 50, 50));
        assert!(!case.asks(1060, 1000, 51), "the clock is set");
        case.0.taken(read(50, 50), &case.1);
        assert!(case.asks(110, 60, 120), "it is set back, and what was taken at 50 has expired at 110");
    }

    #[test]
    fn many_steps_are_taken_as_one_and_none_is_lost() {
        let case = begin();
        for step in 0..100 {
            assert!(!case.doubts(-step * 1000 + 500, -step * 1000, step));
        }
        assert!(case.doubts(-50, -100_000, 200));
        assert!(case.0.stretches.lock().unwrap().past.len() <= STRETCHES);
    }
}
