//! Which generations are remembered now, and which were ever forgotten.

use crate::clock::UnixTime;
use std::time::Duration;

/// How many generations lie in the window at once: as many as [`Window::usable`] has bits.
pub(in crate::replay) const GENERATIONS: u32 = 32;
/// How many of them make up the retention. The rest is room for retention that a reload makes longer.
const PER_RETENTION: u32 = 12;
/// How many ranges of forgotten generations are told apart. More are merged, which forgets nothing: it only
/// refuses more.
const RANGES: usize = 16;

/// Moments to generations: generation `g` holds the proofs whose `until` lies in one slice of time, `width`
/// long.
#[derive(Clone, Copy, Debug)]
pub(in crate::replay) struct Timeline {
    width: i64,
    origin: i64,
}

impl Timeline {
    /// Slices of a twelfth of `retention`, a second at least, so that 32 bits count them for 68 years either
    /// way of `start`.
    pub(in crate::replay) fn new(retention: Duration, start: UnixTime) -> Self {
        let slice = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX) / i64::from(PER_RETENTION);
        let width = slice.saturating_add(1).max(1000);
        let origin = start.as_millis().div_euclid(width).saturating_sub(i64::from(i32::MAX));
        Self { width, origin }
    }

    /// The generation of a moment, never 0 (which marks an empty place); `None` for a moment decades away.
    pub(in crate::replay) fn generation(&self, moment: UnixTime) -> Option<u32> {
        let slice = moment.as_millis().div_euclid(self.width);
        u32::try_from(slice.saturating_sub(self.origin)).ok().filter(|&generation| generation > 0)
    }

    /// The first millisecond of a generation.
    fn first_millis(&self, generation: u32) -> i64 {
        self.origin.saturating_add(i64::from(generation)).saturating_mul(self.width)
    }
}

/// The generations that are remembered, `base` and the 31 after it, except those of which some were dropped
/// before.
#[derive(Debug)]
pub(super) struct Window {
    base: u32,
    usable: u32,
    /// While `now` lies in here, the window stands.
    stands: std::ops::Range<i64>,
    forgotten: Ranges,
    /// When the time that it was last moved to was read, by the clock that is never set.
    pub(super) slid: UnixTime,
}

/// What the window says of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// All of it is remembered.
    Remembered,
    /// It lies in the window, but some of it was dropped, and this is the mark of that.
    Forgotten(u64),
    /// It lies before the window.
    Before,
    /// It lies beyond the window: no proof can be remembered for so long.
    Beyond,
}

impl Window {
    /// A window that begins at `base`, and nothing forgotten.
    pub(super) fn new(timeline: &Timeline, base: u32) -> Self {
        let slid = UnixTime::from_millis(i64::MIN);
        let mut window = Self { base, usable: 0, stands: 0..0, forgotten: Ranges::default(), slid };
        window.settle(timeline, base);
        window
    }

    /// Whether the window has to move forward for `now`.
    pub(super) fn is_behind(&self, now: UnixTime) -> bool {
        now.as_millis() >= self.stands.end
    }

    /// Whether it has to move back.
    pub(super) fn is_ahead(&self, now: UnixTime) -> bool {
        now.as_millis() < self.stands.start
    }

    /// Where `generation` lies.
    pub(super) fn coverage(&self, generation: u32) -> Coverage {
        match generation.checked_sub(self.base) {
            None => Coverage::Before,
            Some(GENERATIONS..) => Coverage::Beyond,
            Some(offset) if self.usable >> offset & 1 == 1 => Coverage::Remembered,
            Some(_) => Coverage::Forgotten(self.forgotten.mark(generation).unwrap_or(u64::MAX)),
        }
    }

    /// Whether entries of `generation` are looked at: what was dropped of one that lies in the window may be among them, which admits no
    /// replay.
    pub(super) const fn holds(&self, generation: u32) -> bool {
        matches!(generation.checked_sub(self.base), Some(0..GENERATIONS))
    }

    /// Moves the window to begin at `base`, forwards or backwards. `drain` empties a generation that falls
    /// out and says whether anything was in it; `mark` is asked for a mark of that afterwards.
    pub(super) fn slide(
        &mut self,
        timeline: &Timeline,
        base: u32,
        drain: impl Fn(u32) -> bool,
        mark: impl Fn() -> u64,
    ) {
        let kept = base..base.saturating_add(GENERATIONS);
        for generation in self.base..self.base.saturating_add(GENERATIONS) {
            if !kept.contains(&generation) && drain(generation) {
                self.forgotten.insert(Range { first: generation, last: generation, mark: mark() });
            }
        }
        self.settle(timeline, base);
    }

    /// Uses these generations only for what is known to be newer than this mark.
    pub(super) fn forget(&mut self, generations: std::ops::RangeInclusive<u32>, mark: u64) {
        self.forgotten.insert(Range { first: *generations.start(), last: *generations.end(), mark });
        self.mask();
    }

    /// Two slices of patience before moving back: a clock may be mended a little.
    fn settle(&mut self, timeline: &Timeline, base: u32) {
        self.base = base;
        self.stands =
            timeline.first_millis(base.saturating_sub(2))..timeline.first_millis(base.saturating_add(1));
        self.mask();
    }

