//! An issuer's public keys.

use crate::jose::{Algorithm, PublicKey};

/// The usable keys of a JWK Set (RFC 7517 section 5), at most 64.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<(Option<String>, PublicKey)>,
}

/// Why a document is no key set to use; the previous one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`.
    #[error("not a JWK Set: a JSON object with an array \"keys\"")]
    Format,
    /// More than 64 keys.
    #[error("more than 64 keys")]
    TooMany,
    /// No key that can verify a signature; symmetric, encryption and unknown ones do not count.
    #[error("no usable signature key in it")]
    Empty,
    /// A key has private members: the issuer has leaked it.
    #[error("a private key is published in it")]
    Private,
}

impl KeySet {
    /// Reads a JWK Set document. Keys of unknown kinds, `oct` keys and keys for encryption are left out (R08).
    ///
    /// # Errors
    /// [`KeySetError`], as its variants say.
    pub fn parse(_document: &[u8]) -> Result<Self, KeySetError> {
        todo!()
    }

    /// The keys to try for a token: those of this `kid` that support `algorithm`; without a `kid` all that support it.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicKey> {
        self.keys
            .iter()
            .filter(move |(k, key)| (kid.is_none() || k.as_deref() == kid) && key.supports(algorithm))
            .map(|(_, key)| key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
