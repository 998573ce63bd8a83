//! One shard: an open-addressing table of ids and the generation each belongs to.
//!
//! # How it grows
//!
//! All of its final size is reserved at the start, which the operating system backs with memory page by page
//! as it is touched. The table is a prefix of that: it doubles in place when it is crowded, until it is the
//! whole. So what is not used costs nothing, no smaller table is left behind, and few entries share few pages.
//!
//! Doubling homes every living entry of the shard anew, under its lock: 5 to 10 ns each, so up to 70 us for
//! the step from 8192 places. While it stays as full as it was, a table takes each step once. The living are
//! copied out before the table is emptied, and put back before the lock is given up: nobody sees it between.
//!
//! # How it is cleaned
//!
//! No place is visited for cleaning alone. A search takes the first dead place on its way for the new entry
//! and removes up to eight of the dead behind it; doubling leaves all of them behind. A dead entry that no
//! search passes is in nobody's way. An insert fills one place and frees as many as it passed dead ones, so
//! their number settles where that is one: with three fifths of the places living, at about a sixth of them.

/// Places of a table at first.
const FIRST_SIZE: usize = 64;
/// How many of the dead a search removes.
const CLEANED: usize = 8;

/// Ids with linear probing.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// An id, from its low word up, and its generation, which is 0 where there is none. One allocation,
    /// because a small one would be zeroed by hand, and all of its pages touched at the start.
    places: Vec<[u32; 5]>,
    /// How many of them, from the first on, are the table now. Nothing was ever written behind.
    size: usize,
    /// How many places of the table are taken, by the living or the dead. Less than `size` but for a table of
    /// its final size.
    taken: usize,
}

/// Where an id belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is here.
    Present,
    /// It is not; this place is free or dead.
    Absent(usize),
    /// It is not, and no place is free: the table has its final size, and all of it lives.
    NoRoom,
}

impl Table {
    /// An empty table that grows up to so many places.
    pub(super) fn new(places: usize) -> Self {
        Self::starting(FIRST_SIZE, places)
    }

    fn starting(size: usize, places: usize) -> Self {
        Self { places: vec![[0; 5]; places], size: size.min(places), taken: 0 }
    }

    /// Lets it grow up to so many places; it never shrinks.
    pub(super) fn extend_to(&mut self, places: usize, alive: impl Fn(u32) -> bool) {
        if places > self.places.len() {
            // Anew, because what is not used of it costs nothing then.
            let mut longer = vec![[0; 5]; places];
            longer.iter_mut().zip(&self.places).take(self.size).for_each(|(to, from)| *to = *from);
            self.places = longer;
            if self.taken >= crowded(self.size) {
                // One of its final size may be full, and nothing would be put into it that makes it grow.
                self.rebuild(alive);
            }
        }
    }

    /// Looks for `id`, and removes some of the dead on the way. A dead entry that is met before it is removed
    /// counts as present: a longer memory never admits a replay.
    pub(super) fn find(&mut self, id: u128, alive: impl Fn(u32) -> bool) -> Found {
        self.search(id, &alive).unwrap_or_else(|dead| {
            let Some(dead) = dead else { return Found::NoRoom };
            // With one place free, searches end before they have come around, and can clean.
            self.remove(dead);
            self.search(id, &alive).unwrap_or(Found::NoRoom)
        })
    }

    /// The error: it is not here and no place is free; this one is dead.
    ///
    /// The first dead place on the way is what a new entry takes; of the dead behind it, some are removed.
    /// That moves entries only between there and the next free place, which lies ahead: what was looked at
    /// stays as it was.
    fn search(&mut self, id: u128, alive: impl Fn(u32) -> bool) -> Result<Found, Option<usize>> {
        let wanted = words(id);
        let mut place = self.home(id);
        let mut dead = None;
        let mut to_clean = if self.taken < self.size { CLEANED } else { 0 };
        let mut ahead = self.size;
        while ahead > 0 {
            let [a, b, c, d, generation] = self.place(place);
            if generation == 0 {
                return Ok(Found::Absent(dead.unwrap_or(place)));
            }
            if [a, b, c, d] == wanted {
                return Ok(Found::Present);
            }
            if !alive(generation) {
                if dead.is_some() && to_clean > 0 {
                    // What moves in from behind is looked at next.
                    self.remove(place);
                    to_clean = to_clean.saturating_sub(1);
                    continue;
                }
                dead = dead.or(Some(place));
            }
            place = self.after(place);
            ahead = ahead.saturating_sub(1);
        }
        Err(dead)
    }

