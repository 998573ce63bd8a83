//! The client's side: keys that sign, for `keyproof request` and `keyproof demo`.

use super::{Algorithm, PublicKey};

/// A private key of ES256 (P-256), ES384, EdDSA (Ed25519) or RSA.
pub struct PrivateKey(());

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Why a key file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Neither PEM (PKCS #8, SEC 1) nor a private JWK.
    #[error("neither a PEM private key (PKCS #8 or SEC 1) nor a private JWK")]
    Format,
    /// A kind of key that is not supported.
    #[error("the key is none of P-256, P-384, Ed25519, RSA")]
    Kind,
}

impl PrivateKey {
    /// A new key for `algorithm`: ES256, ES384 or EdDSA (`None` for the RSA ones, which ring cannot make).
    pub fn generate(_algorithm: Algorithm) -> Option<Self> {
        todo!()
    }

    /// Reads a PEM or JWK file's contents.
    ///
    /// # Errors
    /// [`KeyFileError`], as its variants say.
    pub fn read(_text: &str) -> Result<Self, KeyFileError> {
        todo!()
    }

    /// The algorithm this key signs with: that of its kind, PS256 for RSA.
    pub fn algorithm(&self) -> Algorithm {
        todo!()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        todo!()
    }

    /// The public half as the JSON text of a JWK, members in thumbprint order.
    pub fn public_jwk(&self) -> String {
        todo!()
    }

    /// The private key as the JSON text of a JWK, for `--key` files.
    pub fn private_jwk(&self) -> String {
        todo!()
    }

    /// Signs header and payload (JSON texts) into a compact JWS. `header` must name [`PrivateKey::algorithm`].
    pub fn sign(&self, _header: &str, _payload: &str) -> String {
        todo!()
    }
}
