//! RFC 7638 thumbprints.

use super::Sha256;

/// The SHA-256 thumbprint of a public key; shown and compared as 43 characters of base64url (RFC 9449 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint(Sha256);

impl Thumbprint {
    /// The thumbprint with this digest.
    pub const fn new(digest: Sha256) -> Self {
        Self(digest)
    }

    /// Reads a `cnf.jkt`: exactly 43 characters of canonical base64url (never a URN, H04).
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &Sha256 {
        &self.0
    }
}

impl std::fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::encode(&self.0))
    }
}
