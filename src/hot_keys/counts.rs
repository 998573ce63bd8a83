//! Which keys are seen often: a bounded number of counters, most of which belong to nobody.
//!
//! Counters stand in sets of eight, and a key can only have one of its own set. A key that is new there takes the place of one that was seen
//! once, or takes one from the least. So a flood of keys that are seen once each costs what a look at one set costs, and its keys take places
//! from each other: a key that was seen twice stays where it is. No counter says more than its key was seen (but for a collision of
//! 2⁻³² with another key that holds a token and a proof).

use crate::clock::UnixTime;
use crate::jose::Thumbprint;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;

/// How long a count is whole, in milliseconds; after that its half counts on for as long again.
pub(super) const WINDOW: i64 = 10_000;
/// Counters of a set.
const WAYS: usize = 8;
/// Sets for each table that there may be, so that even half of them are sixteen keys for each.
const SETS: usize = 4;
const FEWEST_SETS: usize = 64;

/// The counters.
#[derive(Debug)]
pub(super) struct Counts {
    sets: Box<[Mutex<[Counter; WAYS]>]>,
    /// Nobody can choose keys so that they meet in one set.
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    key: u32,
    window: u32,
    count: u32,
}

impl Counts {
    /// Counters for so many tables.
    pub(super) fn new(tables: usize) -> Self {
        let sets = tables.saturating_mul(SETS).max(FEWEST_SETS).next_power_of_two();
        Self { sets: (0..sets).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Counts a key, and says how often it was seen of late. 0 where another thread counts in the same set just then: that one is lost.
    pub(super) fn count(&self, key: &Thumbprint, now: UnixTime) -> u32 {
        let [key, set] = halves(self.hasher.hash_one(key));
        let place = usize::try_from(set).unwrap_or_default() & (self.sets.len().saturating_sub(1));
        let Some(Ok(mut set)) = self.sets.get(place).map(Mutex::try_lock) else { return 0 };
        count_in(&mut set, key, window(now))
    }
}

/// Counts a key in its set.
fn count_in(set: &mut [Counter; WAYS], key: u32, window: u32) -> u32 {
    if let Some(own) = set.iter_mut().find(|counter| counter.key == key && counter.weight(window) > 0) {
        *own = Counter { key, window, count: own.weight(window).saturating_add(1) };
        return own.count;
    }
    let Some(least) = set.iter_mut().min_by_key(|counter| counter.weight(window)) else { return 0 };
    if least.weight(window) <= 1 {
        *least = Counter { key, window, count: 1 };
        return 1;
    }
    *least = Counter { key: least.key, window, count: least.weight(window).saturating_sub(1) };
    0
}

impl Counter {
    /// What it counts for in this window.
    const fn weight(&self, window: u32) -> u32 {
        match window.wrapping_sub(self.window) {
            0 => self.count,
            1 => self.count / 2,
            _ => 0,
        }
    }
}

/// The number of the window that a moment is in.
pub(super) fn window(now: UnixTime) -> u32 {
    // Only differences matter.
    u32::try_from(now.as_millis().div_euclid(WINDOW) & i64::from(u32::MAX)).unwrap_or_default()
}

fn halves(hash: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn key(number: u64) -> Thumbprint {
        Thumbprint::new(crate::jose::sha256(&[&number.to_be_bytes()]))
    }

    #[test]
    fn a_count_is_halved_once_and_then_forgotten() {
        let counts = Counts::new(1);
        for times in 1..=10 {
            assert_eq!(counts.count(&key(1), NOW), times);
        }
        assert_eq!(counts.count(&key(2), NOW), 1);
        let later = |windows| UnixTime::from_millis(NOW.as_millis() + windows * WINDOW);
        assert_eq!(counts.count(&key(1), later(1)), 6);
        assert_eq!(counts.count(&key(1), later(3)), 1);
    }

    /// 100,000 keys that are seen once each, and one that comes at every hundredth: it counts on as if they were not there.
    #[test]
    fn a_flood_of_fresh_keys_takes_nothing_from_a_key_that_was_seen_twice() {
        let counts = Counts::new(1);
        assert_eq!(counts.sets.len(), FEWEST_SETS);
        let mut most = 0;
        for number in 0..100_000 {
            if number % 100 == 0 || number == 1 {
                most = counts.count(&key(u64::MAX), NOW);
            }
            assert!(counts.count(&key(number), NOW) <= 1);
        }
        assert_eq!(most, 1001);
    }

    #[test]
    fn among_keys_that_are_seen_often_a_new_one_finds_a_place_in_the_end() {
        let mut set = [Counter::default(); WAYS];
        for key in 1..=8 {
            for _ in 0..5 {
                count_in(&mut set, key, 7);
            }
        }
        let tries = (1..).find(|_| count_in(&mut set, 9, 7) == 1);
        assert_eq!(tries, Some(5));
    }
}
