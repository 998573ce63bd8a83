//! What a proof says: header and claims, typed, and every reason to refuse one.

use crate::clock::UnixTime;
use crate::jose::json::{JsonError, Limits, Object, Value};
use crate::jose::{Algorithm, HeaderError, JoseHeader, JwkError, PublicKey};

/// The longest proof that is read, in bytes. RSA keys of 4096 bits need about 2 KiB.
pub const MAX_PROOF: usize = 4 * 1024;
/// How large a proof's payload may be; RFC 9449 section 4.2 names eight claims.
const PAYLOAD_LIMITS: Limits = Limits { items: 64, ..Limits::SMALL };
/// The longest `jti` that is taken, in bytes (RFC 9449 section 11.1).
pub const MAX_JTI: usize = 256;

/// The claims that every proof has (RFC 9449 section 4.2).
pub(super) const REQUIRED_CLAIMS: [&str; 4] = ["jti", "htm", "htu", "iat"];

/// What a proof's header says: kept per header segment, so a client's key is parsed and validated once.
#[derive(Debug)]
pub(super) struct ProofKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: PublicKey,
}

/// The claims of a proof (RFC 9449 section 4.2), borrowed from its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProofClaims<'a> {
    pub(super) jti: &'a str,
    pub(super) htm: &'a str,
    pub(super) htu: &'a str,
    pub(super) iat: UnixTime,
    pub(super) exp: Option<UnixTime>,
    pub(super) nbf: Option<UnixTime>,
    pub(super) ath: Option<&'a str>,
    pub(super) nonce: Option<&'a str>,
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
    /// Check 2: header or payload is not acceptable JSON (duplicate names, no object).
    #[error("the proof's header or payload is not valid JSON")]
    Json,
    /// Header or payload has more than 8 levels of objects and arrays.
    #[error("the proof's header or payload has too many levels")]
    TooDeep,
    /// The header has more than 1,024 members and items, or the payload more than 64.
    #[error("the proof's header or payload has too many members")]
    TooMany,
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

impl ProofError {
    /// Whether the signature was checked before this was found out.
    pub const fn cost_a_signature(self) -> bool {
        match self {
            Self::Signature | Self::NonceMissing | Self::NonceStale | Self::AthMissing | Self::Ath => true,
            Self::TooLong
            | Self::Malformed
            | Self::Json
            | Self::TooDeep
            | Self::TooMany
            | Self::Critical
            | Self::HeaderMember
            | Self::Claim
            | Self::JtiTooLong
            | Self::Type
            | Self::Algorithm
            | Self::PrivateKey
            | Self::Key
            | Self::KeyAlgorithm
            | Self::Htm
            | Self::HtuInvalid
            | Self::Htu
            | Self::IatStale
            | Self::IatFuture
            | Self::Expired
            | Self::NotYetValid => false,
        }
    }
}

impl From<HeaderError> for ProofError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Json(error) => error.into(),
            HeaderError::Critical => Self::Critical,
            HeaderError::Type => Self::HeaderMember,
            HeaderError::Jwk(JwkError::Private) => Self::PrivateKey,
            HeaderError::Jwk(
                JwkError::Kind | JwkError::Size | JwkError::Point | JwkError::Invalid | JwkError::Use,
            ) => Self::Key,
        }
    }
}

impl From<JsonError> for ProofError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax | JsonError::Duplicate => Self::Json,
            JsonError::TooDeep => Self::TooDeep,
            JsonError::TooMany => Self::TooMany,
        }
    }
}

impl ProofKey {
    /// Checks 3 to 5 and 7 on the header: a proof's `typ`, one of the accepted algorithms, and a public key
    /// that fits it.
    pub(super) fn read(segment: &str, accepted: &[Algorithm]) -> Result<Self, ProofError> {
        let header = JoseHeader::of_proof(segment)?;
        check_type(&header)?;
        let algorithm = check_algorithm(&header, accepted)?;
        let key = header.jwk.ok_or(ProofError::HeaderMember)?;
        check_fit(&key, algorithm)?;
        Ok(Self { algorithm, key })
    }
}

