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
}

/// What the window says of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All of it is remembered.
    Remembered,
    /// It was dropped, or lies before the window.
    Forgotten,
    /// It lies beyond the window: no proof can be remembered for so long.
    Beyond,
}

impl Window {
    /// A window that begins at `base`, and nothing forgotten.
    pub(super) fn new(timeline: &Timeline, base: u32) -> Self {
        let mut window = Self { base, usable: 0, stands: 0..0, forgotten: Ranges::default() };
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
    pub(super) fn place(&self, generation: u32) -> Place {
        match generation.checked_sub(self.base) {
            None => Place::Forgotten,
            Some(GENERATIONS..) => Place::Beyond,
            Some(offset) if self.usable >> offset & 1 == 1 => Place::Remembered,
            Some(_) => Place::Forgotten,
        }
    }

    /// Moves the window to begin at `base`, forwards or backwards. `drain` empties a generation that falls
    /// out and says whether anything was in it.
    pub(super) fn slide(&mut self, timeline: &Timeline, base: u32, mut drain: impl FnMut(u32) -> bool) {
        let kept = base..base.saturating_add(GENERATIONS);
        for generation in self.base..self.base.saturating_add(GENERATIONS) {
            if !kept.contains(&generation) && drain(generation) {
                self.forgotten.insert(generation, generation);
            }
        }
        self.settle(timeline, base);
    }

    /// Never uses these generations again.
    pub(super) fn forget(&mut self, generations: std::ops::RangeInclusive<u32>) {
        self.forgotten.insert(*generations.start(), *generations.end());
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
        let usable = |offset: &u32| !self.forgotten.contains(self.base.saturating_add(*offset));
        self.usable = (0..GENERATIONS).filter(usable).fold(0, |mask, offset| mask | 1 << offset);
    }
}

/// Ranges of generations, both ends included, in order, at most [`RANGES`].
#[derive(Debug, Default)]
struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    fn contains(&self, generation: u32) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&generation))
    }

    /// Adds one, and joins neighbours; then the nearest, while there are too many ranges.
    fn insert(&mut self, first: u32, last: u32) {
        self.0.push((first, last));
        self.0.sort_unstable();
        while let Some(at) = self.shortest_gap(self.0.len() > RANGES) {
            let (_, last) = self.0.remove(at.saturating_add(1));
            if let Some(range) = self.0.get_mut(at) {
                range.1 = range.1.max(last);
            }
        }
    }

    /// After which range the shortest gap lies, if it is none or `any` will do.
    fn shortest_gap(&self, any: bool) -> Option<usize> {
        let gaps =
            self.0.iter().zip(self.0.iter().skip(1)).map(|(left, right)| right.0.saturating_sub(left.1));
        let (at, gap) = gaps.enumerate().min_by_key(|&(_, gap)| gap)?;
        (any || gap <= 1).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_what_is_near_and_keep_apart_what_is_far() {
        let mut ranges = Ranges::default();
        for generation in [100, 102, 5000, 101, 4999] {
            ranges.insert(generation, generation);
        }
        assert_eq!(ranges.0, [(100, 102), (4999, 5000)]);
        assert!(ranges.contains(101) && !ranges.contains(103) && !ranges.contains(4998));
    }

    #[test]
    fn too_many_ranges_merge_and_never_lose_one() {
        let mut ranges = Ranges::default();
        for step in 1..100 {
            ranges.insert(step * 1000, step * 1000);
        }
        assert_eq!(ranges.0.len(), RANGES);
        assert!((1..100).all(|step| ranges.contains(step * 1000)));
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
