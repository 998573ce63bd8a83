//! The limit per subject: live proofs of one subject of one issuer, however many keys it has.

use super::memory::{GENERATIONS, Timeline};
use super::sync::{AtomicU64, Ordering};
use crate::clock::UnixTime;
use arc_swap::ArcSwap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Counters in a row: a few MiB in all.
const COLUMNS: usize = 1 << 14;
/// Rings of counters that are allocated together, when the first subject comes to one of them: a gateway without traffic needs none.
const PIECE: usize = 64;
/// Subjects share counters; each has two, in two rows, and the smaller counts. Two subjects share both once in 2^28.
const ROWS: usize = 2;

/// A count-min sketch of (subject, generation), without a lock: of those that ask at the same time a few may pass too many.
#[derive(Debug)]
pub(super) struct Subjects {
    /// Keyed by chance, so that nobody chooses whom to share counters with.
    hasher: RandomState,
    limit: AtomicU64,
    counts: ArcSwap<Counts>,
}

/// The counters, and what they count generations by.
#[derive(Debug)]
struct Counts {
    timeline: Timeline,
    /// A generation in the upper half and its count in the lower, for each generation in a ring of them. A cell of another generation counts
    /// nothing: nothing is ever cleared.
    pieces: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

impl Subjects {
    pub(super) fn new(limit: usize, timeline: Timeline) -> Self {
        Self {
            hasher: RandomState::new(),
            limit: u64::try_from(limit).unwrap_or(u64::MAX).into(),
            counts: ArcSwap::from_pointee(Counts::new(timeline)),
        }
    }

    /// Another limit, from now on. What is counted already counts.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(u64::try_from(limit).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Goes on with a timeline that was widened from its own. Of what is counted meanwhile a little may get lost.
    pub(super) fn widen(&self, timeline: Timeline) {
        self.counts.store(Arc::new(self.counts.load().widened(timeline)));
    }

    /// What stands for the subject of an issuer here.
    pub(super) fn of(&self, issuer: usize, subject: &str) -> u64 {
        self.hasher.hash_one((issuer, subject))
    }

    /// Whether the subject may have one more.
    pub(super) fn has_room(&self, subject: u64, now: UnixTime) -> bool {
        let (limit, counts) = (self.limit.load(Ordering::Relaxed), self.counts.load());
        let first = counts.timeline.generation(now).unwrap_or(0);
        let alive = first..first.saturating_add(GENERATIONS);
        rings(subject).into_iter().any(|ring| {
            let cells = counts.ring(ring).iter().map(|cell| parts(cell.load(Ordering::Relaxed)));
            cells.filter(|(mark, _)| alive.contains(mark)).map(|(_, count)| count).sum::<u64>() < limit
        })
    }

    /// One more has passed.
    pub(super) fn count(&self, subject: u64, until: UnixTime) {
        let counts = self.counts.load();
        let Some(generation) = counts.timeline.generation(until) else { return };
        rings(subject).into_iter().for_each(|ring| counts.add(ring, generation, 1));
    }
}

impl Counts {
    fn new(timeline: Timeline) -> Self {
        let pieces = std::iter::repeat_with(OnceLock::new).take(ROWS * COLUMNS / PIECE).collect();
        Self { timeline, pieces }
    }

    /// The same counts by a timeline that was widened from this one. Of generations that would share a cell the latest counts.
    fn widened(&self, timeline: Timeline) -> Self {
        let next = Self::new(timeline);
        for ring in 0..ROWS * COLUMNS {
            let mut counted: Vec<_> =
                self.ring(ring).iter().map(|cell| parts(cell.load(Ordering::Relaxed))).collect();
            counted.sort_unstable();
            for (generation, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
                next.add(ring, timeline.take_over(&self.timeline, generation), count);
            }
        }
        next
    }

    /// The counters of a ring: none, before it is counted in.
    fn ring(&self, ring: usize) -> &[AtomicU64] {
        let piece = self.pieces.get(ring / PIECE).and_then(OnceLock::get);
        piece.and_then(|piece| piece.get(cells_of(ring))).unwrap_or_default()
    }

    fn add(&self, ring: usize, generation: u32, more: u64) {
        let Some(piece) = self.pieces.get(ring / PIECE).map(|piece| piece.get_or_init(new_piece)) else {
            return;
        };
        let place =
            cells_of(ring).start.saturating_add(usize::try_from(generation).unwrap_or(0) % ring_len());
        let Some(cell) = piece.get(place) else { return };
        let add = |cell: u64| match parts(cell) {
            (mark, count) if mark == generation => Some(whole(generation, count.saturating_add(more))),
            _ => Some(whole(generation, more)),
        };
        // It always agrees.
        let _: Result<u64, u64> = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

fn ring_len() -> usize {
    usize::try_from(GENERATIONS).unwrap_or(0)
}

fn new_piece() -> Box<[AtomicU64]> {
    std::iter::repeat_with(|| AtomicU64::new(0)).take(PIECE * ring_len()).collect()
}

/// Where in its piece a ring's cells are.
fn cells_of(ring: usize) -> Range<usize> {
    let start = (ring % PIECE).saturating_mul(ring_len());
    start..start.saturating_add(ring_len())
}

/// The numbers of the subject's rings.
fn rings(subject: u64) -> [usize; ROWS] {
    let column = |shift: u32| usize::try_from(subject >> shift).unwrap_or(0) % COLUMNS;
    [column(0), COLUMNS.saturating_add(column(20))]
}

fn parts(cell: u64) -> (u32, u64) {
    (u32::try_from(cell >> 32).unwrap_or(0), cell & u64::from(u32::MAX))
}

fn whole(generation: u32, count: u64) -> u64 {
    u64::from(generation) << 32 | count.min(u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn at(secs: u64) -> UnixTime {
        START.saturating_add(Duration::from_secs(secs))
    }

    #[test]
    fn a_subject_has_its_limit_until_its_proofs_expire_and_others_theirs() {
        let subjects = Subjects::new(3, Timeline::new(Duration::from_secs(70), START));
        let (alice, bob, same_name) =
            (subjects.of(0, "alice"), subjects.of(0, "bob"), subjects.of(1, "alice"));
        for second in 0..3 {
            assert!(subjects.has_room(alice, at(second)));
            subjects.count(alice, at(second + 60));
        }
        assert!(!subjects.has_room(alice, at(3)) && !subjects.has_room(alice, at(60)));
        assert!(subjects.has_room(bob, at(3)) && subjects.has_room(same_name, at(3)));
        assert!(subjects.has_room(alice, at(72)));
    }

    #[test]
    fn what_is_counted_counts_on_where_generations_become_wider() {
        let before = Timeline::new(Duration::from_secs(70), START);
        let subjects = Subjects::new(4, before);
        let alice = subjects.of(0, "alice");
        [10, 30, 50].into_iter().for_each(|until| subjects.count(alice, at(until)));
        subjects.widen(before.widened(Duration::from_secs(7000)).unwrap());
        subjects.count(alice, at(3600));
        assert!(!subjects.has_room(alice, at(0)) && !subjects.has_room(alice, at(9)));
        assert!(subjects.has_room(alice, at(700)) && subjects.has_room(subjects.of(0, "bob"), at(0)));
    }
}
