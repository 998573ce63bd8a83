//! Public keys (RFC 7517, RFC 7518 section 6, RFC 8037), valid or not at all.

mod curve;
mod edwards;

use super::{Algorithm, Thumbprint, base64url, json, sha256};

/// A public key that passed every check: kind, size, point on the curve, canonical encoding, nothing private
/// in it.
///
/// RFC 8725 sections 3.1 and 3.4, RFC 7518 sections 3.3 and 6.2.1.2, RFC 9449 section 4.3 check 7.
#[derive(Clone)]
pub struct PublicKey {
    material: Material,
    /// The algorithm the key was declared for, if any.
    declared: Option<Algorithm>,
    thumbprint: Thumbprint,
}

/// The key itself, in the form in which it verifies.
#[derive(Clone)]
pub(super) enum Material {
    /// A point of P-256: 4, x, y (SEC 1 section 2.3.3).
    P256([u8; 65]),
    /// A point of P-384.
    P384([u8; 97]),
    Ed25519([u8; 32]),
    /// Modulus and exponent, big-endian, no leading zero.
    Rsa {
        n: Box<[u8]>,
        e: Box<[u8]>,
    },
}

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
    /// A member that only a private or symmetric key has (`d p q dp dq qi oth k`), whatever its value but
    /// `null`, or `kty` "oct" (RFC 9449 section 4.3 check 7).
    #[error("the key has a private or symmetric member")]
    Private,
    /// RSA with fewer than 2048 or more than 4096 bits.
    #[error("the RSA key has fewer than 2048 or more than 4096 bits")]
    Size,
    /// The coordinates are not those of a point on the curve, or of one that anything verifies under.
    #[error("the key is not a valid point on its curve")]
    Point,
    /// A required member is missing, of the wrong type, not canonical base64url, or not of full size; RSA: a
    /// leading zero, an even modulus, or an exponent that is even, below 3 or above 2^32.
    #[error("a member of the key is missing or not valid")]
    Invalid,
    /// `alg`, `use` or `key_ops` say that the key is not for verifying signatures, or not with an algorithm of
    /// its kind.
    #[error("by its alg, use or key_ops the key is not for verifying signatures that are accepted here")]
    Use,
}

/// The members only a private or symmetric key has (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1, RFC 8037 section
/// 2).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// RSA moduli, in bits (RFC 7518 section 3.3; the upper bound caps what one verification costs).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// RSA exponents; the upper bound caps the cost as well.
const RSA_EXPONENTS: std::ops::RangeInclusive<u64> = 3..=1 << 32;

impl PublicKey {
    /// Reads a key; `alg`, `use` and `key_ops`, where present, must allow verifying signatures. Unknown
    /// members are ignored.
    ///
    /// # Errors
    /// [`JwkError`], as its variants say.
    pub fn from_jwk(jwk: &json::Object<'_>) -> Result<Self, JwkError> {
        let kty = jwk.get("kty").and_then(json::Value::as_str);
        if kty == Some("oct") || jwk.iter().any(|(name, _)| PRIVATE_MEMBERS.contains(&name)) {
            return Err(JwkError::Private);
        }
        let mut key = Self::new(Material::from_jwk(jwk)?);
        key.declared = declared_use(jwk)?;
        match key.declared {
            Some(algorithm) if !key.material.fits(algorithm) => Err(JwkError::Use),
            _ => Ok(key),
        }
    }

    /// Whether this key can make signatures of `algorithm`: by its kind (ES256 needs P-256, …) and by the
    /// `alg` it was declared with, if any.
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.material.fits(algorithm) && self.declared.is_none_or(|declared| declared == algorithm)
    }

    /// The RFC 7638 SHA-256 thumbprint, of the validated values; computed once, when the key was read.
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The key of this material, declared for nothing in particular.
    pub(super) fn new(material: Material) -> Self {
        let thumbprint = Thumbprint::new(sha256(&[material.to_jwk().as_bytes()]));
        Self { material, declared: None, thumbprint }
    }

    /// A key of this name, where a test needs no signature.
    #[cfg(test)]
    pub(crate) const fn named(thumbprint: Thumbprint) -> Self {
        Self { material: Material::Ed25519([0; 32]), declared: None, thumbprint }
    }

    pub(super) fn material(&self) -> &Material {
        &self.material
    }
}

