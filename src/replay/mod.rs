//! Was this proof ever used? One verb, [`Store::check_and_insert`]: atomic, and the last check before
//! forwarding.
//!
//! A store remembers a proof from its acceptance to the last moment at which it could be accepted again
//! (`until`). What it cannot remember it does not accept: a full store refuses ([`Outcome::Full`]), one that
//! cannot be asked refuses ([`Outcome::Unavailable`]), and one that may have forgotten says so
//! ([`Outcome::Forgotten`], [`Store::complete_since`]) and the caller asks for a nonce, which only a client
//! that holds the key can put into a new proof (RFC 9449 section 8).
//!
//! What is promised in each configuration, and under which assumptions, is in `docs/replay.md`.

mod journal;
mod limit;
mod memory;
mod patience;
mod redis;
mod settings;
mod since;
mod store;
mod subjects;
mod sync;

pub use journal::JournalStore;
pub use memory::MemoryStore;
pub use redis::{BadUrl, RedisServers, RedisStore};
pub use settings::{OnStart, OpenError, RedisPlan, ReplayPlan, Settings};
pub use since::FirstUse;
use since::Since;
pub use store::Store;
use subjects::Subjects;

/// What is used up: 128 bits of a keyed hash of (`jkt`, `jti`), and 64 of the `jkt` alone, for the limit per
/// key.
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
    /// The store cannot know: it may have forgotten what was used then. A nonce challenge is the answer.
    Forgotten,
    /// The store cannot be asked, or could not write.
    Unavailable,
}
