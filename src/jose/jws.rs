//! The compact serialisation (RFC 7515 section 7.1) and its signature.

use super::{Algorithm, BadSignature, JwkError, PublicKey, base64url, json};

/// The longest text that is looked at; HTTP header blocks are limited well below it.
const MAX_TEXT: usize = 64 * 1024;
/// The longest signature: RSA with 4096 bits.
const MAX_SIGNATURE: usize = 512;

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

/// Why a JOSE header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The header is not acceptable JSON.
    #[error("the JOSE header is not valid JSON: {0}")]
    Json(#[from] json::JsonError),
    /// `crit`, be it `null`, or `b64` is present; nothing critical is understood here (RFC 7515 section 4.1.11,
    /// RFC 7797).
    #[error("the JOSE header has a critical extension")]
    Critical,
    /// A registered member has the wrong type.
    #[error("a member of the JOSE header has the wrong type")]
    Type,
    /// `jwk` is refused.
    #[error("the key in the JOSE header is refused: {0}")]
    Jwk(#[from] JwkError),
}

/// The members of a JOSE header that matter here.
///
/// Others may be there and are ignored (RFC 9449 section 4.2); `jku` and `x5u` are never fetched (RFC 8725
/// section 3.10).
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
    pub fn split(text: &'a str) -> Result<Self, JwsError> {
        if text.len() > MAX_TEXT {
            return Err(JwsError);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(JwsError)?;
        // A fourth segment would leave its dot in the payload, where it is no base64url.
        let (header_segment, payload) = signing_input.split_once('.').ok_or(JwsError)?;
        let empty = header_segment.is_empty() || payload.is_empty() || signature.is_empty();
        let too_long = signature.len() > (MAX_SIGNATURE * 4).div_ceil(3);
        if empty || too_long || !base64url::is_canonical(header_segment) {
            return Err(JwsError);
        }
        let signature = base64url::decode(signature).ok_or(JwsError)?;
        let payload = base64url::decode(payload).ok_or(JwsError)?;
        Ok(Self { header_segment, signing_input, payload, signature })
    }

    /// Checks the signature with `key` under `algorithm`; a key that does not support it verifies nothing.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, algorithm: Algorithm, key: &PublicKey) -> Result<(), BadSignature> {
        key.verify(algorithm, self.signing_input.as_bytes(), &self.signature)
    }
}

impl JoseHeader {
    /// Reads the header segment of a proof, `jwk` too.
    ///
    /// # Errors
    /// [`HeaderError`], as its variants say.
    pub fn of_proof(segment: &str) -> Result<Self, HeaderError> {
        Self::read(segment, json::Limits::SMALL, true)
    }

    /// The same, but for `jwk`: for a report in which a bad key is to hide nothing else.
    ///
    /// # Errors
    /// [`HeaderError`], as its variants say.
    pub fn of_proof_without_key(segment: &str) -> Result<Self, HeaderError> {
        Self::read(segment, json::Limits::SMALL, false)
    }

    /// Reads the header segment of a token. A key in it is never used (RFC 8725 section 3.10).
    ///
    /// # Errors
    /// [`HeaderError`], as its variants say.
    pub fn of_token(segment: &str) -> Result<Self, HeaderError> {
        Self::read(segment, json::Limits::TOKEN, false)
    }

    fn read(segment: &str, limits: json::Limits, want_jwk: bool) -> Result<Self, HeaderError> {
        let text = base64url::decode(segment).ok_or(json::JsonError::Syntax)?;
        let header = json::Object::parse(&text, limits)?;
        // A critical extension that is spelled badly is still one: only here `null` is not absent.
        if header.is_written("crit") || header.get("b64").is_some() {
            return Err(HeaderError::Critical);
        }
        Ok(Self {
            alg: string(&header, "alg")?,
            typ: string(&header, "typ")?,
            kid: string(&header, "kid")?,
            jwk: if want_jwk { embedded_key(&header)? } else { None },
        })
    }
}

/// The string of this name, if there is one; another type is an error, never an absence.
fn string(header: &json::Object<'_>, name: &str) -> Result<Option<String>, HeaderError> {
    let text = |value: &json::Value<'_>| value.as_str().map(str::to_owned).ok_or(HeaderError::Type);
    header.get(name).map(text).transpose()
}

fn embedded_key(header: &json::Object<'_>) -> Result<Option<PublicKey>, HeaderError> {
    let Some(jwk) = header.get("jwk") else { return Ok(None) };
    let jwk = jwk.as_object().ok_or(HeaderError::Type)?;
    Ok(Some(PublicKey::from_jwk(jwk)?))
}

#[cfg(test)]
mod tests;
