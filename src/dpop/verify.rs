//! The checks in order, and what is left when all of them passed.

use super::proof::{self, MAX_PROOF, ProofClaims, ProofKey};
use super::{AcceptanceWindow, Check, Nonce, NonceMint, ProofError, TargetUri, report};
use crate::clock::{Moment, UnixTime};
use crate::hot_keys::HotKeys;
use crate::jose::{Algorithm, CompactJws, Sha256, Thumbprint, encodes};
use http::Method;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// How many header segments are remembered with their keys.
const KEPT_KEYS: usize = 8192;
/// The longest header segment that is remembered; one with an RSA key of 4096 bits has about 1 KiB.
const KEPT_SEGMENT: usize = 1536;

/// Verifies proofs. Clones share the keys. Keeps the parsed keys of recent header segments (bounded; only keys whose proof
/// verified).
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Which algorithms a proof may use.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) window: AcceptanceWindow,
    pub(super) mint: Arc<NonceMint>,
    keys: Arc<Cache<Box<str>, Arc<ProofKey>>>,
    hot_keys: Option<Arc<HotKeys>>,
}

/// Whether proofs need one of our nonces. There is no "optional": RFC 9449 section 11.3 forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoncePolicy {
    /// The acceptance window decides; a nonce in the proof is looked at only to prove that the proof is new.
    Off,
    /// The nonce decides; the client's clock does not matter (RFC 9449 section 11.1).
    Required,
}

/// What the proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's target URI.
    pub target: TargetUri<'a>,
    /// SHA-256 of the access token as presented; `None` where no token comes with the proof.
    pub ath: Option<&'a Sha256>,
    /// The route's nonce policy.
    pub nonce: NoncePolicy,
}

/// A proof that passed every check of RFC 9449 section 4.3 but two: that its key is the token's, and that it
/// was never used. Nobody else can make one.
#[derive(Debug)]
pub struct VerifiedProof {
    key: Arc<ProofKey>,
    jti: String,
    iat: UnixTime,
    until: UnixTime,
    earliest_use: UnixTime,
    nonce: Option<Nonce>,
}

impl Verifier {
    /// A verifier with these rules.
    pub fn new(algorithms: Vec<Algorithm>, window: AcceptanceWindow, mint: Arc<NonceMint>) -> Self {
        Self { algorithms, window, mint, keys: Arc::new(Cache::new(KEPT_KEYS)), hot_keys: None }
    }

    /// A verifier with these rules that knows the keys which this one knows, where the algorithms are the same.
    #[must_use]
    pub fn succeeded_by(
        &self,
        algorithms: Vec<Algorithm>,
        window: AcceptanceWindow,
        mint: Arc<NonceMint>,
    ) -> Self {
        if algorithms != self.algorithms {
            return Self::new(algorithms, window, mint);
        }
        Self { algorithms, window, mint, keys: Arc::clone(&self.keys), hot_keys: None }
    }

    /// The same verifier, with tables for keys that are seen often.
    #[must_use]
    pub fn with_hot_keys(self, hot_keys: Option<Arc<HotKeys>>) -> Self {
        Self { hot_keys, ..self }
    }

    /// Verifies `proof`, which is what the one `DPoP` header line held. Cheap checks come before the
    /// signature; the nonce after it, then `ath`.
    ///
    /// Allocates the decoded payload and signature, the list of its claims and the `jti` it returns; more for
    /// a new key.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(
        &self,
        proof: &str,
        expected: &Expected<'_>,
        now: impl Into<Moment>,
    ) -> Result<VerifiedProof, ProofError> {
        let now = now.into();
        let jws = split(proof)?;
        let known = self.keys.get(jws.header_segment);
        let new = known.is_none();
        let key = match known {
            Some(key) => key,
            None => Arc::new(ProofKey::read(jws.header_segment, &self.algorithms)?),
        };
        let payload = proof::payload(&jws.payload)?;
        let claims = ProofClaims::read(&payload)?;
        check_htm(claims.htm, expected.method)?;
        expected.target.check(claims.htu)?;
        self.check_iat(claims.iat, expected.nonce, now.wall)?;
        check_validity(claims.exp, claims.nbf, &self.window, now.wall)?;
        self.check_signature(&jws, &key, now)?;
        if new && jws.header_segment.len() <= KEPT_SEGMENT {
            // Not before: whoever cannot sign must not be able to push out the keys of those who can.
            self.keys.insert(jws.header_segment.into(), Arc::clone(&key));
        }
        let nonce = check_nonce(claims.nonce, expected.nonce, &self.mint, now)?;
        if let Some(ath) = expected.ath {
            check_ath(claims.ath, ath)?;
        }
        Ok(self.verified(key, claims.jti, claims.iat, expected.nonce, nonce))
    }

    /// Where a nonce is required it decides in place of `iat` (RFC 9449 section 11.1).
    fn check_iat(&self, iat: UnixTime, policy: NoncePolicy, now: UnixTime) -> Result<(), ProofError> {
        match policy {
            NoncePolicy::Off => self.window.check(iat, now),
            NoncePolicy::Required => Ok(()),
        }
    }

    fn check_signature(&self, jws: &CompactJws<'_>, key: &ProofKey, now: Moment) -> Result<(), ProofError> {
        let checked = match &self.hot_keys {
            None => jws.verify(key.algorithm, &key.key),
            Some(hot_keys) => hot_keys.verify(jws, key.algorithm, &key.key, now),
        };
        checked.map_err(|_| ProofError::Signature)
    }

    /// The proof is used up, and its key is the token's: who comes often enough gets a table.
    pub fn admitted(&self, proof: &VerifiedProof, now: Moment) {
        if let Some(hot_keys) = &self.hot_keys {
            hot_keys.admitted(proof.key.algorithm, &proof.key.key, now);
        }
    }

    /// When a proof that passed can have been used, and until when it could be accepted again.
    fn verified(
        &self,
        key: Arc<ProofKey>,
        jti: &str,
        iat: UnixTime,
        policy: NoncePolicy,
        nonce: Option<Nonce>,
    ) -> VerifiedProof {
        let (opens, closes) = (self.window.earliest_use(iat), self.window.remember_until(iat));
        let (earliest_use, until) = match (policy, nonce) {
            (NoncePolicy::Required, Some(nonce)) => (nonce.earliest_use, self.mint.until(&nonce)),
            (NoncePolicy::Off, Some(nonce)) => (opens.max(nonce.earliest_use), closes),
            (NoncePolicy::Off | NoncePolicy::Required, None) => (opens, closes),
        };
        VerifiedProof { key, jti: jti.to_owned(), iat, until, earliest_use, nonce }
    }

    /// Every check of RFC 9449 section 4.3 by itself, in the RFC's order, for `keyproof explain`: none is
    /// left out because another failed, unless it cannot be made without the other.
    pub fn report(&self, proof: &str, expected: &Expected<'_>, now: UnixTime) -> Vec<Check> {
        report::report(self, proof, expected, now)
    }

    /// The mint whose nonces are recognised.
    pub fn mint(&self) -> &NonceMint {
        &self.mint
    }

    /// Which `iat` is accepted.
    pub const fn window(&self) -> AcceptanceWindow {
        self.window
    }

    /// The algorithms that a proof may use, as `algs` in challenges lists them.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }
}

