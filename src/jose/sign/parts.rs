//! The numbers a private key consists of, out of PKCS #8, SEC 1, PKCS #1 or a JWK, and back into a JWK.

use rustls::pki_types::pem::{self, SectionKind};

use super::{KeyFileError, der};
use crate::jose::{base64url, json};

/// The curves of ECDSA keys.
#[derive(Clone, Copy)]
pub(super) enum Curve {
    P256,
    P384,
}

/// A private key's numbers, big-endian; whether they fit each other is not checked here.
pub(super) enum Parts {
    Ec { curve: Curve, d: Vec<u8>, x: Vec<u8>, y: Vec<u8> },
    Ed25519 { seed: [u8; 32], x: Option<[u8; 32]> },
    Rsa(RsaParts),
}

/// RFC 7518 section 6.3, by the names there.
pub(super) struct RsaParts {
    pub(super) n: Vec<u8>,
    pub(super) e: Vec<u8>,
    pub(super) d: Vec<u8>,
    pub(super) p: Vec<u8>,
    pub(super) q: Vec<u8>,
    pub(super) dp: Vec<u8>,
    pub(super) dq: Vec<u8>,
    pub(super) qi: Vec<u8>,
}

/// id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// secp256r1.
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// secp384r1.
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// id-Ed25519 (RFC 8410 section 3).
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// rsaEncryption (RFC 8017 appendix A.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

impl Parts {
    /// The first private key in a PEM text (RFC 7468); sections of another kind, as `EC PARAMETERS`, are
    /// passed over.
    pub(super) fn from_pem(text: &str) -> Result<Self, KeyFileError> {
        let mut input = text.as_bytes();
        while let Some((kind, der)) = pem::from_buf(&mut input).map_err(|_| KeyFileError::Format)? {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the crate may learn more kinds, none of them a key of ours"
            )]
            match kind {
                SectionKind::PrivateKey => return Self::from_pkcs8(&der),
                SectionKind::EcPrivateKey => return ec_private_key(&der, None),
                SectionKind::RsaPrivateKey => return rsa_private_key(&der).ok_or(KeyFileError::Format),
                _ => {}
            }
        }
        Err(KeyFileError::Format)
    }

    /// Reads `PrivateKeyInfo` (RFC 5208 section 5, RFC 5958 section 2).
    pub(super) fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let Pkcs8 { algorithm, curve, key } = pkcs8_fields(bytes).ok_or(KeyFileError::Format)?;
        match algorithm {
            EC_PUBLIC_KEY => ec_private_key(key, curve),
            ED25519 => {
                let seed =
                    der::Reader::new(key).element(der::OCTET_STRING).and_then(|seed| seed.try_into().ok());
                seed.map(|seed| Self::Ed25519 { seed, x: None }).ok_or(KeyFileError::Format)
            }
            RSA_ENCRYPTION => rsa_private_key(key).ok_or(KeyFileError::Format),
            _ => Err(KeyFileError::Kind),
        }
    }

    /// Reads a private JWK (RFC 7518 section 6, RFC 8037 section 2).
    pub(super) fn from_jwk(text: &str) -> Result<Self, KeyFileError> {
        let jwk =
            json::Object::parse(text.as_bytes(), json::Limits::SMALL).map_err(|_| KeyFileError::Format)?;
        let text = |name| jwk.get(name).and_then(json::Value::as_str);
        let bytes = |name| text(name).and_then(base64url::decode).ok_or(KeyFileError::Format);
        let curve = match (text("kty").ok_or(KeyFileError::Format)?, text("crv")) {
            ("EC", Some("P-256")) => Curve::P256,
            ("EC", Some("P-384")) => Curve::P384,
            ("OKP", Some("Ed25519")) => {
                let fixed = |name| text(name).and_then(base64url::decode_array).ok_or(KeyFileError::Format);
                return Ok(Self::Ed25519 { seed: fixed("d")?, x: Some(fixed("x")?) });
            }
            ("RSA", _) => {
                let (n, e, d) = (bytes("n")?, bytes("e")?, bytes("d")?);
                let (p, q) = (bytes("p")?, bytes("q")?);
                let (dp, dq, qi) = (bytes("dp")?, bytes("dq")?, bytes("qi")?);
                return Ok(Self::Rsa(RsaParts { n, e, d, p, q, dp, dq, qi }));
            }
            _ => return Err(KeyFileError::Kind),
        };
        Ok(Self::Ec { curve, d: bytes("d")?, x: bytes("x")?, y: bytes("y")? })
    }

    /// The private JWK that continues this public one.
    pub(super) fn to_jwk(&self, public: &str) -> String {
        let mut jwk = public.trim_end_matches('}').to_owned();
        let mut member = |name: &str, bytes: &[u8]| {
            jwk.push_str(&format!(r#","{name}":"{}""#, base64url::encode(bytes)));
        };
        match self {
            Self::Ec { d, .. } => member("d", d),
            Self::Ed25519 { seed, .. } => member("d", seed),
            Self::Rsa(RsaParts { d, p, q, dp, dq, qi, .. }) => {
                for (name, bytes) in [("d", d), ("p", p), ("q", q), ("dp", dp), ("dq", dq), ("qi", qi)] {
                    member(name, bytes);
                }
            }
        }
        jwk.push('}');
        jwk
    }
}

/// What PKCS #8 wraps around a key.
struct Pkcs8<'a> {
    algorithm: &'a [u8],
    /// The algorithm's parameter, if that is an identifier.
    curve: Option<&'a [u8]>,
    /// The key in its own form.
    key: &'a [u8],
}

