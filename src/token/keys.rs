//! An issuer's public keys.

use crate::jose::json::{JsonError, Object, Value};
use crate::jose::{Algorithm, JwkError, PublicKey};

/// How many keys a set may have, usable or not (fault 8: a set is read while requests wait).
const MAX_KEYS: usize = 64;
/// How many members and array items a set may have in all: 64 for each key.
const MAX_NODES: usize = 64 * MAX_KEYS;

/// The usable keys of a JWK Set (RFC 7517 section 5), at most 64.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<(Option<String>, PublicKey)>,
}

/// Why a document is no key set to use; the previous one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys` of objects, each `kid` a string.
    #[error("not a JWK Set: a JSON object with an array \"keys\"")]
    Format,
    /// More than 64 keys, or more members than 64 keys have.
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
    /// Reads a JWK Set document, whose length the caller bounds.
    ///
    /// Keys of unknown kinds, `oct` keys, keys for encryption and invalid ones are left out (RFC 7517 section 5:
    /// a set may hold keys its reader does not understand).
    ///
    /// # Errors
    /// [`KeySetError`], as its variants say.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let document = Object::parse_bounded(document, MAX_NODES).map_err(|error| match error {
            JsonError::TooLarge => KeySetError::TooMany,
            JsonError::Syntax | JsonError::Duplicate => KeySetError::Format,
        })?;
        let jwks = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::Format)?;
        if jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut keys = Vec::with_capacity(jwks.len());
        for jwk in jwks {
            keys.extend(read_key(jwk.as_object().ok_or(KeySetError::Format)?)?);
        }
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys }) }
    }

    /// The keys to try for a token that support `algorithm`: those of its `kid`, or all where it names none.
    pub fn named<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicKey> {
        let fits = move |name: &Option<String>| kid.is_none() || name.as_deref() == kid;
        self.keys.iter().filter(move |(name, key)| fits(name) && key.supports(algorithm)).map(|(_, key)| key)
    }

    /// The keys without a name that support `algorithm`: `kid` is a hint (RFC 7515 section 4.1.4), so they may be anybody's.
    pub fn nameless(&self, algorithm: Algorithm) -> impl Iterator<Item = &PublicKey> {
        self.keys
            .iter()
            .filter(move |(name, key)| name.is_none() && key.supports(algorithm))
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

/// One key of the set with its `kid`; `None` for one that is no use here.
fn read_key(jwk: &Object<'_>) -> Result<Option<(Option<String>, PublicKey)>, KeySetError> {
    let kid = match jwk.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str().ok_or(KeySetError::Format)?.to_owned()),
    };
    // A symmetric key is left out before anything looks at it: its `k` is not a leak of an asymmetric one.
    if jwk.get("kty").and_then(Value::as_str) == Some("oct") {
        return Ok(None);
    }
    match PublicKey::from_jwk(jwk) {
        Ok(key) => Ok(Some((kid, key))),
        Err(JwkError::Private) => Err(KeySetError::Private),
        Err(JwkError::Kind | JwkError::Invalid | JwkError::Use) => Ok(None),
    }
}