    fn mask(&mut self) {
        let usable = |offset: &u32| self.forgotten.mark(self.base.saturating_add(*offset)).is_none();
        self.usable = (0..GENERATIONS).filter(usable).fold(0, |mask, offset| mask | 1 << offset);
    }
}

/// Ranges of generations that do not overlap, in order, at most [`RANGES`].
#[derive(Debug, Default)]
struct Ranges(Vec<Range>);

/// Generations, both ends included, of which something was dropped, last at this mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
    mark: u64,
}

impl Ranges {
    /// The mark of the last drop of this generation, if there was one.
    fn mark(&self, generation: u32) -> Option<u64> {
        let range = self.0.iter().find(|range| (range.first..=range.last).contains(&generation))?;
        Some(range.mark)
    }

    /// Adds one, in place of what it covers, and joins neighbours of one mark; then the nearest, the oldest first, while there are too many.
    /// What is dropped in the past of a clock that was set back says nothing new of the time behind it, so marks are kept apart.
    fn insert(&mut self, new: Range) {
        let older = std::mem::take(&mut self.0);
        let before = older.iter().filter(|old| old.first < new.first);
        self.0.extend(before.map(|old| Range { last: old.last.min(new.first.saturating_sub(1)), ..*old }));
        self.0.push(new);
        let after = older.iter().filter(|old| old.last > new.last);
        self.0.extend(after.map(|old| Range { first: old.first.max(new.last.saturating_add(1)), ..*old }));
        while let Some(at) = self.next_to_join() {
            let right = self.0.remove(at.saturating_add(1));
            if let Some(left) = self.0.get_mut(at) {
                (left.last, left.mark) = (right.last, left.mark.max(right.mark));
            }
        }
    }

    /// After which range the next is joined to it.
    fn next_to_join(&self) -> Option<usize> {
        let pairs = || self.0.iter().zip(self.0.iter().skip(1)).enumerate();
        let gap = |left: &Range, right: &Range| right.first.saturating_sub(left.last);
        let same = pairs().find(|(_, (left, right))| gap(left, right) <= 1 && left.mark == right.mark);
        let nearest = || pairs().min_by_key(|(_, (left, right))| gap(left, right));
        let found = same.or_else(|| if self.0.len() > RANGES { nearest() } else { None });
        found.map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(generation: u32, mark: u64) -> Range {
        Range { first: generation, last: generation, mark }
    }

    fn shown(ranges: &Ranges) -> Vec<(u32, u32, u64)> {
        ranges.0.iter().map(|range| (range.first, range.last, range.mark)).collect()
    }

    #[test]
    fn ranges_merge_what_is_near_and_keep_apart_what_is_far() {
        let mut ranges = Ranges::default();
        for generation in [100, 102, 5000, 101, 4999] {
            ranges.insert(one(generation, 1));
        }
        assert_eq!(shown(&ranges), [(100, 102, 1), (4999, 5000, 1)]);
        assert_eq!((ranges.mark(101), ranges.mark(103), ranges.mark(4998)), (Some(1), None, None));
    }

    #[test]
    fn what_is_dropped_again_has_the_later_mark_and_its_neighbours_their_own() {
        let mut ranges = Ranges::default();
        ranges.insert(Range { first: 10, last: 20, mark: 1 });
        ranges.insert(one(15, 2));
        assert_eq!(shown(&ranges), [(10, 14, 1), (15, 15, 2), (16, 20, 1)]);
        ranges.insert(Range { first: 12, last: 30, mark: 3 });
        assert_eq!(shown(&ranges), [(10, 11, 1), (12, 30, 3)]);
    }

    #[test]
    fn too_many_ranges_merge_and_never_lose_one() {
        let mut ranges = Ranges::default();
        for step in 1..100 {
            ranges.insert(one(step * 1000, step.into()));
        }
        assert_eq!(ranges.0.len(), RANGES);
        assert!((1..100).all(|step| ranges.mark(step * 1000) >= Some(step.into())));
    }

    /// Whatever is dropped in whatever order, a generation's mark is never earlier than its last drop.
    #[test]
    fn a_mark_is_never_too_early() {
        let (mut ranges, mut last, mut chance) = (Ranges::default(), [0_u64; 64], 1_u64);
        for mark in 1..5000 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let first = usize::try_from(chance >> 33).unwrap() % 64;
            let end = (first + usize::try_from(chance >> 60).unwrap() % 6).min(63);
            let generation = |place: usize| u32::try_from(place).unwrap() + 1;
            ranges.insert(Range { first: generation(first), last: generation(end), mark });
            last[first..=end].fill(mark);
            for (place, dropped) in last.iter().enumerate() {
                assert!(ranges.mark(generation(place)).unwrap_or(0) >= *dropped, "{place} after {mark}");
            }
            assert!(ranges.0.len() <= RANGES);
        }
    }

    #[test]
    fn decades_either_way_have_a_generation_and_the_edges_of_time_have_none_or_one() {
        let start = UnixTime::from_secs(1_700_000_000);
        let timeline = Timeline::new(Duration::from_secs(1), start);
        assert!(timeline.generation(UnixTime::EPOCH).is_some());
        assert_eq!(timeline.generation(UnixTime::MAX), None);
        assert_eq!(timeline.generation(UnixTime::from_millis(i64::MIN)), None);
    }
}