/// Check 4: `typ`, to the letter (RFC 9449 section 4.2).
pub(super) fn check_type(header: &JoseHeader) -> Result<(), ProofError> {
    match header.typ.as_deref() {
        Some("dpop+jwt") => Ok(()),
        Some(_) => Err(ProofError::Type),
        None => Err(ProofError::HeaderMember),
    }
}

/// Check 5: `alg` is one of the accepted algorithms, to the letter.
pub(super) fn check_algorithm(header: &JoseHeader, accepted: &[Algorithm]) -> Result<Algorithm, ProofError> {
    let name = header.alg.as_deref().ok_or(ProofError::HeaderMember)?;
    let algorithm = Algorithm::from_name(name).ok_or(ProofError::Algorithm)?;
    if accepted.contains(&algorithm) { Ok(algorithm) } else { Err(ProofError::Algorithm) }
}

/// The key can make signatures of the algorithm (RFC 8725 section 3.1).
pub(super) fn check_fit(key: &PublicKey, algorithm: Algorithm) -> Result<(), ProofError> {
    if key.supports(algorithm) { Ok(()) } else { Err(ProofError::KeyAlgorithm) }
}

/// The payload, within the limits of a proof.
pub(super) fn payload(bytes: &[u8]) -> Result<Object<'_>, ProofError> {
    Ok(Object::parse(bytes, PAYLOAD_LIMITS)?)
}

impl<'a> ProofClaims<'a> {
    /// Check 3 on the claims: those that are required are there, and all have their type (RFC 7519 section 4.1).
    pub(super) fn read(payload: &'a Object<'_>) -> Result<Self, ProofError> {
        let claims = Self {
            jti: required_text(payload, "jti")?,
            htm: required_text(payload, "htm")?,
            htu: required_text(payload, "htu")?,
            iat: date(payload, "iat")?.ok_or(ProofError::Claim)?,
            exp: date(payload, "exp")?,
            nbf: date(payload, "nbf")?,
            ath: text(payload, "ath")?,
            nonce: text(payload, "nonce")?,
        };
        if claims.jti.len() > MAX_JTI {
            return Err(ProofError::JtiTooLong);
        }
        Ok(claims)
    }
}

/// A claim that must be there and not empty.
pub(super) fn required_text<'a>(payload: &'a Object<'_>, name: &str) -> Result<&'a str, ProofError> {
    text(payload, name)?.filter(|text| !text.is_empty()).ok_or(ProofError::Claim)
}

/// A claim of another type is an error, never an absent one.
pub(super) fn text<'a>(payload: &'a Object<'_>, name: &str) -> Result<Option<&'a str>, ProofError> {
    payload.get(name).map(|value| value.as_str().ok_or(ProofError::Claim)).transpose()
}

/// A `NumericDate` claim, if there is one.
pub(super) fn date(payload: &Object<'_>, name: &str) -> Result<Option<UnixTime>, ProofError> {
    let read = |value: &Value<'_>| value.as_number().and_then(UnixTime::from_numeric_date);
    payload.get(name).map(|value| read(value).ok_or(ProofError::Claim)).transpose()
}

/// The names of those claims that [`ProofClaims::read`] does not take, for a reader of the report.
pub(super) fn unreadable_claims(payload: &Object<'_>) -> Vec<&'static str> {
    let required = REQUIRED_CLAIMS.into_iter().filter(|name| match *name {
        "iat" => !matches!(date(payload, name), Ok(Some(_))),
        _ => required_text(payload, name).is_err(),
    });
    let dates = ["exp", "nbf"].into_iter().filter(|name| date(payload, name).is_err());
    let texts = ["ath", "nonce"].into_iter().filter(|name| text(payload, name).is_err());
    required.chain(dates).chain(texts).collect()
}
