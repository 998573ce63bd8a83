//! Which generations are remembered now, and which were ever forgotten.

use crate::clock::UnixTime;
use std::time::Duration;

/// How many generations lie in the window at once: as many as [`Window::usable`] has bits.
pub(in crate::replay) const GENERATIONS: u32 = 32;
/// How many of them make up the retention. The rest is room for retention that a reload makes longer.
const PER_RETENTION: u32 = 12;
/// How many ranges of what was forgotten are told apart. More are merged, which forgets nothing: it only
/// refuses more.
const RANGES: usize = 16;

/// Moments to generations: generation `g` holds the proofs whose `until` lies in one slice of time, `width`
/// long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::replay) struct Timeline {
    width: i64,
    origin: i64,
}

impl Timeline {
    /// Slices of a twelfth of `retention`, a second at least, so that 32 bits count them for 68 years either
    /// way of `start`.
    pub(in crate::replay) fn new(retention: Duration, start: UnixTime) -> Self {
        let width = width(retention);
        let origin = start.as_millis().div_euclid(width).saturating_sub(i64::from(i32::MAX));
        Self { width, origin }
    }

    /// One with wider slices, for a longer retention; `None` where these will do. Each of them is a whole number of these, so that all of a
    /// generation lies in one of the new ones.
    pub(in crate::replay) fn widened(&self, retention: Duration) -> Option<Self> {
        // The least number of these slices that is no shorter than what is asked for.
        let factor = width(retention).saturating_sub(1).div_euclid(self.width).saturating_add(1);
        let origin = self.origin.div_euclid(factor).saturating_sub(1);
        (retention > self.longest_retention())
            .then(|| Self { width: self.width.saturating_mul(factor), origin })
    }

    /// Where a generation of `older` lies, from which this one was widened.
    pub(in crate::replay) fn take_over(&self, older: &Self, generation: u32) -> u32 {
        let first = UnixTime::from_millis(older.first_millis(generation));
        // Where the numbers end, decades away, nothing lives.
        self.generation(first).unwrap_or(0)
    }

    /// The longest retention of which every generation lies in the window, wherever in the first of them the present is.
    pub(in crate::replay) fn longest_retention(&self) -> Duration {
        let whole = i64::from(GENERATIONS.saturating_sub(1)).saturating_mul(self.width);
        Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX))
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

    /// Its last.
    fn last_millis(&self, generation: u32) -> i64 {
        self.first_millis(generation).saturating_add(self.width).saturating_sub(1)
    }
}

/// How long a slice is at least.
fn width(retention: Duration) -> i64 {
    let slice = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX) / i64::from(PER_RETENTION);
    slice.saturating_add(1).max(1000)
}

/// The generations that are remembered, `base` and the 31 after it, except for what was dropped of them
/// before.
#[derive(Clone, Debug)]
pub(super) struct Window {
    timeline: Timeline,
    base: u32,
    /// Of which nothing was ever dropped.
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
    /// All that had the same `until` is remembered.
    Remembered,
    /// It lies in the window, but some with the same `until` may have been dropped, and this is the mark of that.
    Forgotten(u64),
    /// It lies before the window.
    Before,
    /// It lies beyond the window: no proof can be remembered for so long.
    Beyond,
}

impl Window {
    /// A window that begins at `start`, and nothing forgotten.
    pub(super) fn new(timeline: Timeline, start: UnixTime) -> Self {
        let base = timeline.generation(start).unwrap_or(1);
        let slid = UnixTime::from_millis(i64::MIN);
        let mut window = Self { timeline, base, usable: 0, stands: 0..0, forgotten: Ranges::default(), slid };
        window.settle(base);
        window
    }

    /// What it counts generations by.
    pub(super) const fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// The generation of a moment.
    pub(super) fn generation(&self, moment: UnixTime) -> Option<u32> {
        self.timeline.generation(moment)
    }

    /// Whether the window has to move forward for `now`.
    pub(super) fn is_behind(&self, now: UnixTime) -> bool {
        now.as_millis() >= self.stands.end
    }

    /// Whether it has to move back.
    pub(super) fn is_ahead(&self, now: UnixTime) -> bool {
        now.as_millis() < self.stands.start
    }

    /// Where `until`, which is in `generation`, lies.
    pub(super) fn coverage(&self, generation: u32, until: UnixTime) -> Coverage {
        match generation.checked_sub(self.base) {
            None => Coverage::Before,
            Some(GENERATIONS..) => Coverage::Beyond,
            Some(offset) if self.usable >> offset & 1 == 1 => Coverage::Remembered,
            Some(_) => {
                let millis = until.as_millis();
                self.forgotten.mark(millis..=millis).map_or(Coverage::Remembered, Coverage::Forgotten)
            }
        }
    }

    /// Whether entries of `generation` are looked at: what was dropped of one that lies in the window may be among them, which admits no
    /// replay.
    pub(super) const fn holds(&self, generation: u32) -> bool {
        matches!(generation.checked_sub(self.base), Some(0..GENERATIONS))
    }

    /// Moves the window to begin at `base`, forwards or backwards. `drain` empties a generation that falls
    /// out and says whether anything was in it; `mark` is asked for a mark of that afterwards.
    pub(super) fn slide(&mut self, base: u32, drain: impl Fn(u32) -> bool, mark: impl Fn() -> u64) {
        let kept = base..base.saturating_add(GENERATIONS);
        for generation in self.base..self.base.saturating_add(GENERATIONS) {
            if !kept.contains(&generation) && drain(generation) {
                self.note(generation, mark());
            }
        }
        self.settle(base);
    }