impl Material {
    fn from_jwk(jwk: &json::Object<'_>) -> Result<Self, JwkError> {
        let text = |name| jwk.get(name).and_then(json::Value::as_str);
        let member = |name| text(name).ok_or(JwkError::Invalid);
        match (text("kty"), text("crv")) {
            (Some("EC"), Some("P-256")) => Self::p256(coordinate(member("x")?)?, coordinate(member("y")?)?),
            (Some("EC"), Some("P-384")) => Self::p384(coordinate(member("x")?)?, coordinate(member("y")?)?),
            (Some("OKP"), Some("Ed25519")) => Self::ed25519(coordinate(member("x")?)?),
            (Some("RSA"), _) => {
                let (n, e) = (member("n")?, member("e")?);
                // Four characters carry three bytes; what is longer than any modulus is not worth decoding.
                let longest = RSA_BITS.end().div_ceil(6);
                if n.len() > longest {
                    return Err(JwkError::Size);
                }
                if e.len() > longest {
                    return Err(JwkError::Invalid);
                }
                let n = base64url::decode(n).ok_or(JwkError::Invalid)?;
                Self::rsa(n, base64url::decode(e).ok_or(JwkError::Invalid)?)
            }
            _ => Err(JwkError::Kind),
        }
    }

    pub(super) fn p256(x: [u8; 32], y: [u8; 32]) -> Result<Self, JwkError> {
        if curve::on_p256(&x, &y) { Ok(Self::P256(uncompressed(&x, &y))) } else { Err(JwkError::Point) }
    }

    pub(super) fn p384(x: [u8; 48], y: [u8; 48]) -> Result<Self, JwkError> {
        if curve::on_p384(&x, &y) { Ok(Self::P384(uncompressed(&x, &y))) } else { Err(JwkError::Point) }
    }

    pub(super) fn ed25519(x: [u8; 32]) -> Result<Self, JwkError> {
        if edwards::is_acceptable(&x) { Ok(Self::Ed25519(x)) } else { Err(JwkError::Point) }
    }

    pub(super) fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, JwkError> {
        let bits = n.first().map_or(0, |first| (n.len() * 8).saturating_sub(leading_zero_bits(*first)));
        let exponent = match e.as_slice() {
            [] | [0, ..] => None,
            bytes if bytes.len() <= 5 => {
                Some(bytes.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)))
            }
            _ => None,
        };
        if !RSA_BITS.contains(&bits) {
            return Err(JwkError::Size);
        }
        let n_valid = n.first() != Some(&0) && is_odd(&n);
        let e_valid = exponent.is_some_and(|e| RSA_EXPONENTS.contains(&e)) && is_odd(&e);
        if n_valid && e_valid {
            Ok(Self::Rsa { n: n.into_boxed_slice(), e: e.into_boxed_slice() })
        } else {
            Err(JwkError::Invalid)
        }
    }

    /// Whether signatures of this algorithm are made with keys of this kind (RFC 7518 section 3.1, RFC 8037
    /// section 3.1).
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::P256(_) => algorithm == Es256,
            Self::P384(_) => algorithm == Es384,
            Self::Ed25519(_) => algorithm == EdDsa,
            Self::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
        }
    }

    /// The required members in lexicographic order, without white space: what a thumbprint hashes (RFC 7638
    /// section 3).
    pub(super) fn to_jwk(&self) -> String {
        let ec = |crv, point: &[u8]| {
            let (x, y) =
                point.get(1..).and_then(|both| both.split_at_checked(both.len() / 2)).unwrap_or_default();
            let (x, y) = (base64url::encode(x), base64url::encode(y));
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        };
        match self {
            Self::P256(point) => ec("P-256", point),
            Self::P384(point) => ec("P-384", point),
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(x)),
            Self::Rsa { n, e } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url::encode(e), base64url::encode(n))
            }
        }
    }
}

/// What `alg`, `use` and `key_ops` say (RFC 7517 sections 4.2 to 4.4): the algorithm, or that the key is for
/// something else.
fn declared_use(jwk: &json::Object<'_>) -> Result<Option<Algorithm>, JwkError> {
    let is_for_signatures = jwk.get("use").is_none_or(|value| value.as_str() == Some("sig"));
    let may_verify = jwk.get("key_ops").is_none_or(|value| {
        value.as_array().is_some_and(|operations| operations.iter().any(|one| one.as_str() == Some("verify")))
    });
    if !is_for_signatures || !may_verify {
        return Err(JwkError::Use);
    }
    let Some(alg) = jwk.get("alg") else { return Ok(None) };
    alg.as_str().and_then(Algorithm::from_name).map(Some).ok_or(JwkError::Use)
}

/// A coordinate of exactly the field's size (RFC 7518 section 6.2.1.2).
fn coordinate<const N: usize>(text: &str) -> Result<[u8; N], JwkError> {
    base64url::decode_array(text).ok_or(JwkError::Invalid)
}

/// The uncompressed form of a point.
fn uncompressed<const N: usize>(x: &[u8], y: &[u8]) -> [u8; N] {
    let mut point = [4; N];
    for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(y)) {
        *to = *from;
    }
    point
}

fn leading_zero_bits(byte: u8) -> usize {
    usize::try_from(byte.leading_zeros()).unwrap_or(8)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}

#[cfg(test)]
mod tests;
