//! Since when a store remembers everything, by the wall clock and by the order of events.

use super::sync::{AtomicI64, AtomicU64, Ordering};
use crate::clock::{Moment, UnixTime};

/// The earliest moment at which a proof can have been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstUse {
    /// By the wall clock of whoever took it.
    pub moment: UnixTime,
    /// By the order of events in this process: not before everything up to this mark of [`super::Store::mark`] had happened. No clock has to
    /// be right for that. 0 where nothing is known, which is where the proof has no nonce of this process.
    pub mark: u64,
    /// Not before this [`super::Store::epoch`] had begun, by whichever replica. No clock has to be right for that either. It says nothing about
    /// what this process alone has forgotten. 0 where nothing is known.
    pub epoch: u64,
}

impl From<UnixTime> for FirstUse {
    fn from(moment: UnixTime) -> Self {
        Self { moment, mark: 0, epoch: 0 }
    }
}

/// Since when all is remembered. Every time that something is forgotten gets a number, its *mark*; the first, 1, is the start. A nonce has
/// the latest mark of its time in it, so whether it was made after a loss needs no clock: a nonce from after a loss is in no proof that was
/// used before it.
#[derive(Debug)]
pub(super) struct Since {
    moment: AtomicI64,
    /// The latest loss that was told by our own clocks: by the wall clock, and by the steady one.
    own: AtomicI64,
    own_steady: AtomicI64,
    /// The mark of the last loss that was anything but expiry.
    loss: AtomicU64,
    latest: AtomicU64,
    /// What the data of a shared store is called, by everybody who shares it and until it is lost; 0 where there is none.
    epoch: AtomicU64,
    /// Before this moment of the steady clock only marks count.
    only_own: AtomicI64,
    /// The last moment that a reload raised it to.
    by_reload: AtomicI64,
}

impl Since {
    pub(super) const fn new(moment: UnixTime) -> Self {
        Self {
            moment: AtomicI64::new(moment.as_millis()),
            own: AtomicI64::new(i64::MIN),
            own_steady: AtomicI64::new(i64::MIN),
            loss: AtomicU64::new(1),
            latest: AtomicU64::new(1),
            epoch: AtomicU64::new(0),
            only_own: AtomicI64::new(i64::MIN),
            by_reload: AtomicI64::new(i64::MIN),
        }
    }

    /// Since `moment`, as a clock of this machine told it, when the steady one of this process would have shown this.
    pub(super) const fn told(moment: UnixTime, steady: UnixTime) -> Self {
        Self { own_steady: AtomicI64::new(steady.as_millis()), ..Self::new(moment) }
    }

    pub(super) fn moment(&self) -> UnixTime {
        UnixTime::from_millis(self.moment.load(Ordering::SeqCst))
    }

    /// A loss: nothing before `moment` is vouched for any more; the moment never moves back.
    pub(super) fn raise(&self, moment: UnixTime) {
        self.moment.fetch_max(moment.as_millis(), Ordering::SeqCst);
        self.loss.fetch_max(self.next(), Ordering::SeqCst);
    }

    /// A loss of this process alone, told by our own clocks: where the wall clock is set ahead later it was behind, and the moment lies later
    /// too.
    pub(super) fn raise_by_our_clocks(&self, moment: Moment) {
        self.own.fetch_max(moment.wall.as_millis(), Ordering::SeqCst);
        self.own_steady.fetch_max(moment.steady.as_millis(), Ordering::SeqCst);
        self.raise(moment.wall);
    }

    /// Something was forgotten just now: the mark of that. Nonces made from here on are from after it.
    pub(super) fn next(&self) -> u64 {
        self.latest.fetch_add(1, Ordering::SeqCst).saturating_add(1)
    }

    pub(super) fn latest(&self) -> u64 {
        self.latest.load(Ordering::SeqCst)
    }

    /// A loss that a reload brought about.
    pub(super) fn is_by_reload(&self, moment: UnixTime) {
        self.by_reload.fetch_max(moment.as_millis(), Ordering::SeqCst);
    }

    /// Whether everything since the last reload that brought about a loss is remembered.
    pub(super) fn begins_by_reload(&self) -> bool {
        self.moment.load(Ordering::SeqCst) <= self.by_reload.load(Ordering::SeqCst)
    }

    /// To be called after the loss of the data that was called otherwise has been noted.
    pub(super) fn call(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::SeqCst);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(super) fn take_only_own_until(&self, steady: UnixTime) {
        self.only_own.fetch_max(steady.as_millis(), Ordering::SeqCst);
    }

    /// Breaks what [`Since::take_only_own_until`] is for.
    #[cfg(test)]
    pub(super) fn trust_clocks_from(&self, steady: UnixTime) {
        self.only_own.store(steady.as_millis(), Ordering::SeqCst);
    }

