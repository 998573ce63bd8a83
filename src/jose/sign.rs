//! The client's side: keys that sign, for `keyproof request` and `keyproof demo`.

mod der;
mod parts;

use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PSS_SHA256, RsaKeyPair,
};

use self::parts::{Curve, Parts, RsaParts};
use super::jwk::Material;
use super::{Algorithm, PublicKey, encode, random};

/// A private key of ES256 (P-256), ES384, EdDSA (Ed25519) or RSA.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
    /// The private JWK: written for `--key` files, and shown nowhere else.
    private_jwk: String,
}

/// What ring signs with.
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

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
    pub fn generate(algorithm: Algorithm) -> Option<Self> {
        let curve = match algorithm {
            Algorithm::Es256 => Curve::P256,
            Algorithm::Es384 => Curve::P384,
            Algorithm::EdDsa => return Self::from_parts(&Parts::Ed25519 { seed: random(), x: None }).ok(),
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => return None,
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => return None,
        };
        let document = EcdsaKeyPair::generate_pkcs8(curve.signing(), &SystemRandom::new()).ok()?;
        Self::from_parts(&Parts::from_pkcs8(document.as_ref()).ok()?).ok()
    }

    /// Reads a PEM or JWK file's contents.
    ///
    /// # Errors
    /// [`KeyFileError`], as its variants say.
    pub fn read(text: &str) -> Result<Self, KeyFileError> {
        let is_json = text.trim_start().starts_with('{');
        let parts = if is_json { Parts::from_jwk(text) } else { Parts::from_pem(text) };
        Self::from_parts(&parts?)
    }

    /// The algorithm this key signs with: that of its kind, PS256 for RSA.
    pub fn algorithm(&self) -> Algorithm {
        match self.public.material() {
            Material::P256(_) => Algorithm::Es256,
            Material::P384(_) => Algorithm::Es384,
            Material::Ed25519(_) => Algorithm::EdDsa,
            Material::Rsa { .. } => Algorithm::Ps256,
        }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as the JSON text of a JWK, members in thumbprint order.
    pub fn public_jwk(&self) -> String {
        self.public.material().to_jwk()
    }

    /// The private key as the JSON text of a JWK, for `--key` files.
    pub fn private_jwk(&self) -> String {
        self.private_jwk.clone()
    }

    /// Signs header and payload (JSON texts) into a compact JWS. `header` must name
    /// [`PrivateKey::algorithm`].
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let mut jws = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = self.signature(jws.as_bytes());
        jws.push('.');
        jws.push_str(&encode(&signature));
        jws
    }

    #[expect(
        clippy::expect_used,
        reason = "signing fails only without random bytes, or with RSA parts that do not fit, which were tried when the key was read"
    )]
    fn signature(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).expect("a key that was read signs")
    }

    /// Checks that the parts fit each other, and keeps both halves.
    fn from_parts(parts: &Parts) -> Result<Self, KeyFileError> {
        let (pair, material) = match parts {
            Parts::Ec { curve, d, x, y } => ec_pair(*curve, d, x, y)?,
            Parts::Ed25519 { seed, x } => ed25519_pair(seed, x.as_ref())?,
            Parts::Rsa(rsa) => rsa_pair(rsa)?,
        };
        let private_jwk = parts.to_jwk(&material.to_jwk());
        Ok(Self { pair, public: PublicKey::new(material), private_jwk })
    }
}

impl Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

impl Curve {
    fn signing(self) -> &'static ring::signature::EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        }
    }
}

/// Ring checks that the private number and the point belong together.
fn ec_pair(curve: Curve, d: &[u8], x: &[u8], y: &[u8]) -> Result<(Pair, Material), KeyFileError> {
    let point = [&[4], x, y].concat();
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), d, &point, &SystemRandom::new());
    let pair = pair.map_err(|_| KeyFileError::Format)?;
    let material = match curve {
        Curve::P256 => Material::p256(array(x)?, array(y)?),
        Curve::P384 => Material::p384(array(x)?, array(y)?),
    };
    Ok((Pair::Ecdsa(pair), material.map_err(|_| KeyFileError::Format)?))
}

fn ed25519_pair(seed: &[u8; 32], x: Option<&[u8; 32]>) -> Result<(Pair, Material), KeyFileError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyFileError::Format)?;
    let public = array(pair.public_key().as_ref())?;
    if x.is_some_and(|x| *x != public) {
        return Err(KeyFileError::Format);
    }
    let material = Material::ed25519(public).map_err(|_| KeyFileError::Format)?;
    Ok((Pair::Ed25519(pair), material))
}

/// Ring finds out whether the parts fit each other when it signs, so one signature is made.
fn rsa_pair(parts: &RsaParts) -> Result<(Pair, Material), KeyFileError> {
    let components = rsa::KeyPairComponents {
        public_key: rsa::PublicKeyComponents { n: &parts.n, e: &parts.e },
        d: &parts.d,
        p: &parts.p,
        q: &parts.q,
        dP: &parts.dp,
        dQ: &parts.dq,
        qInv: &parts.qi,
    };
    let pair = RsaKeyPair::from_components(&components).map_err(|_| KeyFileError::Format)?;
    let material = Material::rsa(parts.n.clone(), parts.e.clone()).map_err(|_| KeyFileError::Format)?;
    let pair = Pair::Rsa(pair);
    pair.sign(b"").map_err(|_| KeyFileError::Format)?;
    Ok((pair, material))
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], KeyFileError> {
    bytes.try_into().map_err(|_| KeyFileError::Format)
}

#[cfg(test)]
mod tests;
