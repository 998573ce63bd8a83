//! One owner for two questions: is this `iat` acceptable now, and until when could it be?

use super::ProofError;
use crate::clock::UnixTime;
use std::time::Duration;

/// When a proof is acceptable by its `iat` (RFC 9449 sections 4.3 check 11 and 11.1).
///
/// A proof is acceptable at `now` if `iat - leeway <= now <= iat + max_age`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptanceWindow {
    /// How old `iat` may be.
    pub max_age: Duration,
    /// How far in the future `iat` may be.
    pub leeway: Duration,
}

impl AcceptanceWindow {
    /// Whether a proof made at `iat` is acceptable at `now`.
    ///
    /// # Errors
    /// [`ProofError::IatStale`] or [`ProofError::IatFuture`].
    pub fn check(&self, iat: UnixTime, now: UnixTime) -> Result<(), ProofError> {
        if now > self.remember_until(iat) {
            return Err(ProofError::IatStale);
        }
        if now < self.earliest_use(iat) {
            return Err(ProofError::IatFuture);
        }
        Ok(())
    }

    /// The last moment at which a proof made at `iat` is acceptable: it must be remembered up to it,
    /// inclusive (`spec` 4.1).
    pub fn remember_until(&self, iat: UnixTime) -> UnixTime {
        iat.saturating_add(self.max_age)
    }

    /// The first moment at which it was acceptable: nobody can have used it before.
    pub fn earliest_use(&self, iat: UnixTime) -> UnixTime {
        iat.saturating_sub(self.leeway)
    }
}
