//! How many live proofs each owner has: never counted too low, in a fixed amount of memory.

use super::window::GENERATIONS;
use crate::replay::Outcome;
use crate::replay::sync::{AtomicUsize, Mutex, Ordering, PoisonError};

const STRIPES: usize = 64;
/// Counters in a row of a stripe.
const COLUMNS: usize = 512;
/// Owners share counters; each has two, in two rows, and the smaller counts. Two owners share both once in
/// 2^24.
const ROWS: usize = 2;

/// A count-min sketch of (owner, generation): whoever shares both counters of an owner at the limit is
/// refused with it, one client in millions; nobody is ever allowed more than the limit, and a flood of new
/// owners costs no memory beyond the 16 MiB that all counters take. Memory is touched as owners come, 512
/// bytes for each.
#[derive(Debug)]
pub(in crate::replay) struct Quota {
    stripes: Vec<Mutex<Stripe>>,
    limit: AtomicUsize,
}

/// The counters of some owners. A column gets its ring of them when it is first counted in, one ring after
/// the other, so that those in use lie together.
#[derive(Clone, Debug)]
struct Stripe {
    /// Which ring a column has, counted from 1; 0 is none.
    rings: Vec<u16>,
    /// How many are given.
    given: u16,
    /// `[generation, count]` for each ring and generation in it. A cell of another generation counts nothing:
    /// nothing is ever cleared. Room for all is reserved, and touched as rings are given.
    cells: Vec<[u32; 2]>,
}

impl Quota {
    pub(in crate::replay) fn new(limit: usize) -> Self {
        let stripe = || Mutex::new(Stripe::new());
        Self { stripes: std::iter::repeat_with(stripe).take(STRIPES).collect(), limit: limit.into() }
    }

    /// Counts one more proof of `owner` in `generation`, if it has room left and `reserve` agrees; nobody
    /// else counts for it meanwhile.
    pub(super) fn admit(
        &self,
        owner: u64,
        generation: u32,
        alive: impl Fn(u32) -> bool,
        reserve: impl FnOnce() -> Result<(), Outcome>,
    ) -> Result<(), Outcome> {
        let (stripe, columns) = places(owner);
        let stripe = self.stripes.get(stripe).ok_or(Outcome::Unavailable)?;
        let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if !stripe.has_room(columns, self.limit.load(Ordering::Relaxed), alive) {
            return Err(Outcome::OverQuota);
        }
        reserve()?;
        stripe.count_one(columns, generation);
        Ok(())
    }

    /// Whether `owner` has room for one more.
    pub(in crate::replay) fn has_room(&self, owner: u64, alive: impl Fn(u32) -> bool) -> bool {
        let (stripe, columns) = places(owner);
        let Some(stripe) = self.stripes.get(stripe) else { return false };
        let stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        stripe.has_room(columns, self.limit.load(Ordering::Relaxed), alive)
    }

    /// Another limit, from now on. What is counted already counts.
    pub(in crate::replay) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Counts what is alive under other generations from now on.
    pub(in crate::replay) fn relabel(&self, alive: impl Fn(u32) -> bool, label: impl Fn(u32) -> u32) {
        for stripe in &self.stripes {
            stripe.lock().unwrap_or_else(PoisonError::into_inner).relabel(&alive, &label);
        }
    }

    /// Counts one more, limit or not.
    pub(in crate::replay) fn restore(&self, owner: u64, generation: u32) {
        let (stripe, columns) = places(owner);
        if let Some(stripe) = self.stripes.get(stripe) {
            stripe.lock().unwrap_or_else(PoisonError::into_inner).count_one(columns, generation);
        }
    }
}

impl Stripe {
    fn new() -> Self {
        let cells = Vec::with_capacity(ROWS * COLUMNS * ring_len());
        Self { rings: vec![0; ROWS * COLUMNS], given: 0, cells }
    }

    /// Whether the smaller of the counters is below `limit`. What a ring holds in all, expired or not, is no
    /// less than what lives of it, and settles it for nearly everybody.
    fn has_room(&self, columns: [usize; ROWS], limit: usize, alive: impl Fn(u32) -> bool) -> bool {
        columns.into_iter().any(|column| {
            let ring = self.ring(column);
            sum(ring, |_| true) < limit || sum(ring, &alive) < limit
        })
    }

    fn count_one(&mut self, columns: [usize; ROWS], generation: u32) {
        for column in columns {
            add(self.ring_mut(column), generation, 1);
        }
    }

    fn relabel(&mut self, alive: impl Fn(u32) -> bool, label: impl Fn(u32) -> u32) {
        for ring in 1..=self.given {
            let cells = self.cells.get_mut(span(ring)).unwrap_or_default();
            let mut before: Vec<[u32; 2]> = cells.iter().filter(|[mark, _]| alive(*mark)).copied().collect();
            // Of those that would share a cell the latest counts.
            before.sort_unstable();
            cells.fill([0, 0]);
            for [mark, count] in before {
                add(cells, label(mark), count);
            }
        }
    }

