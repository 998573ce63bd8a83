//! What a store is told at its start.

use std::path::PathBuf;
use std::time::Duration;

/// The replay store.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    /// How many live proofs are remembered.
    pub capacity: usize,
    /// How many of one key.
    pub per_key_limit: usize,
    /// What to do about the time before the start.
    pub on_start: OnStart,
    /// Where used proofs survive a restart.
    pub journal: Option<PathBuf>,
    /// The shared store, where there is one.
    pub redis: Option<RedisPlan>,
}

/// The shared store.
#[derive(Clone, Debug)]
pub struct RedisPlan {
    /// `redis://`, `rediss://`, `redis+sentinel://`; several for a cluster.
    pub urls: Vec<String>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// Whether requests pass while it cannot be asked.
    pub accept_on_failure: bool,
}

/// What to do about the time before the start, where nothing vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStart {
    /// Proofs that could have been used before it get a nonce challenge.
    Challenge,
    /// Not ready until no honest client's proof can be among them; older ones are refused.
    Wait,
}