impl VerifiedProof {
    /// The thumbprint of the key that signed it.
    pub fn jkt(&self) -> Thumbprint {
        self.key.key.thumbprint()
    }

    /// Its identifier, unique for this key.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// When the client says it was made.
    pub const fn iat(&self) -> UnixTime {
        self.iat
    }

    /// The last moment at which it could be accepted again, inclusive: it must be remembered until then. With
    /// a required nonce the end of the nonce's life, otherwise the end of the acceptance window.
    pub const fn until(&self) -> UnixTime {
        self.until
    }

    /// Before this moment nobody can have used it: with a nonce of ours, when that was made; otherwise the
    /// start of the acceptance window.
    pub const fn earliest_use(&self) -> UnixTime {
        self.earliest_use
    }

    /// What the maker of its nonce knew of, where that was this process (see [`Nonce::mark`]): the proof was not used before that.
    pub fn mark(&self) -> u64 {
        self.nonce.map_or(0, |nonce| nonce.mark)
    }

    /// What the maker of its nonce called the data of a store that it shares (see [`Nonce::epoch`]): the proof was not used before that.
    pub fn epoch(&self) -> u64 {
        self.nonce.map_or(0, |nonce| nonce.epoch)
    }

    /// The nonce of ours in it.
    pub const fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }
}

/// Check 2 as far as it is syntax.
pub(super) fn split(proof: &str) -> Result<CompactJws<'_>, ProofError> {
    if proof.len() > MAX_PROOF {
        return Err(ProofError::TooLong);
    }
    CompactJws::split(proof).map_err(|_| ProofError::Malformed)
}

/// Check 8: methods are case-sensitive (RFC 9110 section 9.1).
pub(super) fn check_htm(htm: &str, method: &Method) -> Result<(), ProofError> {
    if htm == method.as_str() { Ok(()) } else { Err(ProofError::Htm) }
}

/// `exp` and `nbf`, which a proof need not have (RFC 7519 sections 4.1.4 and 4.1.5).
pub(super) fn check_validity(
    exp: Option<UnixTime>,
    nbf: Option<UnixTime>,
    window: &AcceptanceWindow,
    now: UnixTime,
) -> Result<(), ProofError> {
    // "On or after" the time in `exp` it must not be accepted (RFC 7519 section 4.1.4).
    if exp.is_some_and(|exp| now >= exp.saturating_add(window.leeway)) {
        return Err(ProofError::Expired);
    }
    if nbf.is_some_and(|nbf| now < nbf.saturating_sub(window.leeway)) {
        return Err(ProofError::NotYetValid);
    }
    Ok(())
}

/// Check 10. Where none is required a nonce is never wrong, it only says more if it is one of ours.
pub(super) fn check_nonce(
    nonce: Option<&str>,
    policy: NoncePolicy,
    mint: &NonceMint,
    now: Moment,
) -> Result<Option<Nonce>, ProofError> {
    let known = nonce.and_then(|nonce| mint.recognise(nonce, now));
    match policy {
        NoncePolicy::Off => Ok(known),
        NoncePolicy::Required if nonce.is_none() => Err(ProofError::NonceMissing),
        NoncePolicy::Required => known.ok_or(ProofError::NonceStale).map(Some),
    }
}

/// Check 12: `ath` is the base64url text of the token's SHA-256, to the letter (RFC 9449 section 4.2).
pub(super) fn check_ath(ath: Option<&str>, token: &Sha256) -> Result<(), ProofError> {
    match ath {
        Some(ath) if encodes(ath, token) => Ok(()),
        Some(_) => Err(ProofError::Ath),
        None => Err(ProofError::AthMissing),
    }
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
pub(crate) use simulated::Made;
#[cfg(test)]
mod tests;
