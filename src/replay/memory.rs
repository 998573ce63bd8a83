//! The store in memory.

use super::{Outcome, ReplayKey};
use crate::clock::UnixTime;

/// Proofs remembered in this process's memory: sharded, pre-sized, expired by generations, never evicting a live one.
#[derive(Debug)]
pub struct MemoryStore(());

impl MemoryStore {
    /// A store for `capacity` live proofs, `per_key_limit` of one key, complete since `start`. `retention` is the longest time between a proof's
    /// acceptance and its `until`.
    pub fn new(
        _capacity: usize,
        _per_key_limit: usize,
        _retention: std::time::Duration,
        _start: UnixTime,
    ) -> Self {
        todo!()
    }

    /// See [`super::Store::check_and_insert`].
    pub fn check_and_insert(&self, _key: ReplayKey, _until: UnixTime, _now: UnixTime) -> Outcome {
        todo!()
    }
}
