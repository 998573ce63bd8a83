//! The verb and what belongs to it, whichever store it is.

use super::{
    FirstUse, JournalStore, MemoryStore, OpenError, Outcome, RedisStore, ReplayKey, ReplayPlan, Settings,
    Since, Subjects, patience,
};
use crate::clock::{CLOCK_DIFFERENCE, Clock, Moment, UnixTime};
use crate::jose::{Secret, Thumbprint};
use std::pin::Pin;
use std::time::Duration;

/// A replay store.
#[derive(Debug)]
pub enum Store {
    /// In this process's memory.
    Memory(MemoryStore),
    /// In memory and on disk.
    Journal(JournalStore),
    /// In Redis, for all replicas.
    Redis(RedisStore),
}

impl Store {
    /// The store that the plan asks for, complete since now or since what it finds vouches for. Reading a
    /// journal blocks.
    ///
    /// # Errors
    /// The journal is in use, or cannot be read or written.
    pub async fn open(settings: &Settings<'_>, clock: &Clock) -> Result<Self, OpenError> {
        let plan = settings.plan;
        if let Some(redis) = &plan.redis {
            let store = Box::pin(RedisStore::open(redis, settings, clock)).await;
            return Ok(Self::Redis(store));
        }
        let (retention, start) = (settings.retention, clock.now());
        match &plan.journal {
            Some(directory) => {
                let mut store = JournalStore::open(directory, settings, clock)?;
                store.memory.limit_subjects(plan.per_subject_limit);
                Ok(Self::Journal(store))
            }
            None => {
                let mut store = MemoryStore::new(plan.capacity, plan.per_key_limit, retention, start);
                store.limit_subjects(plan.per_subject_limit);
                Ok(Self::Memory(store))
            }
        }
    }

    /// What stands for this subject of the issuer with this number, for the limit per subject.
    pub fn subject(&self, issuer: usize, subject: &str) -> u64 {
        self.subjects().map_or(0, |subjects| subjects.of(issuer, subject))
    }

    /// Why the subject may not have one more proof remembered: it has too many, or the store is full anyway.
    pub fn refuses_subject(&self, subject: u64, now: UnixTime) -> Option<Outcome> {
        let over = self.subjects().is_some_and(|subjects| !subjects.has_room(subject, now));
        over.then(|| if self.len() < self.capacity() { Outcome::OverQuota } else { Outcome::Full })
    }

    /// One more proof of the subject is remembered, until then.
    pub fn count_subject(&self, subject: u64, until: UnixTime) {
        if let Some(subjects) = self.subjects() {
            subjects.count(subject, until);
        }
    }

    fn subjects(&self) -> Option<&Subjects> {
        match self {
            Self::Memory(store) => store.subjects.as_ref(),
            Self::Journal(store) => store.memory.subjects.as_ref(),
            Self::Redis(store) => Some(store.subjects()),
        }
    }

    /// The key of a proof in this store. The store's own secret goes into it, so nobody can aim at a shard or
    /// a collision.
    pub fn key(&self, jkt: &Thumbprint, jti: &str) -> ReplayKey {
        match self {
            Self::Memory(store) => keyed(&store.secret, jkt, jti),
            Self::Journal(store) => keyed(&store.memory.secret, jkt, jti),
            Self::Redis(store) => keyed(&store.secret(), jkt, jti),
        }
    }

    /// Whether this still is the proof's key. A shared store that has lost its data has a new secret, and a proof that was remembered under
    /// the old one would not be found.
    pub fn still_is(&self, key: ReplayKey, jkt: &Thumbprint, jti: &str) -> bool {
        match self {
            Self::Memory(_) | Self::Journal(_) => true,
            Self::Redis(_) => self.key(jkt, jti) == key,
        }
    }

