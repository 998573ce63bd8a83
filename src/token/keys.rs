//! An issuer's public keys.

use crate::jose::json::{JsonError, Limits, Object, Outline, Value};
use crate::jose::{Algorithm, JwkError, PublicKey};
use std::fmt::{Display, Formatter};

/// The longest document of an issuer that is read, in bytes.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// How many keys a set may have, usable or not (fault 8: a set is read while requests wait).
const MAX_KEYS: usize = 64;
/// How much of a `kid` is shown.
const SHOWN: usize = 64;

/// The usable keys of a JWK Set (RFC 7517 section 5), at most 64, and what was left out of it.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<(Option<String>, PublicKey)>,
    left_out: Vec<LeftOut>,
}

/// Why a document is no key set to use; the previous one stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`, or one with a member twice.
    #[error("not a JWK Set: a JSON object with an array \"keys\"")]
    Format,
    /// Longer than 256 KiB.
    #[error("longer than 256 KiB")]
    TooLarge,
    /// More than 64 keys.
    #[error("more than 64 keys")]
    TooMany,
    /// The array `keys` is empty.
    #[error("no key in it")]
    Empty,
    /// Every key was left out.
    #[error("no usable signature key in it: {}", list(.0))]
    Unusable(Vec<LeftOut>),
}

/// A key of a set that is not used. It costs nobody but itself: the others serve, and new ones arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the list, from 1.
    pub place: usize,
    /// Its `kid`, where that is a text; cut, and without control characters.
    pub kid: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not a JSON object.
    #[error("it is no JSON object")]
    NoObject,
    /// A JSON object that is not read, as one with a member twice.
    #[error("it {}", json_reason(*.0))]
    Json(JsonError),
    /// `kid` is of another type (RFC 7517 section 4.5).
    #[error("its kid is no text")]
    Kid,
    /// A symmetric key: whoever can verify with it can sign.
    #[error("it is a symmetric key, which must not be published and verifies nothing here")]
    Symmetric,
    /// Not a key to verify signatures with.
    #[error("{0}")]
    Jwk(JwkError),
    /// The private part is in it, so everybody who can read the set can make tokens.
    #[error(
        "it is a private key and has leaked: whoever has read it can make tokens, so have the issuer replace it"
    )]
    Leaked,
}

impl Reason {
    /// Whether a set may well have such a key: RFC 7517 section 5 wants keys ignored that their reader does not understand.
    pub const fn is_usual(self) -> bool {
        match self {
            Self::Jwk(JwkError::Kind | JwkError::Use) => true,
            Self::Jwk(JwkError::Private | JwkError::Size | JwkError::Point | JwkError::Invalid) => false,
            Self::NoObject | Self::Json(_) | Self::Kid | Self::Symmetric | Self::Leaked => false,
        }
    }
}

impl Display for LeftOut {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {}", self.place)?;
        if let Some(kid) = &self.kid {
            write!(f, " (kid \"{kid}\")")?;
        }
        write!(f, " is not used: {}", self.reason)
    }
}

const fn json_reason(error: JsonError) -> &'static str {
    match error {
        JsonError::Syntax => "has a value that cannot be read",
        JsonError::Duplicate => "has a member twice",
        JsonError::TooDeep => "has too many levels of objects and arrays",
        JsonError::TooMany => "has too many members and array items",
    }
}

fn list(left_out: &[LeftOut]) -> String {
    left_out.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl KeySet {
    /// Reads a JWK Set document.
    ///
    /// Each key is read by itself, so that an odd one costs only itself: [`KeySet::left_out`] names it.
    ///
    /// # Errors
    /// [`KeySetError`], as its variants say.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT {
            return Err(KeySetError::TooLarge);
        }
        // Some servers write a byte order mark, which a reader may ignore (RFC 8259 section 8.1).
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let outline = Outline::parse(document).map_err(|_| KeySetError::Format)?;
        let jwks = outline.items("keys").ok_or(KeySetError::Format)?;
        if jwks.is_empty() {
            return Err(KeySetError::Empty);
        }
        if jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut set = Self { keys: Vec::with_capacity(jwks.len()), left_out: Vec::new() };
        for (index, jwk) in jwks.into_iter().enumerate() {
            match read_key(jwk) {
                Ok(key) => set.keys.push(key),
                Err((kid, reason)) => {
                    set.left_out.push(LeftOut { place: index.saturating_add(1), kid, reason })
                }
            }
        }
        if set.keys.is_empty() { Err(KeySetError::Unusable(set.left_out)) } else { Ok(set) }
    }

    /// The keys of the document that are not used, in its order.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
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

/// One key of the set with its `kid`; or why it is not used, and its `kid` as far as it has one to show.
fn read_key(text: &str) -> Result<(Option<String>, PublicKey), (Option<String>, Reason)> {
    if !text.starts_with('{') {
        return Err((None, Reason::NoObject));
    }
    let jwk = Object::parse(text.as_bytes(), Limits::SMALL)
        .map_err(|error| (kid_at_first_sight(text), Reason::Json(error)))?;
    let kid = jwk.get("kid");
    let kid_text = kid.and_then(Value::as_str);
    let refused = |reason| (kid_text.map(shown), reason);
    // A leak is the worst that can be said of a key, so it is said before anything else; a symmetric one's `k` is another matter.
    let is_symmetric = jwk.get("kty").and_then(Value::as_str) == Some("oct");
    let key = PublicKey::from_jwk(&jwk).map_err(|error| match error {
        JwkError::Private if is_symmetric => refused(Reason::Symmetric),
        JwkError::Private => refused(Reason::Leaked),
        JwkError::Kind | JwkError::Size | JwkError::Point | JwkError::Invalid | JwkError::Use => {
            refused(Reason::Jwk(error))
        }
    })?;
    match kid {
        Some(_) if kid_text.is_none() => Err(refused(Reason::Kid)),
        Some(_) | None => Ok((kid_text.map(str::to_owned), key)),
    }
}

/// The `kid` of a key that is refused for its JSON: enough to name it.
fn kid_at_first_sight(text: &str) -> Option<String> {
    let jwk: serde_json::Value = serde_json::from_str(text).ok()?;
    jwk.get("kid")?.as_str().map(shown)
}

/// A `kid` for the log: not endless, and nothing in it that a terminal obeys.
fn shown(kid: &str) -> String {
    let cut: String = kid.chars().take(SHOWN).collect();
    let dots = if cut.len() < kid.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_debug())
}

#[cfg(test)]
mod tests;
