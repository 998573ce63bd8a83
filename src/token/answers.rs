//! What issuers said of tokens, kept for as long as it may be believed.

use super::introspected::Introspected;
use crate::clock::UnixTime;
use crate::jose::Sha256;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// How many active tokens are kept at most, and how many bytes they may weigh together, by estimate.
const MAX_ACTIVE: usize = 125_000;
const MAX_WEIGHT: u64 = 160 * 1024 * 1024;
/// What the smallest one weighs, so that the weight also bounds the count.
const MIN_WEIGHT: u64 = 1342;
/// How many refused ones: strangers choose them, so they have room of their own.
const MAX_REFUSED: usize = 10_000;

/// Answers by the SHA-256 of the token that they are about; no token is kept as text.
#[derive(Debug)]
pub(super) struct Answers {
    active: Cache<Sha256, Remembered, ByWeight>,
    refused: Cache<Sha256, Remembered>,
}

/// An answer, and until when it is believed, by the clock that is never set.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) answer: Introspected,
    pub(super) until: UnixTime,
}

#[derive(Clone, Debug)]
struct ByWeight;

impl Weighter<Sha256, Remembered> for ByWeight {
    fn weight(&self, _hash: &Sha256, remembered: &Remembered) -> u64 {
        remembered.answer.said.as_ref().map_or(0, |token| token.weight).max(MIN_WEIGHT)
    }
}

impl Answers {
    pub(super) fn new() -> Self {
        Self {
            active: Cache::with_weighter(MAX_ACTIVE, MAX_WEIGHT, ByWeight),
            refused: Cache::new(MAX_REFUSED),
        }
    }

    /// What was said of the token with this hash, where it may still be believed at `now`.
    pub(super) fn find(&self, hash: &Sha256, now: UnixTime) -> Option<Introspected> {
        let good = |remembered: &Remembered| now < remembered.until;
        let found = self.active.get(hash).filter(good).or_else(|| self.refused.get(hash).filter(good));
        found.map(|remembered| remembered.answer)
    }

    /// Keeps it, in place of an earlier one.
    pub(super) fn keep(&self, hash: Sha256, remembered: Remembered) {
        if remembered.answer.is_active() {
            self.refused.remove(&hash);
            self.active.insert(hash, remembered);
        } else {
            self.active.remove(&hash);
            self.refused.insert(hash, remembered);
        }
    }
}