    /// Writes `id`, of a generation that is alive, to the place that [`Table::find`] gave just now, and grows
    /// if that was one too many. Places are others from then on.
    pub(super) fn put(&mut self, place: usize, id: u128, generation: u32, alive: impl Fn(u32) -> bool) {
        let [a, b, c, d] = words(id);
        if self.generation(place) == 0 {
            self.taken = self.taken.saturating_add(1);
        }
        self.set(place, [a, b, c, d, generation]);
        if self.taken >= crowded(self.size) && self.size < self.places.len() {
            self.rebuild(alive);
        }
    }

    /// Gives each of the living another generation, which is shown, and forgets the dead.
    pub(super) fn relabel(
        &mut self,
        alive: impl Fn(u32) -> bool,
        label: impl Fn(u32) -> u32,
        mut show: impl FnMut(u32),
    ) {
        let mut living = self.living(alive);
        for [.., generation] in &mut living {
            *generation = label(*generation);
            show(*generation);
        }
        self.home_anew(living);
    }

    /// Homes the living anew, in a table of twice the size; of the same, if half of what crowded it is dead.
    fn rebuild(&mut self, alive: impl Fn(u32) -> bool) {
        let living = self.living(alive);
        if living.len() > crowded(self.size) / 2 {
            self.size = self.size.saturating_mul(2).min(self.places.len());
        }
        self.home_anew(living);
    }

    fn living(&self, alive: impl Fn(u32) -> bool) -> Vec<[u32; 5]> {
        let mut living = Vec::with_capacity(self.taken);
        let entries = self.places.iter().take(self.size);
        living.extend(entries.filter(|[.., generation]| *generation != 0 && alive(*generation)).copied());
        living
    }

    fn home_anew(&mut self, living: Vec<[u32; 5]>) {
        self.taken = living.len();
        // Written before they are read: memory that was only read is given twice, empty and then to write.
        self.places.iter_mut().take(self.size).for_each(|place| *place = [0; 5]);
        for entry in living {
            let mut place = self.home_of(entry);
            while self.generation(place) != 0 {
                place = self.after(place);
            }
            self.set(place, entry);
        }
    }

    /// Empties `place` and closes the gap, so that no search stops short: entries behind it move up if their
    /// way led through it.
    fn remove(&mut self, place: usize) {
        let mut gap = place;
        let mut place = self.after(gap);
        while place != gap {
            let entry = self.place(place);
            let [.., generation] = entry;
            if generation == 0 {
                break;
            }
            let home = self.home_of(entry);
            if self.distance(home, place) >= self.distance(gap, place) {
                self.set(gap, entry);
                gap = place;
            }
            place = self.after(place);
        }
        self.set(gap, [0; 5]);
        self.taken = self.taken.saturating_sub(1);
    }

    /// Where a search for `id` begins: its low half as a fraction of the table.
    fn home(&self, id: u128) -> usize {
        scale(id & u128::from(u64::MAX), self.size)
    }

    fn home_of(&self, [a, b, ..]: [u32; 5]) -> usize {
        self.home(u128::from(b) << 32 | u128::from(a))
    }

