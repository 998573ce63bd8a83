//! One shard: an open-addressing table of ids and the generation each belongs to.

/// How many places every insert cleans. A dead entry waits for at most `places / SWEPT` inserts, while its
/// place can be taken at any time.
const SWEPT: usize = 8;

/// Ids with linear probing. The places are allocated at once and zeroed by the operating system, page by page
/// as they are touched.
#[derive(Debug)]
pub(super) struct Table {
    /// An id, from its low word up, and its generation, which is 0 where there is none. One allocation, because a
    /// small one would be zeroed by hand, and all of its pages touched at the start.
    places: Vec<[u32; 5]>,
    /// Where sweeping goes on.
    cursor: usize,
}

/// Where an id belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is here.
    Present,
    /// It is not; this place is free or dead.
    Absent(usize),
    /// It is not, and no place is free.
    NoRoom,
}

impl Table {
    pub(super) fn new(places: usize) -> Self {
        Self { places: vec![[0; 5]; places], cursor: 0 }
    }

    /// Looks for `id`. An entry that is dead but not yet swept counts as present: a longer memory never
    /// admits a replay.
    pub(super) fn find(&self, id: u128, alive: impl Fn(u32) -> bool) -> Found {
        let home = self.home(id);
        let (before, after) = (0..home, home..self.places.len());
        let wanted = words(id);
        let mut dead = None;
        for place in after.chain(before) {
            let [a, b, c, d, generation] = self.place(place);
            if generation == 0 {
                return Found::Absent(dead.unwrap_or(place));
            }
            if [a, b, c, d] == wanted {
                return Found::Present;
            }
            if dead.is_none() && !alive(generation) {
                dead = Some(place);
            }
        }
        dead.map_or(Found::NoRoom, Found::Absent)
    }

    /// Writes `id` to the place that [`Table::find`] gave.
    pub(super) fn put(&mut self, place: usize, id: u128, generation: u32) {
        let [a, b, c, d] = words(id);
        self.set(place, [a, b, c, d, generation]);
    }

    /// Removes the dead among the next few places.
    pub(super) fn sweep(&mut self, alive: impl Fn(u32) -> bool) {
        for _ in 0..SWEPT {
            let generation = self.generation(self.cursor);
            if generation != 0 && !alive(generation) {
                // What moves in from behind may be dead too: the cursor stays.
                self.remove(self.cursor);
            } else {
                self.cursor = self.after(self.cursor);
            }
        }
    }

    /// Empties `place` and closes the gap, so that no search stops short: entries behind it move up if their
    /// way led through it.
    fn remove(&mut self, place: usize) {
        let mut gap = place;
        let mut place = self.after(gap);
        while place != gap {
            let entry = self.place(place);
            let [a, b, _, _, generation] = entry;
            if generation == 0 {
                break;
            }
            let home = self.home(u128::from(b) << 32 | u128::from(a));
            if self.distance(home, place) >= self.distance(gap, place) {
                self.set(gap, entry);
                gap = place;
            }
            place = self.after(place);
        }
        self.set(gap, [0; 5]);
    }

    /// Where a search for `id` begins: its low half as a fraction of the table.
    fn home(&self, id: u128) -> usize {
        scale(id & u128::from(u64::MAX), self.places.len())
    }

    /// How far `to` is behind `from`, around the end.
    const fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to.wrapping_sub(from) } else { to.wrapping_add(self.places.len()).wrapping_sub(from) }
    }

    const fn after(&self, place: usize) -> usize {
        let next = place.wrapping_add(1);
        if next < self.places.len() { next } else { 0 }
    }

    fn generation(&self, place: usize) -> u32 {
        let [.., generation] = self.place(place);
        generation
    }

    fn place(&self, place: usize) -> [u32; 5] {
        self.places.get(place).copied().unwrap_or_default()
    }

    fn set(&mut self, place: usize, entry: [u32; 5]) {
        if let Some(to) = self.places.get_mut(place) {
            *to = entry;
        }
    }
}

/// The words of an id, the lowest first.
fn words(id: u128) -> [u32; 4] {
    let word = |shift: u32| u32::try_from(id >> shift & u128::from(u32::MAX)).unwrap_or_default();
    [word(0), word(32), word(64), word(96)]
}

/// `fraction` of 2^64, of `whole`: an even spread without a division.
pub(super) fn scale(fraction: u128, whole: usize) -> usize {
    let whole = u128::try_from(whole).unwrap_or(u128::from(u64::MAX));
    usize::try_from(fraction.saturating_mul(whole) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Whatever is inserted, killed and swept, the living are found and the dead make room.
        #[test]
        fn the_living_are_always_found(ops in proptest::collection::vec((0_u64..40, 1_u32..6), 1..400)) {
            let mut table = Table::new(29);
            let mut model: HashMap<u128, u32> = HashMap::new();
            let mut oldest = 1;
            for (seed, generation) in ops {
                // Few homes: long runs, and runs around the end.
                let id = u128::from((seed % 7) << 61) << 1 | u128::from(seed) << 70;
                oldest = oldest.max(if seed == 0 { generation } else { 0 });
                let alive = |generation: u32| generation >= oldest;
                model.retain(|_, generation| *generation >= oldest);
                if alive(generation) && model.len() < 20 {
                    match table.find(id, alive) {
                        Found::Present => {}
                        Found::Absent(place) => {
                            prop_assert!(!model.contains_key(&id));
                            table.put(place, id, generation);
                            model.insert(id, generation);
                        }
                        Found::NoRoom => prop_assert!(false, "room for 29"),
                    }
                }
                table.sweep(alive);
                for id in model.keys() {
                    prop_assert_eq!(table.find(*id, alive), Found::Present);
                }
            }
        }
    }

    #[test]
    fn a_full_table_has_no_room_and_still_knows_what_it_holds() {
        let mut table = Table::new(4);
        for id in 0..4 {
            let Found::Absent(place) = table.find(id, |_| true) else { panic!("room") };
            table.put(place, id, 1);
        }
        assert_eq!(table.find(9, |_| true), Found::NoRoom);
        assert_eq!(table.find(3, |_| true), Found::Present);
    }
}
