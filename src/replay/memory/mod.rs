//! The store in memory.
//!
//! # What it promises
//!
//! No id is answered [`Outcome::Fresh`] twice while its proof can be accepted, whatever the clock does and
//! whatever is thrown at the store.
//!
//! # How it forgets
//!
//! Proofs are kept by *generation*: the slice of time, a twelfth of the retention, in which their `until`
//! lies. The window of generations begins with the one that holds the present. When the window moves, a
//! generation that falls out of it is dead at once: its count is taken off, and its entries are from then on
//! free places. It never lives again (see below), so nothing has to be scanned, and nothing is urgent: an
//! insert takes the place of a dead entry that it passes, and removes some more that it passes as well. So an
//! entry is remembered up to its `until`, inclusive, and outlives it by less than one slice.
//!
//! # When the clock steps
//!
//! The window follows the wall clock, because the proofs' dates do: forward with the requests, backwards only
//! with [`MemoryStore::advance`], which is told the present and not when some request came. What makes that
//! safe is one rule: **a generation that was ever dropped with a proof in it is never used again.** If a
//! proof comes whose `until` lies in such a generation, or before the window, the store cannot know it, and
//! answers [`Outcome::Forgotten`]. Two calls with the same id have the same `until`; if the first was
//! `Fresh`, its entry is either still in its generation (`Replayed`), or the generation was dropped
//! (`Forgotten`). There is no third way.
//!
//! One kind of proof is known not to be among what was dropped: one whose nonce was made by this process, and
//! after that. Each drop has a *mark* (see [`super::FirstUse`]), and such a proof is remembered in its generation
//! again, dropped or not. So a clock that was set back, by whatever, costs a client one challenge.
//!
//! The rule is about what was in use, so it challenges few: a step back by less than a proof's life leaves new
//! proofs alone, since their `until` lies beyond everything that was dropped. A clock that ran an hour ahead
//! for a minute and came back leaves behind that minute, an hour from now, if anybody got through in it. Only
//! a clock that was wrong for long, and was believed, challenges for as long as it was ahead; anything shorter
//! would trust a proof that may have been used.
//!
//! The same id can have another `until` after a reload that changed the acceptance window.
//! [`super::Store::complete_from`] is for that. Where a reload has proofs live longer than the window reaches,
//! generations become wider ([`MemoryStore::remember_for`]), by a whole number, so that none is torn apart. What was dropped is told by
//! time and not by generation, because a part of a wider one may have been.
//!
//! A process that starts after the clock was set back knows nothing of its predecessor's time: the journal
//! does, memory cannot, and [`super::Store::take_only_own_until`] is for that.

mod quota;
mod table;
mod window;

use super::subjects::Subjects;
use super::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError, RwLock, RwLockReadGuard};
use super::{Outcome, ReplayKey, Since};
use crate::clock::{Moment, UnixTime};
use crate::jose::Secret;
pub(super) use quota::Quota;
use quota::ring_place;
use std::time::Duration;
use table::{Found, Table, scale};
use window::{Coverage, Window};
pub(super) use window::{GENERATIONS, Timeline};

/// Live proofs in a shard, about: small enough that two requests seldom meet.
const PER_SHARD: usize = 4096;
/// More shards than this gain nothing.
const MOST_SHARDS: usize = 256;

/// Proofs remembered in this process's memory: sharded, growing up to the capacity, expired by generations,
/// never evicting a live one.
///
/// A place takes 20 bytes and a live proof at capacity 30. Room is reserved at the start and memory touched
/// as it fills. An insert takes three short locks: the window's (shared), the shard's and the owner's
/// counter's. It touches a few neighbouring places and two rings of counters; seldom it also doubles its
/// shard, which takes less than 100 us with 8192 places.
#[derive(Debug)]
pub struct MemoryStore {
    pub(super) secret: Secret,
    pub(super) since: Since,
    window: RwLock<Window>,
    shards: Vec<Mutex<Table>>,
    quota: Quota,
    pub(super) subjects: Option<Subjects>,
    counts: Vec<AtomicUsize>,
    len: AtomicUsize,
    capacity: AtomicUsize,
}

impl MemoryStore {
    /// A store for `capacity` live proofs, `per_key_limit` of one key, that begins at `start`. `retention` is
    /// the longest time between a proof's acceptance and its `until`; twice of it is still remembered, and
    /// beyond that the store is [`Outcome::Unavailable`] until `remember_for` has made room.
    pub fn new(capacity: usize, per_key_limit: usize, retention: Duration, start: UnixTime) -> Self {
        Self::with_secret(Secret::random(), capacity, per_key_limit, retention, start)
    }

