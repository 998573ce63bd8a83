//! Was this proof ever used? One verb, [`Store::check_and_insert`]: atomic, and the last check before forwarding.

mod memory;

use crate::clock::UnixTime;
use crate::jose::{Sha256, Thumbprint, sha256};
pub use memory::MemoryStore;

/// What is used up: 128 bits of a keyed hash of (`jkt`, `jti`), and 64 of the `jkt` alone, for the limit per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey {
    /// Which proof.
    pub id: u128,
    /// Whose proof.
    pub owner: u64,
}

/// What became of a proof. Only `Fresh` may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Never seen; now remembered.
    Fresh,
    /// Seen before.
    Replayed,
    /// No room to remember it: refused, nothing was evicted.
    Full,
    /// This key has too many live proofs.
    OverQuota,
    /// The store cannot be asked, or could not write.
    Unavailable,
}

/// A replay store.
#[derive(Debug)]
pub enum Store {
    /// In this process's memory.
    Memory(MemoryStore),
}

impl Store {
    /// The key of a proof in this store. The store's own secret goes into it, so nobody can aim at a shard or a collision.
    pub fn key(&self, _jkt: &Thumbprint, _jti: &str) -> ReplayKey {
        let _: fn(&[&[u8]]) -> Sha256 = sha256;
        todo!()
    }

    /// Remembers the proof until `until`, inclusive, unless it is remembered already: atomic, so of many at once exactly one is [`Outcome::Fresh`].
    pub async fn check_and_insert(&self, key: ReplayKey, until: UnixTime, now: UnixTime) -> Outcome {
        match self {
            Self::Memory(store) => store.check_and_insert(key, until, now),
        }
    }

    /// The moment before which the store may have forgotten: a proof that could have been used before it proves nothing by being unknown.
    pub fn complete_since(&self) -> UnixTime {
        todo!()
    }

    /// How many proofs are remembered, roughly, without locking.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many can be.
    pub fn capacity(&self) -> usize {
        todo!()
    }
}
