//! The compact serialisation (RFC 7515 section 7.1) and its signature.

use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

use super::jwk::Material;
use super::{Algorithm, JwkError, PublicKey, base64url, json};

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
        if !key.supports(algorithm) {
            return Err(BadSignature);
        }
        match key.material() {
            Material::P256(point) => self.check(&signature::ECDSA_P256_SHA256_FIXED, point, 64),
            Material::P384(point) => self.check(&signature::ECDSA_P384_SHA384_FIXED, point, 96),
            Material::Ed25519(x) => self.check(&signature::ED25519, x, 64),
            Material::Rsa { n, e } => {
                let parameters = rsa_parameters(algorithm).ok_or(BadSignature)?;
                self.has_length(n.len())?;
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, self.signing_input.as_bytes(), &self.signature)
                    .map_err(|_| BadSignature)
            }
        }
    }

    fn check(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        key: &[u8],
        length: usize,
    ) -> Result<(), BadSignature> {
        self.has_length(length)?;
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify(self.signing_input.as_bytes(), &self.signature).map_err(|_| BadSignature)
    }

    /// The length is checked before anything dear is done with the bytes, and so that DER is never looked at.
    fn has_length(&self, length: usize) -> Result<(), BadSignature> {
        if self.signature.len() == length { Ok(()) } else { Err(BadSignature) }
    }
}

impl JoseHeader {
    /// Reads a header segment. `jwk` is read only with `want_jwk` (a proof's; an access token's is never used, J05).
    ///
    /// # Errors
    /// [`HeaderError`], as its variants say.
    pub fn parse(segment: &str, want_jwk: bool) -> Result<Self, HeaderError> {
        let text = base64url::decode(segment).ok_or(json::JsonError::Syntax)?;
        let header = json::Object::parse(&text)?;
        if header.get("crit").is_some() || header.get("b64").is_some() {
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

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
