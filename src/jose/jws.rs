//! The compact serialisation (RFC 7515 section 7.1) and its signature.

use super::{Algorithm, JwkError, PublicKey, json};

/// A compact JWS, split and decoded but not verified.
#[derive(Debug)]
pub struct CompactJws<'a> {
    /// The first segment as it came: equal segments have equal headers, so a parsed one can be kept.
    pub header_segment: &'a str,
    /// What the signature covers: both segments and the dot between.
    pub signing_input: &'a str,
    /// The decoded payload, which is not empty.
    pub payload: Vec<u8>,
    /// The decoded signature, at most 512 bytes.
    pub signature: Vec<u8>,
}

/// Why a text is no compact JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a compact JWS of three canonical base64url segments")]
pub struct JwsError;

/// The signature is not the key's over this input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// Why a JOSE header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The header is not acceptable JSON.
    #[error("the JOSE header is not valid JSON: {0}")]
    Json(#[from] json::JsonError),
    /// `crit` or `b64` is present; nothing critical is understood here (RFC 7515 section 4.1.11, RFC 7797).
    #[error("the JOSE header has a critical extension")]
    Critical,
    /// A registered member has the wrong type.
    #[error("a member of the JOSE header has the wrong type")]
    Type,
    /// `jwk` is refused.
    #[error("the key in the JOSE header is refused: {0}")]
    Jwk(#[from] JwkError),
}

/// The members of a JOSE header that matter here. Others may be there and are ignored, never fetched (D10, D15, J05).
#[derive(Clone, Debug)]
pub struct JoseHeader {
    /// `alg`, as written; `None` if absent.
    pub alg: Option<String>,
    /// `typ`, as written.
    pub typ: Option<String>,
    /// `kid`, as written.
    pub kid: Option<String>,
    /// `jwk`, read and validated where the caller asked for it.
    pub jwk: Option<PublicKey>,
}

impl<'a> CompactJws<'a> {
    /// Splits `text` into exactly three canonical base64url segments.
    ///
    /// # Errors
    /// [`JwsError`] for anything else: JWE, JSON serialisation, padding, white space, an empty segment.
    pub fn split(_text: &'a str) -> Result<Self, JwsError> {
        todo!()
    }

    /// Checks the signature with `key` under `algorithm`; a key that does not support it verifies nothing.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, _algorithm: Algorithm, _key: &PublicKey) -> Result<(), BadSignature> {
        todo!()
    }
}

impl JoseHeader {
    /// Reads a header segment. `jwk` is read only with `want_jwk` (a proof's; an access token's is never used, J05).
    ///
    /// # Errors
    /// [`HeaderError`], as its variants say.
    pub fn parse(_segment: &str, _want_jwk: bool) -> Result<Self, HeaderError> {
        todo!()
    }
}
