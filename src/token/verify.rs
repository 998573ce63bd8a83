//! The checks on an access token, cheap ones before the signature.

use super::{KeySet, VerifiedToken};
use crate::clock::UnixTime;
use crate::jose::{Algorithm, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The longest access token that is read, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Which issuer: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub usize);

/// What an issuer's tokens must be.
#[derive(Clone, Debug)]
pub struct IssuerRules {
    /// Its name in the configuration: a metric label.
    pub name: String,
    /// Compared exactly with `iss`.
    pub issuer: String,
    /// One of them must be in `aud`.
    pub audiences: Vec<String>,
    /// Which algorithms its tokens may use.
    pub algorithms: Vec<Algorithm>,
    /// Which `typ` values are access tokens (media types: compared without case, with or without `application/`).
    pub token_types: Vec<String>,
    /// How much clocks may differ for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
}

/// An issuer's rules and the slot in which its current keys are published.
#[derive(Debug)]
pub struct Issuer {
    /// The rules.
    pub rules: IssuerRules,
}

/// All issuers, and the tokens of theirs that were verified lately.
#[derive(Debug)]
pub struct Issuers(());

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN`].
    #[error("the access token is too long")]
    TooLong,
    /// Not a compact JWS (and no introspection to ask about opaque ones), or not acceptable JSON.
    #[error("the access token is malformed")]
    Malformed,
    /// `typ` is not that of an access token (RFC 9068 section 4).
    #[error("the token is not an access token")]
    Type,
    /// A critical extension is named; none is understood.
    #[error("the access token has a critical extension")]
    Critical,
    /// `alg` is none of those the issuer may use.
    #[error("the access token's algorithm is not accepted")]
    Algorithm,
    /// A required claim is missing (RFC 9068 section 2.2).
    #[error("the access token lacks a required claim")]
    ClaimMissing,
    /// A registered claim has the wrong type: a failure, never "absent" (J10).
    #[error("a claim of the access token has the wrong type")]
    ClaimType,
    /// `iss` is no configured issuer, or not one of this route's.
    #[error("the access token is from an unknown issuer")]
    Issuer,
    /// `aud` has none of the issuer's audiences.
    #[error("the access token is for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("the access token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the access token is not valid yet")]
    NotYetValid,
    /// `iat` is in the future.
    #[error("the access token is from the future")]
    IssuedInFuture,
    /// `cnf` cannot be checked: no known member, several unknown ones, or a malformed one (M04).
    #[error("the access token's confirmation cannot be checked")]
    Confirmation,
    /// No key of the issuer fits; it may have new ones: fetch (rate-limited) and verify again.
    #[error("the access token's key is unknown")]
    UnknownKey(IssuerId),
    /// The signature does not verify with the key.
    #[error("the access token's signature does not verify")]
    Signature,
    /// The issuer's keys have never been fetched: we cannot tell. Not the client's fault.
    #[error("the issuer's keys are not available")]
    KeysUnavailable(IssuerId),
}

impl Issuers {
    /// Issuers with these rules and no keys yet; [`IssuerId`] is the place in the list.
    pub fn new(_rules: Vec<IssuerRules>) -> Self {
        todo!()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (IssuerId, &Issuer)> {
        [].into_iter()
    }

    /// Verifies a token as presented, whose SHA-256 is `hash`. One verified before, by the same keys and not expired since, costs a look-up.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(
        &self,
        _token: &str,
        _hash: &Sha256,
        _now: UnixTime,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        todo!()
    }
}

impl Issuer {
    /// Publishes a new key set; tokens verified with the one before are verified again when they come next.
    pub fn publish(&self, _keys: KeySet) {
        todo!()
    }

    /// The current keys, if any were ever published.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        todo!()
    }
}
