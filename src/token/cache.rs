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

/// Verified tokens by the SHA-256 of their text. Only a signature of an issuer's key gets anything in,
/// so strangers cannot push the others out; a token is never kept in clear (RFC 9700 section 4.9.3).
#[derive(Debug)]
pub(super) struct TokenCache {
    tokens: Cache<Sha256, Arc<VerifiedToken>, ByWeight>,
}

#[derive(Clone, Debug)]
struct ByWeight;

impl Weighter<Sha256, Arc<VerifiedToken>> for ByWeight {
    fn weight(&self, _hash: &Sha256, token: &Arc<VerifiedToken>) -> u64 {
        token.weight.max(MIN_WEIGHT)
    }
}

impl TokenCache {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { tokens: Cache::with_weighter(MAX_ENTRIES, MAX_WEIGHT, ByWeight) }
    }

    /// The token with this hash, however old.
    pub(super) fn find(&self, hash: &Sha256) -> Option<Arc<VerifiedToken>> {
        self.tokens.get(hash)
    }

    /// Keeps a token, in place of an earlier one of the same hash.
    pub(super) fn keep(&self, hash: Sha256, token: Arc<VerifiedToken>) {
        self.tokens.insert(hash, token);
    }

    /// Forgets a token that can never be valid again.
    pub(super) fn forget(&self, hash: &Sha256) {
        self.tokens.remove(hash);
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
