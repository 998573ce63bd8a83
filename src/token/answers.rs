//! What issuers said of tokens, kept for as long as it may be believed.

use super::cache::{ByToken, Known};
use super::introspected::Introspected;
use crate::clock::UnixTime;
use crate::jose::Sha256;
use quick_cache::sync::Cache;

/// How many refused ones: strangers choose them, so they have room of their own.
const MAX_REFUSED: usize = 10_000;

/// Answers by the SHA-256 of the token that they are about; no token is kept as text.
#[derive(Debug)]
pub(super) struct Answers {
    active: ByToken<Remembered>,
    refused: Cache<Sha256, Remembered>,
}

/// An answer, and until when it is believed, by the clock that is never set.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) answer: Introspected,
    pub(super) until: UnixTime,
}

impl Known for Remembered {
    fn weight(&self) -> u64 {
        self.answer.said.as_ref().map_or(0, Known::weight)
    }
}

impl Answers {
    pub(super) fn new() -> Self {
        Self { active: ByToken::new(), refused: Cache::new(MAX_REFUSED) }
    }

    /// What was said of the token with this hash, where it may still be believed at `now`.
    pub(super) fn find(&self, hash: &Sha256, now: UnixTime) -> Option<Introspected> {
        let good = |remembered: &Remembered| now < remembered.until;
        let found = self.active.find(hash).filter(good).or_else(|| self.refused.get(hash).filter(good));
        found.map(|remembered| remembered.answer)
    }

    /// Keeps it, in place of an earlier one.
    pub(super) fn keep(&self, hash: Sha256, remembered: Remembered) {
        if remembered.answer.is_active() {
            self.refused.remove(&hash);
            self.active.keep(hash, remembered);
        } else {
            self.active.forget(&hash);
            self.refused.insert(hash, remembered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::sha256;
    use crate::names::IssuerId;
    use crate::token::TokenError;

    /// Strangers make tokens up at no cost: what is remembered of them is bounded, and pushes nothing out that is good.
    #[test]
    fn refused_answers_are_bounded() {
        let answers = Answers::new();
        let until = UnixTime::from_secs(1);
        let hash = |number: usize| sha256(&[&number.to_be_bytes()]);
        let refused = Introspected { issuer: IssuerId(0), edition: 0, said: Err(TokenError::Inactive) };
        for number in 0..3 * MAX_REFUSED {
            answers.keep(hash(number), Remembered { answer: refused.clone(), until });
        }
        let remembered = |at: UnixTime| {
            (0..3 * MAX_REFUSED).filter(|number| answers.find(&hash(*number), at).is_some()).count()
        };
        let now = UnixTime::from_secs(0);
        assert!((MAX_REFUSED / 2..=MAX_REFUSED).contains(&remembered(now)), "{}", remembered(now));
        assert_eq!(remembered(until), 0, "and none longer than it may be believed");
    }
}