    /// Uses all whose `until` lies in this generation only for what is known to be newer than this mark.
    pub(super) fn forget(&mut self, generation: u32, mark: u64) {
        self.note(generation, mark);
        self.mask();
    }

    /// The same for all before it too.
    pub(super) fn forget_to(&mut self, generation: u32, mark: u64) {
        let last = self.timeline.last_millis(generation);
        self.forgotten.insert(Range { first: i64::MIN, last, mark });
        self.mask();
    }

    /// Counts generations by a timeline that was widened from its own. What was dropped stays dropped, and nothing else.
    pub(super) fn widen(&mut self, timeline: Timeline) {
        let base = timeline.take_over(&self.timeline, self.base);
        self.timeline = timeline;
        self.settle(base);
    }

    fn note(&mut self, generation: u32, mark: u64) {
        let (first, last) = (self.timeline.first_millis(generation), self.timeline.last_millis(generation));
        self.forgotten.insert(Range { first, last, mark });
    }

    /// Two slices of patience before moving back: a clock may be mended a little.
    fn settle(&mut self, base: u32) {
        self.base = base;
        let first = |generation| self.timeline.first_millis(generation);
        self.stands = first(base.saturating_sub(2))..first(base.saturating_add(1));
        self.mask();
    }

    fn mask(&mut self) {
        let usable = |offset: &u32| {
            let generation = self.base.saturating_add(*offset);
            let untils = self.timeline.first_millis(generation)..=self.timeline.last_millis(generation);
            self.forgotten.mark(untils).is_none()
        };
        self.usable = (0..GENERATIONS).filter(usable).fold(0, |mask, offset| mask | 1 << offset);
    }
}

/// Ranges of time that do not overlap, in order, at most [`RANGES`].
#[derive(Clone, Debug, Default)]
struct Ranges(Vec<Range>);

/// A time in milliseconds, both ends included: something whose `until` lies in it was dropped, last at this mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: i64,
    last: i64,
    mark: u64,
}

impl Ranges {
    /// The mark of the last drop in this time, if there was one.
    fn mark(&self, time: std::ops::RangeInclusive<i64>) -> Option<u64> {
        let shared = self.0.iter().filter(|range| range.first <= *time.end() && *time.start() <= range.last);
        shared.map(|range| range.mark).max()
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

    fn one(moment: i64, mark: u64) -> Range {
        Range { first: moment, last: moment, mark }
    }

    fn at(moment: i64) -> std::ops::RangeInclusive<i64> {
        moment..=moment
    }

    fn shown(ranges: &Ranges) -> Vec<(i64, i64, u64)> {
        ranges.0.iter().map(|range| (range.first, range.last, range.mark)).collect()
    }

    #[test]
    fn ranges_merge_what_is_near_and_keep_apart_what_is_far() {
        let mut ranges = Ranges::default();
        for moment in [100, 102, 5000, 101, 4999] {
            ranges.insert(one(moment, 1));
        }
        assert_eq!(shown(&ranges), [(100, 102, 1), (4999, 5000, 1)]);
        assert_eq!(
            (ranges.mark(at(101)), ranges.mark(at(103)), ranges.mark(at(4998))),
            (Some(1), None, None)
        );
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
            ranges.insert(one(step * 1000, step.unsigned_abs()));
        }
        assert_eq!(ranges.0.len(), RANGES);
        assert!((1..100).all(|step| ranges.mark(at(step * 1000)) >= Some(step.unsigned_abs())));
    }

    /// Whatever is dropped in whatever order, a moment's mark is never earlier than its last drop.
    #[test]
    fn a_mark_is_never_too_early() {
        let (mut ranges, mut last, mut chance) = (Ranges::default(), [0_u64; 64], 1_u64);
        for mark in 1..5000 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let first = usize::try_from(chance >> 33).unwrap() % 64;
            let end = (first + usize::try_from(chance >> 60).unwrap() % 6).min(63);
            let moment = |place: usize| i64::try_from(place).unwrap() + 1;
            ranges.insert(Range { first: moment(first), last: moment(end), mark });
            last[first..=end].fill(mark);
            for (place, dropped) in last.iter().enumerate() {
                assert!(ranges.mark(at(moment(place))).unwrap_or(0) >= *dropped, "{place} after {mark}");
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

    /// Whatever is widened however often: all of a generation lies in one, the order stays, and the retention has room.
    #[test]
    fn a_widened_timeline_tears_no_generation_apart() {
        let start = UnixTime::from_secs(1_700_000_000);
        for (before, after) in
            [(1, 40), (70, 182), (130, 3610), (130, 1_000_000), (3, 4_000_000), (260, 1000)]
        {
            let older = Timeline::new(Duration::from_secs(before), start);
            let asked = Duration::from_secs(after);
            let newer = older.widened(asked).unwrap();
            assert_eq!(newer.widened(asked), None);
            assert!(newer.longest_retention() >= asked && older.longest_retention() < asked, "{newer:?}");
            let first = older.generation(start).unwrap() - 40;
            for generation in first..first + 200 {
                let place = newer.take_over(&older, generation);
                let (from, to) = (older.first_millis(generation), older.last_millis(generation));
                for millis in [from, from / 2 + to / 2, to] {
                    assert_eq!(
                        newer.generation(UnixTime::from_millis(millis)),
                        Some(place),
                        "{before} {after}"
                    );
                }
            }
        }
    }
}
