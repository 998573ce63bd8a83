//! How many live proofs each owner has: never counted too low, in a fixed amount of memory.

use super::window::GENERATIONS;
use crate::replay::Outcome;
use std::sync::{Mutex, PoisonError};

const STRIPES: usize = 64;
/// Counters in a row of a stripe.
const COLUMNS: usize = 512;
/// Owners share counters; each has two, in two rows, and the smaller counts. Two owners share both once in
/// 2^24.
const ROWS: usize = 2;

/// A count-min sketch of (owner, generation): whoever shares both counters of an owner at the limit is
/// refused with it, one client in millions; nobody is ever allowed more than the limit, and a flood of new
/// owners costs no memory.
#[derive(Debug)]
pub(in crate::replay) struct Quota {
    stripes: Vec<Mutex<Stripe>>,
    limit: usize,
}

/// `[generation, count]` for each row, column and generation of the ring. A cell of another generation counts
/// nothing: nothing is ever cleared.
type Stripe = Vec<[u32; 2]>;

impl Quota {
    pub(in crate::replay) fn new(limit: usize) -> Self {
        let ring = usize::try_from(GENERATIONS).unwrap_or(1);
        let stripe = || Mutex::new(vec![[0, 0]; ROWS * COLUMNS * ring]);
        Self { stripes: std::iter::repeat_with(stripe).take(STRIPES).collect(), limit }
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
        let count = columns.iter().map(|column| live(&stripe, *column, &alive)).min().unwrap_or(usize::MAX);
        if count >= self.limit {
            return Err(Outcome::OverQuota);
        }
        reserve()?;
        count_one(&mut stripe, columns, generation);
        Ok(())
    }

    /// Whether `owner` has room for one more.
    pub(in crate::replay) fn has_room(&self, owner: u64, alive: impl Fn(u32) -> bool) -> bool {
        let (stripe, columns) = places(owner);
        let Some(stripe) = self.stripes.get(stripe) else { return false };
        let stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        columns.iter().any(|column| live(&stripe, *column, &alive) < self.limit)
    }

    /// Counts one more, limit or not.
    pub(in crate::replay) fn restore(&self, owner: u64, generation: u32) {
        let (stripe, columns) = places(owner);
        if let Some(stripe) = self.stripes.get(stripe) {
            count_one(&mut stripe.lock().unwrap_or_else(PoisonError::into_inner), columns, generation);
        }
    }
}

fn count_one(stripe: &mut Stripe, columns: [usize; ROWS], generation: u32) {
    for column in columns {
        if let Some([mark, count]) = cells_mut(stripe, column).get_mut(ring_place(generation)) {
            *count = if *mark == generation { count.saturating_add(1) } else { 1 };
            *mark = generation;
        }
    }
}

/// An owner's stripe, and its column in each row. The owner is a keyed hash already: its bits are chance
/// enough.
fn places(owner: u64) -> (usize, [usize; ROWS]) {
    let bits = |shift: u32, below: usize| usize::try_from(owner >> shift).unwrap_or(0) % below;
    (bits(0, STRIPES), [bits(6, COLUMNS), COLUMNS + bits(15, COLUMNS)])
}

/// The sum of a column's live generations.
fn live(stripe: &Stripe, column: usize, alive: impl Fn(u32) -> bool) -> usize {
    let counts =
        cells(stripe, column).iter().filter(|[mark, _]| *mark != 0 && alive(*mark)).map(|[_, count]| *count);
    counts.fold(0, |sum, count| sum.saturating_add(usize::try_from(count).unwrap_or(usize::MAX)))
}

fn span(column: usize) -> std::ops::Range<usize> {
    let ring = usize::try_from(GENERATIONS).unwrap_or(1);
    column * ring..(column + 1) * ring
}

fn cells(stripe: &Stripe, column: usize) -> &[[u32; 2]] {
    stripe.get(span(column)).unwrap_or_default()
}

fn cells_mut(stripe: &mut Stripe, column: usize) -> &mut [[u32; 2]] {
    stripe.get_mut(span(column)).unwrap_or_default()
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
}
