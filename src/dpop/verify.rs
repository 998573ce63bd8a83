//! The checks in order, and what is left when all of them passed.

use super::{AcceptanceWindow, Check, Nonce, NonceMint, ProofError, TargetUri};
use crate::clock::UnixTime;
use crate::jose::{Algorithm, Sha256, Thumbprint};
use http::Method;
use std::sync::Arc;

/// Verifies proofs. Keeps the parsed keys of recent header segments (bounded; only keys whose proof verified).
#[derive(Debug)]
pub struct Verifier {
    /// Which algorithms a proof may use.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) window: AcceptanceWindow,
    pub(super) mint: Arc<NonceMint>,
}

/// Whether proofs need one of our nonces. There is no "optional": RFC 9449 section 11.3 forbids it (D35).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoncePolicy {
    /// The acceptance window decides; a nonce in the proof is looked at only to prove that the proof is new.
    Off,
    /// The nonce decides; the client's clock does not matter (D30).
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

/// A proof that passed every check of RFC 9449 section 4.3 but two: that its key is the token's, and that it was never used. Nobody else can make one.
#[derive(Debug)]
pub struct VerifiedProof {
    jkt: Thumbprint,
    jti: String,
    iat: UnixTime,
    until: UnixTime,
    earliest_use: UnixTime,
    nonce: Option<Nonce>,
}

impl Verifier {
    /// A verifier with these rules.
    pub fn new(_algorithms: Vec<Algorithm>, _window: AcceptanceWindow, _mint: Arc<NonceMint>) -> Self {
        todo!()
    }

    /// Verifies `proof`, which is what the one `DPoP` header line held. Cheap checks come before the signature; the nonce after it, then `ath`.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(
        &self,
        _proof: &str,
        _expected: &Expected<'_>,
        _now: UnixTime,
    ) -> Result<VerifiedProof, ProofError> {
        todo!()
    }

    /// Every check of RFC 9449 section 4.3 by itself, in the RFC's order, for `keyproof explain`: none is left out because another failed,
    /// unless it cannot be made without the other.
    pub fn report(&self, _proof: &str, _expected: &Expected<'_>, _now: UnixTime) -> Vec<Check> {
        todo!()
    }

    /// The mint whose nonces are recognised.
    pub fn mint(&self) -> &NonceMint {
        &self.mint
    }

    /// The algorithms that a proof may use, as `algs` in challenges lists them.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }
}

impl VerifiedProof {
    /// The thumbprint of the key that signed it.
    pub const fn jkt(&self) -> Thumbprint {
        self.jkt
    }

    /// Its identifier, unique for this key.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// When the client says it was made.
    pub const fn iat(&self) -> UnixTime {
        self.iat
    }

    /// The last moment at which it could be accepted again, inclusive: it must be remembered until then. With a required nonce the end of the
    /// nonce's life, otherwise the end of the acceptance window.
    pub const fn until(&self) -> UnixTime {
        self.until
    }

    /// Before this moment nobody can have used it: with a nonce of ours, when that was made; otherwise the start of the acceptance window.
    pub const fn earliest_use(&self) -> UnixTime {
        self.earliest_use
    }

    /// The nonce of ours in it.
    pub const fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }
}
