//! Public keys (RFC 7517, RFC 7518 section 6, RFC 8037), valid or not at all.

use super::{Algorithm, Thumbprint, json};

/// A public key that passed every check of D08, D11 and D12: kind, size, point on the curve, canonical encoding.
#[derive(Clone)]
pub struct PublicKey(());

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint())
    }
}

/// Why a `jwk` is no key we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// `kty` is missing or none of EC, RSA, OKP; or `crv` is not P-256, P-384, Ed25519.
    #[error("the key is of no supported kind")]
    Kind,
    /// A member that only a private or symmetric key has (`d p q dp dq qi oth k`), whatever its value, or `kty` "oct" (RFC 9449 section 4.3 check 7).
    #[error("the key has a private or symmetric member")]
    Private,
    /// A required member is missing, of the wrong type, not canonical base64url, not of full size, or not on the curve; RSA: fewer than 2048 or more than 4096 bits, leading zero, or an exponent that is even, below 3 or above 2^32.
    #[error("the key's members are not valid")]
    Invalid,
    /// `alg`, `use` or `key_ops` say that the key is not for verifying this.
    #[error("the key is not meant for this use")]
    Use,
}

impl PublicKey {
    /// Reads a key; `alg`, `use` and `key_ops`, where present, must allow verifying signatures. Unknown members are ignored.
    ///
    /// # Errors
    /// [`JwkError`], as its variants say.
    pub fn from_jwk(_jwk: &json::Object<'_>) -> Result<Self, JwkError> {
        todo!()
    }

    /// Whether this key can make signatures of `algorithm`: by its kind (ES256 needs P-256, …) and by the `alg` it was declared with, if any.
    pub fn supports(&self, _algorithm: Algorithm) -> bool {
        todo!()
    }

    /// The RFC 7638 SHA-256 thumbprint, of the validated values; computed once, when the key was read.
    pub fn thumbprint(&self) -> Thumbprint {
        todo!()
    }
}
