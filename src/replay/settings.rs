//! What a store is told at its start.

use super::RedisServers;
use crate::jose::sha256;
use std::path::PathBuf;
use std::time::Duration;

/// All that opening a store needs.
#[derive(Debug)]
pub struct Settings<'a> {
    /// What the configuration says.
    pub plan: &'a ReplayPlan,
    /// The longest time between a proof's acceptance and its `until`.
    pub retention: Duration,
    /// Every duration that decides `until`, in a fixed order. A store that outlives this process notices when
    /// one of them has changed: under other terms a proof that was dropped might be accepted again.
    pub terms: &'a [Duration],
}

impl Settings<'_> {
    /// The terms in 64 bits.
    pub(super) fn terms_hash(&self) -> u64 {
        let millis =
            self.terms.iter().chain([&self.retention]).flat_map(|term| term.as_millis().to_be_bytes());
        sha256(&[&millis.collect::<Vec<u8>>()]).first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two processes with one journal would each know half of what was used.
    #[error("the replay journal {} is in use by another process; give each process a directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The journal cannot be read or written.
    #[error("the replay journal {} cannot be opened: {source}", path.display())]
    Journal {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// The replay store.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    /// How many live proofs are remembered.
    pub capacity: usize,
    /// How many of one key.
    pub per_key_limit: usize,
    /// How many of one subject of one issuer, however many keys it has.
    pub per_subject_limit: usize,
    /// What to do about the time before the start.
    pub on_start: OnStart,
    /// Where used proofs survive a restart.
    pub journal: Option<PathBuf>,
    /// The shared store, where there is one.
    pub redis: Option<RedisPlan>,
}

/// The shared store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPlan {
    /// Where it is.
    pub servers: RedisServers,
    /// How long one answer may take.
    pub timeout: Duration,
    /// Whether requests pass while it cannot be asked.
    pub accept_on_failure: bool,
    /// The operator says that Redis evicts nothing, where it may not be asked for its policy.
    pub assume_noeviction: bool,
}

/// What to do about the time before the start, where nothing vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStart {
    /// Proofs that could have been used before it get a nonce challenge.
    Challenge,
    /// Not ready until no honest client's proof can be among them; older ones are refused.
    Wait,
}