fn pkcs8_fields(bytes: &[u8]) -> Option<Pkcs8<'_>> {
    let mut info = der::Reader::new(bytes).sequence()?;
    info.unsigned().filter(|version| matches!(version, [0 | 1]))?;
    let mut identifier = info.sequence()?;
    let algorithm = identifier.element(der::OBJECT_IDENTIFIER)?;
    let curve = identifier.element(der::OBJECT_IDENTIFIER);
    Some(Pkcs8 { algorithm, curve, key: info.element(der::OCTET_STRING)? })
}

/// Reads `ECPrivateKey` (RFC 5915 section 3). The public point must be there, as every common tool writes it.
fn ec_private_key(bytes: &[u8], outer: Option<&[u8]>) -> Result<Parts, KeyFileError> {
    let EcPrivateKey { d, curve, point } = ec_fields(bytes).ok_or(KeyFileError::Format)?;
    let (curve, size) = match outer.or(curve) {
        Some(SECP256R1) => (Curve::P256, 32),
        Some(SECP384R1) => (Curve::P384, 48),
        _ => return Err(KeyFileError::Kind),
    };
    match point {
        // No unused bits; an uncompressed point.
        [0, 4, both @ ..] if both.len() == 2 * size => {
            let (x, y) = both.split_at_checked(size).ok_or(KeyFileError::Format)?;
            Ok(Parts::Ec { curve, d: d.to_vec(), x: x.to_vec(), y: y.to_vec() })
        }
        _ => Err(KeyFileError::Format),
    }
}

/// The fields of RFC 5915 section 3; the curve is named where nothing outside names it.
struct EcPrivateKey<'a> {
    d: &'a [u8],
    curve: Option<&'a [u8]>,
    /// A bit string, empty if it is not there.
    point: &'a [u8],
}

fn ec_fields(bytes: &[u8]) -> Option<EcPrivateKey<'_>> {
    let mut key = der::Reader::new(bytes).sequence()?;
    key.unsigned().filter(|version| *version == [1])?;
    let d = key.element(der::OCTET_STRING)?;
    let named = key.element(der::context(0));
    let curve = named.and_then(|named| der::Reader::new(named).element(der::OBJECT_IDENTIFIER));
    let point = key.element(der::context(1)).unwrap_or_default();
    let point = der::Reader::new(point).element(der::BIT_STRING).unwrap_or_default();
    Some(EcPrivateKey { d, curve, point })
}

/// Reads `RSAPrivateKey` (RFC 8017 appendix A.1.2) of two primes.
fn rsa_private_key(bytes: &[u8]) -> Option<Parts> {
    let mut key = der::Reader::new(bytes).sequence()?;
    key.unsigned().filter(|version| *version == [0])?;
    let mut next = || key.unsigned().map(<[u8]>::to_vec);
    let (n, e, d) = (next()?, next()?, next()?);
    let (p, q) = (next()?, next()?);
    let (dp, dq, qi) = (next()?, next()?, next()?);
    Some(Parts::Rsa(RsaParts { n, e, d, p, q, dp, dq, qi }))
}
