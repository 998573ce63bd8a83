//! Verified tokens, kept by hash until they are evicted: what is in here is checked again for time and keys
//! at every hit.

use super::VerifiedToken;
use crate::jose::Sha256;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// How many tokens are kept at most: those of a hundred thousand clients, and some that were replaced.
const MAX_ENTRIES: usize = 125_000;
/// How many bytes they may weigh together, by estimate.
const MAX_WEIGHT: u64 = 160 * 1024 * 1024;
/// What the smallest one weighs, so that the weight also bounds the count.
const MIN_WEIGHT: u64 = 1342;

/// How many members and items a token's claims have, for the most part.
const USUAL_ITEMS: usize = 16;
/// What each further one takes beside its text: its place in a list, and the list's own if it is the only one there.
const ITEM: usize = 96;

/// What is known of tokens, by the SHA-256 of their text; a token is never kept in clear (RFC 9700 section 4.9.3).
#[derive(Debug)]
pub(super) struct ByToken<T>(Cache<Sha256, T, ByWeight>);

/// Verified tokens. Only a signature of an issuer's key gets anything in, so strangers cannot push the others out.
pub(super) type TokenCache = ByToken<Arc<VerifiedToken>>;

/// Something that is known of a token.
pub(super) trait Known: Clone {
    /// About how many bytes it takes.
    fn weight(&self) -> u64;
}

impl Known for Arc<VerifiedToken> {
    fn weight(&self) -> u64 {
        self.weight
    }
}

#[derive(Clone, Debug)]
struct ByWeight;

impl<T: Known> Weighter<Sha256, T> for ByWeight {
    fn weight(&self, _hash: &Sha256, known: &T) -> u64 {
        known.weight().max(MIN_WEIGHT)
    }
}

impl<T: Known> ByToken<T> {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(MAX_ENTRIES, MAX_WEIGHT, ByWeight))
    }

    /// What is known of the token with this hash, however old.
    pub(super) fn find(&self, hash: &Sha256) -> Option<T> {
        self.0.get(hash)
    }

    /// Keeps it, in place of what was known of the same token.
    pub(super) fn keep(&self, hash: Sha256, known: T) {
        self.0.insert(hash, known);
    }

    /// Forgets what will never be good again.
    pub(super) fn forget(&self, hash: &Sha256) {
        self.0.remove(hash);
    }
}

/// What a token with so many bytes of payload weighs: the parsed claims take about twice their text, and the rest is the same for all, unless
/// there are more members and items than tokens have for the most part.
pub(super) fn weight_of(payload: usize, items: usize) -> u64 {
    let bytes =
        payload.saturating_mul(2).saturating_add(items.saturating_sub(USUAL_ITEMS).saturating_mul(ITEM));
    u64::try_from(bytes).unwrap_or(MAX_WEIGHT).saturating_add(640)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_bounds_the_count_too() {
        let most = usize::try_from(MAX_WEIGHT / MIN_WEIGHT).unwrap();
        assert!((MAX_ENTRIES..MAX_ENTRIES + 100).contains(&most), "{most}");
    }
}