    /// The same with a secret that outlives the process.
    pub(super) fn with_secret(
        secret: Secret,
        capacity: usize,
        per_key_limit: usize,
        retention: Duration,
        start: UnixTime,
    ) -> Self {
        let shards = (capacity / PER_SHARD).clamp(1, MOST_SHARDS);
        let places = places_per_shard(capacity, shards);
        Self {
            secret,
            since: Since::new(start),
            window: RwLock::new(Window::new(Timeline::new(retention, start), start)),
            shards: std::iter::repeat_with(|| Mutex::new(Table::new(places))).take(shards).collect(),
            quota: Quota::new(per_key_limit),
            subjects: None,
            counts: (0..GENERATIONS).map(|_| AtomicUsize::new(0)).collect(),
            len: AtomicUsize::new(0),
            capacity: capacity.into(),
        }
    }

    /// So many live proofs of one subject, as the caller counts them.
    pub(super) fn limit_subjects(&mut self, limit: usize) {
        let timeline = self.window.get_mut().unwrap_or_else(PoisonError::into_inner).timeline();
        self.subjects = Some(Subjects::new(limit, timeline));
    }

    /// See [`super::Store::check_and_insert`].
    pub fn check_and_insert(&self, key: ReplayKey, until: UnixTime, now: UnixTime) -> Outcome {
        self.check_and_insert_marked(key, 0, until, now.into())
    }

    /// The same for a proof that was not used before this mark.
    pub(super) fn check_and_insert_marked(
        &self,
        key: ReplayKey,
        mark: u64,
        until: UnixTime,
        now: Moment,
    ) -> Outcome {
        self.insert_if(key, mark, until, now, || Ok(()))
    }

    /// The same, if `commit` succeeds: it is called once everything else is decided, before the proof counts
    /// as used, and at most once for all who bring the same proof at the same time.
    pub(super) fn insert_if(
        &self,
        key: ReplayKey,
        mark: u64,
        until: UnixTime,
        now: Moment,
        commit: impl FnOnce() -> Result<(), Outcome>,
    ) -> Outcome {
        let mut window = self.window_at(now);
        let coverage = |window: &Window| {
            window.generation(now.wall)?;
            let generation = window.generation(until)?;
            Some((generation, window.coverage(generation, until)))
        };
        let mut found = coverage(&window);
        if mark > 0 && until >= now.wall && matches!(found, Some((_, Coverage::Before))) {
            drop(window);
            self.slide_back(now);
            window = self.window.read().unwrap_or_else(PoisonError::into_inner);
            found = coverage(&window);
        }
        let Some((generation, coverage)) = found else { return Outcome::Unavailable };
        match coverage {
            Coverage::Remembered => {
                self.insert(&window, key, generation, commit).err().unwrap_or(Outcome::Fresh)
            }
            Coverage::Forgotten(dropped) if mark >= dropped => {
                self.insert(&window, key, generation, commit).err().unwrap_or(Outcome::Fresh)
            }
            // Beyond with a nonce of ours: the clock was set back after the nonce was made. Another nonce will do.
            Coverage::Forgotten(_) | Coverage::Before => Outcome::Forgotten,
            Coverage::Beyond if mark > 0 => Outcome::Forgotten,
            Coverage::Beyond => Outcome::Unavailable,
        }
    }

    /// Takes in a proof that a predecessor accepted, whatever its owner's limit. `false`: there was no room,
    /// and it is not remembered.
    pub(super) fn restore(&self, key: ReplayKey, until: UnixTime) -> bool {
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        let Some(generation) = window.generation(until) else { return false };
        match window.coverage(generation, until) {
            Coverage::Forgotten(_) | Coverage::Before => return true,
            Coverage::Beyond => {
                window.forget(generation, self.since.latest());
                return true;
            }
            Coverage::Remembered => {}
        }
        let alive = |generation| window.holds(generation);
        let Some(mut shard) = self.shard(key) else { return false };
        match shard.find(key.id, alive) {
            Found::Present => true,
            Found::NoRoom => false,
            Found::Absent(place) => {
                let room = self.reserve(generation);
                if room {
                    self.quota.restore(key.owner, generation);
                    shard.put(place, key.id, generation, alive);
                }
                room
            }
        }
    }

    /// What a predecessor dropped is never used again: every generation before the present one, and every one up to `until`, the last that
    /// the predecessor dropped something of.
    pub(super) fn forget_to(&self, until: UnixTime, now: UnixTime) {
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        let expired = window.generation(now).map_or(0, |generation| generation.saturating_sub(1));
        // The whole generation that `until` lies in, also where it is the present one: a part of it is gone.
        let beyond = if until < now { 0 } else { u32::MAX };
        let dropped = window.generation(until).unwrap_or(beyond);
        window.forget_to(expired.max(dropped), self.since.latest());
    }

