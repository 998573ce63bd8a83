//! A proof, parsed once: syntax, header and claims, each check with its own reason.

use crate::clock::UnixTime;
use crate::jose::{Algorithm, PublicKey};
use std::sync::Arc;

/// The longest proof that is read, in bytes. RSA keys of 4096 bits need about 2 KiB.
pub const MAX_PROOF: usize = 8 * 1024;
/// The longest `jti` that is taken, in bytes (RFC 9449 section 11.1).
pub const MAX_JTI: usize = 256;

/// A parsed proof whose signature is not verified yet.
#[derive(Debug)]
pub struct DpopProof<'a> {
    /// The key in the header, with the algorithm the header names; shared by all proofs with the same header segment.
    pub(super) key: Arc<ProofKey>,
    pub(super) jws: crate::jose::CompactJws<'a>,
    pub(super) claims: ProofClaims,
}

/// What a proof's header says: kept per header segment, so a client's key is parsed and validated once.
#[derive(Debug)]
pub struct ProofKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: PublicKey,
}

/// The claims of a proof (RFC 9449 section 4.2).
#[derive(Clone, Debug)]
pub(super) struct ProofClaims {
    pub(super) jti: String,
    pub(super) htm: String,
    pub(super) htu: String,
    pub(super) iat: UnixTime,
    pub(super) exp: Option<UnixTime>,
    pub(super) nbf: Option<UnixTime>,
    pub(super) ath: Option<String>,
    pub(super) nonce: Option<String>,
}

/// Why a proof is refused, in the order of RFC 9449 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProofError {
    /// Longer than [`MAX_PROOF`].
    #[error("the proof is too long")]
    TooLong,
    /// Check 2: not a well-formed compact JWS.
    #[error("the proof is not a compact JWS")]
    Malformed,
    /// Check 2: header or payload is not acceptable JSON (duplicate names, too deep, no object).
    #[error("the proof's header or payload is not valid JSON")]
    Json,
    /// A critical extension is named; none is understood (RFC 7515 section 4.1.11).
    #[error("the proof has a critical extension")]
    Critical,
    /// Check 3: `typ`, `alg` or `jwk` is missing or of the wrong type.
    #[error("the proof's header lacks a required member")]
    HeaderMember,
    /// Check 3: `jti`, `htm`, `htu` or `iat` is missing, empty or of the wrong type.
    #[error("the proof lacks a required claim")]
    Claim,
    /// `jti` is longer than [`MAX_JTI`].
    #[error("the proof's jti is too long")]
    JtiTooLong,
    /// Check 4: `typ` is not `dpop+jwt`.
    #[error("the proof's typ is not dpop+jwt")]
    Type,
    /// Check 5: `alg` is none of the algorithms we take.
    #[error("the proof's algorithm is not accepted")]
    Algorithm,
    /// Check 7: the key has a private or symmetric member.
    #[error("the proof's key has a private member")]
    PrivateKey,
    /// The key is invalid: kind, size, encoding, not on its curve, not for this use.
    #[error("the proof's key is not valid")]
    Key,
    /// The key cannot make signatures of `alg` (RFC 8725 section 3.1).
    #[error("the proof's key does not fit its algorithm")]
    KeyAlgorithm,
    /// Check 6: the signature does not verify with the key.
    #[error("the proof's signature does not verify")]
    Signature,
    /// Check 8: `htm` is not the request's method.
    #[error("the proof is for another method")]
    Htm,
    /// Check 9: `htu` is no absolute http(s) URI without user information.
    #[error("the proof's htu is not a valid URI")]
    HtuInvalid,
    /// Check 9: `htu` is not the request's target URI.
    #[error("the proof is for another URI")]
    Htu,
    /// Check 10: a nonce is required and the proof has none.
    #[error("a nonce is required")]
    NonceMissing,
    /// Check 10: the nonce is not one of ours or no longer good.
    #[error("the nonce is not valid any more")]
    NonceStale,
    /// Check 11: `iat` is too old.
    #[error("the proof is too old")]
    IatStale,
    /// Check 11: `iat` is too far in the future.
    #[error("the proof is from the future")]
    IatFuture,
    /// `exp` has passed (RFC 7519 section 4.1.4).
    #[error("the proof has expired")]
    Expired,
    /// `nbf` is still to come (RFC 7519 section 4.1.5).
    #[error("the proof is not valid yet")]
    NotYetValid,
    /// Check 12: `ath` is missing.
    #[error("the proof has no ath")]
    AthMissing,
    /// Check 12: `ath` is not the hash of the access token.
    #[error("the proof is for another access token")]
    Ath,
}
