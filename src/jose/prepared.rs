//! ES256 by a table of the key's multiples (`keyproof-p256`), for keys that are seen often.

use super::jwk::Material;
use super::{BadSignature, CompactJws, PublicKey, sha256};
use keyproof_p256::KeyTable;

/// A public key of P-256 with its table.
#[derive(Debug)]
pub struct PreparedKey(KeyTable);

impl PublicKey {
    /// This key with its table, if it is one of P-256. That takes about a millisecond, in a hundred steps; `between` two of them it gives way
    /// to others.
    pub fn prepared(&self, between: impl FnMut()) -> Option<PreparedKey> {
        match self.material() {
            Material::P256(point) => KeyTable::in_steps(point, between).map(PreparedKey),
            Material::P384(_) | Material::Ed25519(_) | Material::Rsa { .. } => None,
        }
    }
}

impl PreparedKey {
    /// What one takes of memory.
    pub const BYTES: usize = KeyTable::BYTES;

    /// Checks an ES256 signature (RFC 7518 section 3.4).
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, jws: &CompactJws<'_>) -> Result<(), BadSignature> {
        let signature: &[u8; 64] = jws.signature.as_slice().try_into().map_err(|_| BadSignature)?;
        let digest = sha256(&[jws.signing_input.as_bytes()]);
        if self.0.verify(&digest, signature) { Ok(()) } else { Err(BadSignature) }
    }
}