    /// A column's counters: none, before it is counted in.
    fn ring(&self, column: usize) -> &[[u32; 2]] {
        let ring = self.rings.get(column).copied().unwrap_or(0);
        self.cells.get(span(ring)).unwrap_or_default()
    }

    /// The same, which it is given if it has none. There are as many as columns.
    fn ring_mut(&mut self, column: usize) -> &mut [[u32; 2]] {
        let Some(ring) = self.rings.get_mut(column) else { return &mut [] };
        if *ring == 0 {
            self.given = self.given.saturating_add(1);
            *ring = self.given;
        }
        let span = span(*ring);
        if self.cells.len() < span.end {
            // Within what was reserved.
            self.cells.resize(span.end, [0, 0]);
        }
        self.cells.get_mut(span).unwrap_or_default()
    }
}

/// Counts so many of a generation in a ring.
fn add(ring: &mut [[u32; 2]], generation: u32, more: u32) {
    if let Some([mark, count]) = ring.get_mut(ring_place(generation)) {
        *count = if *mark == generation { count.saturating_add(more) } else { more };
        *mark = generation;
    }
}

/// An owner's stripe, and its column in each row. The owner is a keyed hash already: its bits are chance
/// enough.
fn places(owner: u64) -> (usize, [usize; ROWS]) {
    let bits = |shift: u32, below: usize| usize::try_from(owner >> shift).unwrap_or(0) % below;
    (bits(0, STRIPES), [bits(6, COLUMNS), COLUMNS + bits(15, COLUMNS)])
}

/// The sum of a ring's generations that are `alive`.
fn sum(ring: &[[u32; 2]], alive: impl Fn(u32) -> bool) -> usize {
    let counts = ring.iter().filter(|[mark, _]| alive(*mark)).map(|[_, count]| u64::from(*count));
    usize::try_from(counts.sum::<u64>()).unwrap_or(usize::MAX)
}

/// Where the cells of a ring lie: nowhere, if it is 0.
fn span(ring: u16) -> std::ops::Range<usize> {
    let end = usize::from(ring) * ring_len();
    end.saturating_sub(ring_len())..end
}

fn ring_len() -> usize {
    usize::try_from(GENERATIONS).unwrap_or(1)
}

/// A generation's place in the ring; all that are live at once have different ones.
pub(super) fn ring_place(generation: u32) -> usize {
    usize::try_from(generation % GENERATIONS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(quota: &Quota, owner: u64, generation: u32) -> Result<(), Outcome> {
        quota.admit(owner, generation, |_| true, || Ok(()))
    }

    #[test]
    fn an_owner_has_its_limit_and_others_have_theirs() {
        let quota = Quota::new(3);
        for generation in [10, 11, 11] {
            assert_eq!(admit(&quota, 7, generation), Ok(()));
        }
        assert_eq!(admit(&quota, 7, 12), Err(Outcome::OverQuota));
        assert_eq!(admit(&quota, 8, 12), Ok(()));
        assert_eq!(quota.admit(7, 12, |generation| generation > 10, || Ok(())), Ok(()), "10 is gone");
    }

    #[test]
    fn what_finds_no_room_is_not_counted() {
        let quota = Quota::new(1);
        assert_eq!(quota.admit(7, 1, |_| true, || Err(Outcome::Full)), Err(Outcome::Full));
        assert_eq!(admit(&quota, 7, 1), Ok(()));
    }

    #[test]
    fn sharing_one_counter_with_a_flooder_does_no_harm() {
        let quota = Quota::new(2);
        let (flooder, neighbour) = (1 << 6, 1 << 6 | 1 << 15);
        while admit(&quota, flooder, 1).is_ok() {}
        assert_eq!(admit(&quota, neighbour, 1), Ok(()));
    }

    #[test]
    fn every_column_can_have_its_counters_and_what_is_expired_is_told_from_what_lives() {
        let quota = Quota::new(4);
        let columns = u64::try_from(COLUMNS).unwrap();
        let owners = || (0..columns).map(|column| column << 6 | column << 15);
        for generation in [1, 1, 2, 3] {
            assert!(owners().all(|owner| admit(&quota, owner, generation).is_ok()));
        }
        assert!(owners().all(|owner| admit(&quota, owner, 4) == Err(Outcome::OverQuota)));
        let alive = |generation| generation > 1;
        assert!(owners().all(|owner| quota.has_room(owner, alive)));
        for admitted in [Ok(()), Ok(()), Err(Outcome::OverQuota)] {
            assert!(owners().all(|owner| quota.admit(owner, 4, alive, || Ok(())) == admitted));
        }
    }
}