    pub(super) fn vouches_for(&self, first_use: FirstUse, now: Moment) -> bool {
        first_use.mark >= self.loss.load(Ordering::SeqCst)
            || now.steady.as_millis() >= self.only_own.load(Ordering::SeqCst)
                && first_use.moment >= self.own_by(now)
                && (first_use.epoch != 0 && first_use.epoch == self.epoch()
                    || first_use.moment >= self.moment())
    }

    /// The moment by what the wall clock shows now.
    pub(super) fn moment_by(&self, now: Moment) -> UnixTime {
        self.moment().max(self.own_by(now))
    }

    /// The moment by what the wall clock shows now, and the latest loss of this process alone by the steady one.
    pub(super) fn both_by(&self, now: Moment) -> Moment {
        let steady = UnixTime::from_millis(self.own_steady.load(Ordering::SeqCst));
        Moment { wall: self.moment_by(now), steady }
    }

    /// The latest loss of this process alone.
    fn own_by(&self, now: Moment) -> UnixTime {
        let ahead = now.wall.as_millis().saturating_sub(now.steady.as_millis());
        let steady = self.own_steady.load(Ordering::SeqCst).saturating_add(ahead);
        UnixTime::from_millis(self.own.load(Ordering::SeqCst).max(steady))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn at(secs: i64) -> UnixTime {
        UnixTime::from_millis(START.as_millis() + secs * 1000)
    }

    #[test]
    fn a_mark_of_now_needs_no_clock_and_one_from_before_a_loss_is_none() {
        let since = Since::new(at(3600));
        let own = |mark| FirstUse { moment: START, mark, epoch: 0 };
        assert!(!since.vouches_for(START.into(), START.into()));
        assert!(since.vouches_for(at(3600).into(), START.into()));
        let before = since.latest();
        assert!(since.vouches_for(own(before), START.into()));
        since.raise(at(10));
        assert_eq!(since.moment(), at(3600));
        assert!(!since.vouches_for(own(before), START.into()), "a loss is one whatever its moment");
        assert!(since.vouches_for(own(since.latest()), START.into()));
        since.next();
        assert!(since.vouches_for(own(since.latest() - 1), START.into()), "what expires is no loss");
    }

    /// A process began while its clock was minutes behind, and took what the process before it had taken once that was set right.
    #[test]
    fn a_start_by_a_clock_that_was_behind_is_as_late_as_it_was() {
        let since = Since::new(at(-600));
        since.raise_by_our_clocks(Moment { wall: at(-600), steady: at(0) });
        let at_ten = |wall: i64| Moment { wall: at(wall), steady: at(10) };
        assert!(since.vouches_for(at(-595).into(), at_ten(-590)));
        assert!(!since.vouches_for(at(-1).into(), at_ten(10)), "it began at 0");
        assert!(since.vouches_for(at(0).into(), at_ten(10)));
        assert!(!since.vouches_for(at(-601).into(), at_ten(-1200)), "set back, it is as it was");
        since.raise_by_our_clocks(Moment { wall: at(100), steady: at(100) });
        let much_later = Moment { wall: at(200), steady: at(200) };
        assert!(
            since.vouches_for(at(100).into(), much_later),
            "a later loss was told by a clock that was right"
        );
    }

    #[test]
    fn a_nonce_from_after_a_loss_helps_at_every_replica_and_one_from_before_at_none() {
        let since = Since::new(at(3600));
        let others = |epoch| FirstUse { moment: START, mark: 0, epoch };
        assert!(!since.vouches_for(others(0), START.into()), "that is none");
        since.call(7);
        assert!(since.vouches_for(others(7), START.into()));
        since.raise(at(7200));
        since.call(8);
        assert!(!since.vouches_for(others(7), START.into()));
        assert!(since.vouches_for(others(8), START.into()));
        since.raise_by_our_clocks(at(10).into());
        assert!(
            !since.vouches_for(others(8), at(10).into()),
            "a reload is a loss that the others may not have"
        );
        assert!(since.vouches_for(FirstUse { moment: at(10), ..others(8) }, at(10).into()));
    }

    #[test]
    fn at_first_a_memory_without_a_past_trusts_no_wall_clock() {
        let since = Since::new(START);
        since.take_only_own_until(at(70));
        let read = |wall, steady| Moment { wall: at(wall), steady: at(steady) };
        assert!(!since.vouches_for(at(1000).into(), read(1000, 69)));
        assert!(since.vouches_for(FirstUse { moment: START, mark: since.latest(), epoch: 0 }, read(0, 0)));
        assert!(since.vouches_for(at(1000).into(), read(1000, 70)));
        let late = Moment { wall: START.saturating_sub(Duration::from_secs(1)), steady: at(1000) };
        assert!(!since.vouches_for(late.wall.into(), late));
    }
}
