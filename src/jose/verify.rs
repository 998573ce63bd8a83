//! Signatures, with ring.

use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

use super::jwk::Material;
use super::{Algorithm, PublicKey};

/// The signature is not the key's over this input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl PublicKey {
    /// Checks a signature in the form of RFC 7518 section 3; a key that does not support `algorithm` verifies
    /// nothing.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if !self.supports(algorithm) {
            return Err(BadSignature);
        }
        match self.material() {
            Material::P256(point) => {
                check(&signature::ECDSA_P256_SHA256_FIXED, point, 64, message, signature)
            }
            Material::P384(point) => {
                check(&signature::ECDSA_P384_SHA384_FIXED, point, 96, message, signature)
            }
            Material::Ed25519(x) => check(&signature::ED25519, x, 64, message, signature),
            Material::Rsa { n, e } => {
                let parameters = rsa_parameters(algorithm).ok_or(BadSignature)?;
                if signature.len() != n.len() {
                    return Err(BadSignature);
                }
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).map_err(|_| BadSignature)
            }
        }
    }
}

/// The length is checked before anything dear is done with the bytes, and so that DER is never looked at
/// (RFC 7518 section 3.4).
fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    length: usize,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    if signature.len() != length {
        return Err(BadSignature);
    }
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| BadSignature)
}

/// Ring's name for an RSA algorithm; the key was checked to be 2048 to 4096 bits long.
fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}