    /// How many proofs are remembered and not yet expired.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many can be.
    pub fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Sees to it that proofs can be remembered for so long, where they could not: with wider generations, so that as many of them reach
    /// farther. All that is remembered stays, and what was forgotten stays so. Nobody is served meanwhile: it takes about as long as doubling
    /// all shards. Where the retention gets shorter again, generations stay as wide.
    pub(super) fn remember_for(&self, retention: Duration) {
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        let before = window.timeline();
        let Some(timeline) = before.widened(retention) else { return };
        let alive = |generation| window.holds(generation);
        let label = |generation| timeline.take_over(&before, generation);
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        let mut len = 0_usize;
        let mut count = |generation| {
            len = len.saturating_add(1);
            if let Some(count) = self.counts.get(ring_place(generation)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.relabel(alive, label, &mut count);
        }
        self.len.store(len, Ordering::Relaxed);
        self.quota.relabel(alive, label);
        if let Some(subjects) = &self.subjects {
            subjects.widen(timeline);
        }
        window.widen(timeline);
    }

    /// Other limits, from now on. What is remembered stays, also where that is more than there would be room for.
    ///
    /// The shards stay as many as they were: a store that grows far beyond its first capacity has crowded ones, which are slower.
    pub(super) fn limit(&self, capacity: usize, per_key_limit: usize) {
        let places = places_per_shard(capacity, self.shards.len());
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.extend_to(places, |generation| window.holds(generation));
        }
        self.quota.set_limit(per_key_limit);
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Moves the window to `now`, which must have been read just now: also backwards, if the clock has.
    pub fn advance(&self, now: impl Into<Moment>) {
        let now = now.into();
        let stands = |window: &Window| !window.is_behind(now.wall) && !window.is_ahead(now.wall);
        if !stands(&self.window.read().unwrap_or_else(PoisonError::into_inner)) {
            self.slide(now, stands);
        }
    }

    /// The window, moved forward to `now` if need be, and held still while the guard lives: no generation is
    /// dropped under an insert.
    ///
    /// It is not moved back here: this `now` was read when the request came, and the request may have waited since. A
    /// window that went back with it would drop what everybody else is using.
    fn window_at(&self, now: Moment) -> RwLockReadGuard<'_, Window> {
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        if !window.is_behind(now.wall) {
            return window;
        }
        drop(window);
        self.slide(now, |window| !window.is_behind(now.wall));
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the window back to where a clock that was set back is, for a proof that waits for it: unless it was moved since `now` was read.
    fn slide_back(&self, now: Moment) {
        self.slide(now, |window| now.steady < window.slid);
    }

    /// Moves the window to `now` unless it `stands` already.
    fn slide(&self, now: Moment, stands: impl FnOnce(&Window) -> bool) {
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        let Some(base) = window.generation(now.wall) else { return };
        if !stands(&window) {
            window.slid = now.steady;
            window.slide(base, |generation| self.drain(generation), || self.since.next());
        }
    }

    /// Takes a generation's proofs off the count. Whether there were any.
    fn drain(&self, generation: u32) -> bool {
        let gone =
            self.counts.get(ring_place(generation)).map_or(0, |count| count.swap(0, Ordering::Relaxed));
        self.len.fetch_sub(gone, Ordering::Relaxed);
        gone > 0
    }

    fn insert(
        &self,
        window: &Window,
        key: ReplayKey,
        generation: u32,
        commit: impl FnOnce() -> Result<(), Outcome>,
    ) -> Result<(), Outcome> {
        let alive = |generation| window.holds(generation);
        let mut shard = self.shard(key).ok_or(Outcome::Unavailable)?;
        let place = match shard.find(key.id, alive) {
            Found::Present => return Err(Outcome::Replayed),
            Found::NoRoom => return Err(Outcome::Full),
            Found::Absent(place) => place,
        };
        self.quota.admit(key.owner, generation, alive, || {
            if !self.reserve(generation) {
                return Err(Outcome::Full);
            }
            commit().inspect_err(|_| self.unreserve(generation))
        })?;
        shard.put(place, key.id, generation, alive);
        Ok(())
    }

    /// Breaks what this store is for.
    #[cfg(test)]
    pub(super) fn forget_all_without_saying_so(&self) {
        for shard in &self.shards {
            let capacity = self.capacity.load(Ordering::Relaxed);
            *shard.lock().unwrap() = Table::new(places_per_shard(capacity, self.shards.len()));
        }
    }

    fn shard(&self, key: ReplayKey) -> Option<MutexGuard<'_, Table>> {
        let shard = self.shards.get(scale(key.id >> 64, self.shards.len()))?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts one more, unless the store is full.
    fn reserve(&self, generation: u32) -> bool {
        let one_more = |len: usize| (len < self.capacity()).then(|| len.saturating_add(1));
        if self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return false;
        }
        if let Some(count) = self.counts.get(ring_place(generation)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn unreserve(&self, generation: u32) {
        self.len.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = self.counts.get(ring_place(generation)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Half as many places again as live proofs, for short searches, and room for the unevenness of chance: eight
/// standard deviations.
fn places_per_shard(capacity: usize, shards: usize) -> usize {
    let mean = capacity.div_ceil(shards.max(1));
    let uneven = mean.isqrt().saturating_mul(8);
    mean.saturating_add(mean / 2).saturating_add(uneven).saturating_add(16)
}

#[cfg(test)]
mod tests;