    /// Remembers the proof until `until`, inclusive, unless it is remembered already: atomic, so of many at
    /// once exactly one is [`Outcome::Fresh`].
    pub fn check_and_insert(
        &self,
        key: ReplayKey,
        until: UnixTime,
        now: impl Into<Moment>,
    ) -> impl Future<Output = Outcome> + '_ {
        self.insert(key, 0, until, now.into())
    }

    async fn insert(&self, key: ReplayKey, mark: u64, until: UnixTime, now: Moment) -> Outcome {
        match self {
            Self::Memory(store) => store.check_and_insert_marked(key, mark, until, now),
            Self::Journal(store) => store.check_and_insert_marked(key, mark, until, now),
            Self::Redis(store) => {
                // In a box without a type, so that the future of a request that asks no server stays small, and what a connection
                // is made of stays out of it.
                let asked: Pin<Box<dyn Future<Output = Outcome> + Send + '_>> =
                    Box::pin(store.check_and_insert(key, mark, until, now));
                asked.await
            }
        }
    }

    /// [`Store::check_and_insert`] for a proof that can have been used from `first_use` on (its earliest
    /// acceptance, or its nonce's making): also [`Outcome::Forgotten`] if the store may have forgotten that.
    pub fn check_and_insert_since(
        &self,
        key: ReplayKey,
        first_use: impl Into<FirstUse>,
        until: UnixTime,
        now: impl Into<Moment>,
    ) -> impl Future<Output = Outcome> + '_ {
        self.insert_since(key, first_use.into(), until, now.into())
    }

    async fn insert_since(
        &self,
        key: ReplayKey,
        first_use: FirstUse,
        until: UnixTime,
        now: Moment,
    ) -> Outcome {
        if !self.since().vouches_for(first_use, now) {
            return Outcome::Forgotten;
        }
        let outcome = self.insert(key, first_use.mark, until, now).await;
        // Again: the loss may have been noticed while Redis was asked, and the answer be that of the server
        // after it.
        if outcome == Outcome::Fresh && !self.since().vouches_for(first_use, now) {
            return Outcome::Forgotten;
        }
        outcome
    }

    /// Whether the store remembers every proof that was used at `first_use` or later. It may change while a proof is checked.
    pub fn vouches_for(&self, first_use: impl Into<FirstUse>, now: impl Into<Moment>) -> bool {
        self.since().vouches_for(first_use.into(), now.into())
    }

    /// What goes into a nonce that is made now: it is from after everything that this store has forgotten (see [`FirstUse::mark`]).
    pub fn mark(&self) -> u64 {
        self.since().latest()
    }

    /// What goes into a nonce beside the mark, for the other replicas: what the data of the store that they share is called; 0 where they share
    /// none.
    pub fn epoch(&self) -> u64 {
        self.since().epoch()
    }

    /// Until then, by the clock that is never set, takes no proof but those with a nonce that this process has made. For a memory that
    /// begins empty: the wall clock of the process before it may have been ahead of ours, and proofs that it took be acceptable now, and
    /// say that they are from after the start.
    pub fn take_only_own_until(&self, steady: UnixTime) {
        self.since().take_only_own_until(steady);
    }

    /// [`Store::complete_since`] by what our wall clock shows now (see [`Store::complete_from`]).
    pub fn complete_since_by(&self, now: Moment) -> UnixTime {
        self.since().moment_by(now)
    }

    /// The moment before which the store may have forgotten: a proof that could have been used before it
    /// proves nothing by being unknown. It may move while a proof is checked.
    pub fn complete_since(&self) -> UnixTime {
        self.since().moment()
    }

    /// Whether it was opened without anything that vouches for the time before. A store in Redis begins with its epoch, whoever opens it.
    pub fn begins_empty(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Journal(store) => store.begins_empty(),
            Self::Redis(_) => false,
        }
    }

    /// Whether the store's beginning is past or so near that waiting for it makes sense. Where it is further ahead, a clock was set back.
    pub fn begins_near(&self, now: Moment) -> bool {
        self.complete_since_by(now) <= now.wall.saturating_add(CLOCK_DIFFERENCE.saturating_mul(2))
    }

    /// Sees to it that proofs can be remembered for so long, from now on: what is remembered stays. With a million of them it takes some tens
    /// of milliseconds, and nobody is served meanwhile.
    pub fn remember_for(&self, retention: Duration) {
        match self {
            Self::Memory(store) => store.remember_for(retention),
            Self::Journal(store) => store.memory.remember_for(retention),
            Self::Redis(store) => store.remember_for(retention),
        }
    }

    /// Goes on with other limits and under other terms, as a reload brings them. What it is made of does not change.
    pub fn adapt(&self, settings: &Settings<'_>) {
        let ReplayPlan { capacity, per_key_limit, per_subject_limit, .. } = *settings.plan;
        match self {
            Self::Memory(store) => store.limit(capacity, per_key_limit),
            Self::Journal(store) => {
                store.memory.limit(capacity, per_key_limit);
                store.follow_terms(settings);
            }
            Self::Redis(store) => {
                store.limit(capacity, per_key_limit);
                store.follow_terms(settings.terms_hash());
            }
        }
        if let Some(subjects) = self.subjects() {
            subjects.set_limit(per_subject_limit);
        }
    }

    /// [`Store::complete_from`] for a reload, with the present where it changes how long proofs are acceptable: under other terms one that has
    /// expired and was dropped might be acceptable again.
    pub fn terms_changed_at(&self, moment: Moment) {
        self.since().is_by_reload(moment.wall);
        self.complete_from(moment);
    }

    /// Whether what it does not vouch for is what a reload made it forget: whoever waits for a start need not wait for that.
    pub fn begins_by_reload(&self) -> bool {
        self.since().begins_by_reload()
    }

    /// Vouches for nothing before `moment` of our clocks any more; an earlier one changes nothing. Where the wall clock is set ahead later, the
    /// time that it skips does not count.
    pub fn complete_from(&self, moment: impl Into<Moment>) {
        let moment = moment.into();
        match self {
            Self::Memory(store) => store.since.raise_by_our_clocks(moment),
            Self::Journal(store) => store.complete_from(moment),
            Self::Redis(store) => store.since().raise_by_our_clocks(moment),
        }
    }

    /// [`Store::tend`]s once a second, for ever, and at once when Redis is in trouble: to be spawned beside
    /// the requests. Without it a lost connection to Redis stays lost.
    pub async fn watch(&self, clock: &Clock) {
        match self {
            Self::Redis(store) => store.watch(clock).await,
            Self::Memory(_) | Self::Journal(_) => loop {
                self.tend(clock.moment()).await;
                patience::pause(Duration::from_secs(1)).await;
            },
        }
    }

    /// Whether the store can be asked now: always, but for a Redis that is not there or not fit, and a journal that cannot be written.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Journal(store) => store.trouble().is_none(),
            Self::Redis(store) => store.is_ready(),
        }
    }

    /// Why it is not ready, for the operator.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Memory(_) => None,
            Self::Journal(store) => store.trouble(),
            Self::Redis(store) => store.trouble(),
        }
    }

    /// How many writes to the journal failed.
    pub fn journal_errors(&self) -> u64 {
        match self {
            Self::Memory(_) | Self::Redis(_) => 0,
            Self::Journal(store) => store.failures(),
        }
    }

    /// How many requests passed without a check because `on_failure` is `accept`.
    pub fn accepted_unchecked(&self) -> u64 {
        match self {
            Self::Memory(_) | Self::Journal(_) => 0,
            Self::Redis(store) => store.accepted_unchecked(),
        }
    }

    /// To be called once a second or so: keeps the count right where no request comes, and does what would
    /// otherwise delay one. The store is right without it.
    pub async fn tend(&self, now: impl Into<Moment>) {
        let now = now.into();
        match self {
            Self::Memory(store) => store.advance(now),
            Self::Journal(store) => store.tend(now),
            Self::Redis(store) => store.tend(now).await,
        }
    }

    /// How many proofs are remembered, roughly, without locking.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(store) => store.len(),
            Self::Journal(store) => store.memory.len(),
            Self::Redis(store) => store.len(),
        }
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many can be.
    pub fn capacity(&self) -> usize {
        match self {
            Self::Memory(store) => store.capacity(),
            Self::Journal(store) => store.memory.capacity(),
            Self::Redis(store) => store.capacity(),
        }
    }

    fn since(&self) -> &Since {
        match self {
            Self::Memory(store) => &store.since,
            Self::Journal(store) => &store.memory.since,
            Self::Redis(store) => store.since(),
        }
    }
}

/// The version is hashed too: a later format never meets an earlier one's keys.
fn keyed(secret: &Secret, jkt: &Thumbprint, jti: &str) -> ReplayKey {
    // The thumbprint has a fixed length, so the parts cannot be cut differently.
    let proof = secret.tag(&[b"keyproof replay v1 proof", jkt.as_bytes(), jti.as_bytes()]);
    let owner = secret.tag(&[b"keyproof replay v1 owner", jkt.as_bytes()]);
    ReplayKey {
        id: proof.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes)),
        owner: owner.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)),
    }
}

/// What the simulation breaks on purpose.
#[cfg(test)]
impl Store {
    pub(crate) fn trust_clocks_from(&self, steady: UnixTime) {
        self.since().trust_clocks_from(steady);
    }

    /// As if a journal had been opened and not been read.
    pub(crate) fn forget_all_without_saying_so(&self) {
        if let Self::Journal(store) = self {
            store.memory.forget_all_without_saying_so();
        }
    }
}

#[cfg(test)]
mod tests;
