//! Our own wall clock: what may have expired in Redis by an earlier reading of it.

use crate::clock::{CLOCK_DIFFERENCE, Stopwatch, UnixTime};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Of more stretches than this the oldest are taken as one.
const STRETCHES: usize = 16;

/// Redis counts a key's life from the moment it was set, and knows nothing of a wall clock that is set back
/// here: the key is gone, and the proof is acceptable again. So each stretch of time in which the clock ran
/// evenly is remembered with the proofs that can have been used in it.
#[derive(Debug)]
pub(super) struct OwnClock {
    retention: Duration,
    stretches: Mutex<Stretches>,
}

#[derive(Debug)]
struct Stretches {
    start: UnixTime,
    latest: UnixTime,
    past: Vec<Stretch>,
}

/// A stretch that has ended.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The earliest and the latest `until` of a proof used in it.
    untils: (UnixTime, UnixTime),
    /// What that clock would show when `ended` was started.
    at: UnixTime,
    ended: Stopwatch,
}

impl OwnClock {
    pub(super) const fn new(retention: Duration, now: UnixTime) -> Self {
        let stretches = Stretches { start: now, latest: now, past: Vec::new() };
        Self { retention, stretches: Mutex::new(stretches) }
    }

    /// Whether a proof with this `until` can have been used before the clock was set back, and its key have
    /// expired since.
    pub(super) fn may_have_expired(&self, until: UnixTime, now: UnixTime) -> bool {
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        stretches.observe(now, self.retention);
        stretches.past.iter().any(|stretch| stretch.may_have_expired(until))
    }
}

impl Stretches {
    fn observe(&mut self, now: UnixTime, retention: Duration) {
        let back = now.saturating_add(CLOCK_DIFFERENCE) < self.latest;
        // A jump ahead, or a pause: either way nothing was used in between.
        let ahead = now > self.latest.saturating_add(retention);
        if back || ahead {
            let untils = (self.start, self.latest.saturating_add(retention));
            self.past.push(Stretch { untils, at: self.latest.max(now), ended: Stopwatch::start() });
            (self.start, self.latest) = (now, now);
            self.merge();
        }
        self.latest = self.latest.max(now);
    }

    /// The two oldest become one, with the later of their clocks.
    fn merge(&mut self) {
        if let [first, second, ..] = self.past[..]
            && self.past.len() > STRETCHES
        {
            let untils = (first.untils.0.min(second.untils.0), first.untils.1.max(second.untils.1));
            let at = first.shows().max(second.shows());
            self.past.splice(..2, [Stretch { untils, at, ended: Stopwatch::start() }]);
        }
    }
}

impl Stretch {
    /// What its clock would show now.
    fn shows(&self) -> UnixTime {
        self.at.saturating_add(self.ended.elapsed())
    }

    fn may_have_expired(&self, until: UnixTime) -> bool {
        let (first, last) = self.untils;
        first <= until && until <= last && until.saturating_add(CLOCK_DIFFERENCE) < self.shows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime::from_secs(1_700_000_000);
    const RETENTION: Duration = Duration::from_secs(70);

    fn at(secs: i64) -> UnixTime {
        UnixTime::from_millis(START.as_millis() + secs * 1000)
    }

    #[test]
    fn a_clock_that_runs_evenly_forgets_nothing() {
        let clock = OwnClock::new(RETENTION, START);
        assert!((0..1000).all(|now| !clock.may_have_expired(at(now + 60), at(now))));
        assert!(!clock.may_have_expired(at(1000), at(996)), "nor one that lags a little");
    }

    #[test]
    fn a_step_back_refuses_what_may_have_been_used_and_no_new_proof() {
        let clock = OwnClock::new(RETENTION, START);
        assert!(!clock.may_have_expired(at(160), at(100)));
        assert!(clock.may_have_expired(at(60), at(50)), "used at 0, expired at 60, and it is 50 again");
        assert!(!clock.may_have_expired(at(110), at(50)), "made after the step, or still in Redis");
    }

    #[test]
    fn an_hour_ahead_for_a_moment_leaves_only_that_moment_behind() {
        let clock = OwnClock::new(RETENTION, START);
        assert!(!clock.may_have_expired(at(3660), at(3600)));
        assert!(!clock.may_have_expired(at(131), at(71)), "the clock is right again");
        assert!(clock.may_have_expired(at(60), at(50)), "this may have been used before it went wrong");
    }

    #[test]
    fn many_steps_are_taken_as_one_and_none_is_lost() {
        let clock = OwnClock::new(RETENTION, START);
        for step in 0..100 {
            assert!(!clock.may_have_expired(at(-step * 1000 + 500), at(-step * 1000)));
        }
        assert!(clock.may_have_expired(at(-50), at(-100_000)));
        assert!(clock.stretches.lock().unwrap().past.len() <= STRETCHES);
    }
}
