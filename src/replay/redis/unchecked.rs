//! Requests that pass without a check, because `on_failure` is `accept`: counted, and loud. One line when it begins, one each minute with the
//! count, one when it ends.

use crate::clock::UnixTime;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often it is said how many.
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Unchecked {
    total: AtomicU64,
    spell: Mutex<Option<Spell>>,
}

/// It began and has not ended.
#[derive(Debug)]
struct Spell {
    count: u64,
    /// How many there were at the last look.
    seen: u64,
    /// When it was said last, by the clock that nobody sets.
    said: UnixTime,
}

impl Unchecked {
    /// One more passes, at this moment of the clock that nobody sets.
    pub(super) fn pass(&self, steady: UnixTime) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut spell = self.lock();
        if let Some(spell) = &mut *spell {
            spell.count = spell.count.saturating_add(1);
            return;
        }
        *spell = Some(Spell { count: 1, seen: 0, said: steady });
        drop(spell);
        tracing::error!(
            "requests pass WITHOUT a replay check from now on: Redis cannot be asked and replay.redis.on_failure is accept"
        );
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// To be called about once a second.
    pub(super) fn tick(&self, steady: UnixTime) {
        let mut spell = self.lock();
        let due = |spell: &&mut Spell| steady.since(spell.said) >= MINUTE;
        let Some(spell) = spell.as_mut().filter(due) else { return };
        spell.said = steady;
        let count = spell.count;
        tracing::error!(count, "requests still pass WITHOUT a replay check, so many by now");
    }

    /// Redis can be asked again.
    pub(super) fn end(&self) {
        if let Some(Spell { count, .. }) = self.lock().take() {
            tracing::warn!(count, "requests are checked again; so many passed WITHOUT a replay check");
        }
    }

    /// Redis can be asked: the end, unless one passed since the last look.
    pub(super) fn end_if_quiet(&self) {
        let mut spell = self.lock();
        if let Some(spell) = spell.as_mut().filter(|spell| spell.seen != spell.count) {
            spell.seen = spell.count;
            return;
        }
        drop(spell);
        self.end();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Spell>> {
        self.spell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_ends_when_none_has_passed_for_a_while_and_the_count_goes_on() {
        let unchecked = Unchecked::default();
        unchecked.end_if_quiet();
        for _ in 0..3 {
            unchecked.pass(UnixTime::EPOCH);
        }
        assert_eq!(unchecked.lock().as_ref().map(|spell| spell.count), Some(3));
        unchecked.end_if_quiet();
        assert!(unchecked.lock().is_some(), "some have passed since the last look");
        unchecked.end_if_quiet();
        assert!(unchecked.lock().is_none());
        unchecked.pass(UnixTime::EPOCH);
        unchecked.end();
        assert!(unchecked.lock().is_none());
        assert_eq!(unchecked.total(), 4);
    }
}
