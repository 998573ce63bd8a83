//! The limit per key, for a store that does not count by itself.

use super::memory::{GENERATIONS, Quota, Timeline};
use super::sync::{PoisonError, RwLock, RwLockReadGuard};
use crate::clock::UnixTime;
use std::time::Duration;

/// How many live proofs of each key have passed here. Replicas count for themselves, so together they let through as many times the limit.
#[derive(Debug)]
pub(super) struct PerKeyLimit {
    quota: Quota,
    timeline: RwLock<Timeline>,
}

impl PerKeyLimit {
    pub(super) fn new(limit: usize, timeline: Timeline) -> Self {
        Self { quota: Quota::new(limit), timeline: timeline.into() }
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.quota.set_limit(limit);
    }

    /// Counts on by wider generations where proofs live longer than these can tell; the timeline that is followed then.
    pub(super) fn remember_for(&self, retention: Duration) -> Option<Timeline> {
        let mut timeline = self.timeline.write().unwrap_or_else(PoisonError::into_inner);
        let before = *timeline;
        let next = before.widened(retention)?;
        // Which of them are past does not matter: their counts are of the past then too.
        self.quota.relabel(|generation| generation > 0, |generation| next.take_over(&before, generation));
        *timeline = next;
        Some(next)
    }

    /// Whether this key may have one more. Of those that ask at the same time a few may pass too many.
    pub(super) fn has_room(&self, owner: u64, now: UnixTime) -> bool {
        let timeline = self.timeline();
        let first = timeline.generation(now).unwrap_or(0);
        self.quota
            .has_room(owner, |generation| (first..first.saturating_add(GENERATIONS)).contains(&generation))
    }

    /// One more has passed.
    pub(super) fn count(&self, owner: u64, until: UnixTime) {
        let timeline = self.timeline();
        if let Some(generation) = timeline.generation(until) {
            self.quota.restore(owner, generation);
        }
    }

    /// Held while something is counted by it.
    fn timeline(&self) -> RwLockReadGuard<'_, Timeline> {
        self.timeline.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_limit_until_its_proofs_expire_and_others_theirs() {
        let start = UnixTime::from_secs(1_700_000_000);
        let limit = PerKeyLimit::new(3, Timeline::new(Duration::from_secs(70), start));
        let until = start.saturating_add(Duration::from_secs(60));
        for _ in 0..3 {
            assert!(limit.has_room(1, start));
            limit.count(1, until);
        }
        assert!(!limit.has_room(1, start) && !limit.has_room(1, until));
        assert!(limit.has_room(2, start));
        assert!(limit.has_room(1, start.saturating_add(Duration::from_secs(70))));
    }
}