    /// How far `to` is behind `from`, around the end.
    const fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to.wrapping_sub(from) } else { to.wrapping_add(self.size).wrapping_sub(from) }
    }

    const fn after(&self, place: usize) -> usize {
        let next = place.wrapping_add(1);
        if next < self.size { next } else { 0 }
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

/// How many taken places are too many for so many: seven eighths. Less than three quarters makes no insert
/// faster, since tables that are half the size lie closer together.
const fn crowded(size: usize) -> usize {
    size.saturating_sub(size / 8)
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

    /// Puts `id` in, unless it is there or there is no room.
    fn insert(table: &mut Table, id: u128, generation: u32, alive: impl Fn(u32) -> bool) -> Found {
        let found = table.find(id, &alive);
        if let Found::Absent(place) = found {
            table.put(place, id, generation, alive);
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

        /// Whatever is inserted, dies and is cleaned, and however the table grows: the living are found, and
        /// there is room until every place of the final size lives.
        #[test]
        fn the_living_are_always_found(
            ops in proptest::collection::vec((0_u64..60, 1_u32..6), 1..400),
            first in 1_usize..9,
            places in 8_usize..50,
        ) {
            let mut table = Table::starting(first, places);
            let mut model: HashMap<u128, u32> = HashMap::new();
            let (mut oldest, mut most) = (1, 0);
            for (seed, generation) in ops {
                // Few homes: long runs, and runs around the end.
                let id = u128::from((seed % 7) << 61) << 1 | u128::from(seed) << 70;
                oldest = oldest.max(if seed == 0 { generation } else { 0 });
                let alive = |generation: u32| generation >= oldest;
                if alive(generation) {
                    let living = model.values().filter(|generation| alive(**generation)).count();
                    match insert(&mut table, id, generation, alive) {
                        // Dead or alive, it was here.
                        Found::Present => prop_assert!(model.contains_key(&id)),
                        Found::Absent(_) => {
                            prop_assert!(!model.get(&id).is_some_and(|generation| alive(*generation)));
                            prop_assert!(living < places);
                            model.insert(id, generation);
                            most = most.max(living + 1);
                        }
                        Found::NoRoom => prop_assert_eq!(living, places),
                    }
                }
                let taken = |places: &[[u32; 5]]| places.iter().filter(|[.., mark]| *mark != 0).count();
                prop_assert_eq!(taken(&table.places[..table.size]), table.taken);
                prop_assert_eq!(taken(&table.places[table.size..]), 0);
                prop_assert!(table.taken < table.size || table.size == places);
                prop_assert!(table.size <= first.max((most + 1) * 16 / 3), "grown for {}", most);
                for (id, _) in model.iter().filter(|(_, generation)| alive(**generation)) {
                    // A search may clean: each of its own.
                    prop_assert_eq!(table.clone().find(*id, alive), Found::Present);
                }
            }
        }
    }

    /// Proofs come evenly and live for twelve generations: how large the table gets, and how much of it is
    /// taken, after many such lives.
    fn settled(living: u64, places: usize) -> (usize, usize) {
        let mut table = Table::new(places);
        for n in 0..living * 30 {
            let now = u32::try_from(n * 12 / living).unwrap() + 1;
            let id = u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15).swap_bytes().wrapping_mul(0x94D0_49BB));
            let id = id | u128::from(n) << 64;
            assert_ne!(insert(&mut table, id, now + 12, |generation| generation > now), Found::NoRoom);
        }
        (table.size, table.taken)
    }

    #[test]
    fn the_dead_do_not_pile_up() {
        let (size, taken) = settled(4096, 6672);
        assert_eq!(size, 6672);
        assert!(taken < 5400, "{taken} of {size}, with 4096 living");
    }

    #[test]
    fn a_table_with_few_living_stays_small() {
        assert_eq!(settled(20, 6672).0, 64);
        assert!(settled(300, 6672).0 <= 1024);
    }

    #[test]
    fn a_full_table_of_the_dead_recovers() {
        let mut table = Table::starting(4, 100);
        for id in 0..100 {
            assert_ne!(insert(&mut table, id << 57, 1, |_| true), Found::NoRoom);
        }
        assert_eq!((table.size, table.taken), (100, 100));
        for id in 100..200 {
            assert_ne!(insert(&mut table, id << 57, 2, |generation| generation > 1), Found::NoRoom);
        }
        assert!((100..200).all(|id| table.find(id << 57, |_| true) == Found::Present));
    }

    #[test]
    fn a_full_table_has_no_room_and_still_knows_what_it_holds() {
        let mut table = Table::new(4);
        for id in 0..4 {
            assert_ne!(insert(&mut table, id, 1, |_| true), Found::NoRoom);
        }
        assert_eq!(table.find(9, |_| true), Found::NoRoom);
        assert_eq!(table.find(3, |_| true), Found::Present);
    }
}
