//! RFC 7638 thumbprints.

use super::{Sha256, base64url};

/// The SHA-256 thumbprint of a public key; shown and compared as 43 characters of base64url (RFC 9449 section
/// 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint(Sha256);

impl Thumbprint {
    /// The thumbprint with this digest.
    pub const fn new(digest: Sha256) -> Self {
        Self(digest)
    }

    /// Reads a `cnf.jkt`: exactly 43 characters of canonical base64url (never a URN, H04).
    pub fn parse(text: &str) -> Option<Self> {
        base64url::decode_array(text).map(Self)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows_and_nothing_else() {
        let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(Thumbprint::parse(text).map(|t| t.to_string()).as_deref(), Some(text));
        let urn = format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{text}");
        let padded = format!("{text}=");
        let stray = text.replace("A4I", "A4J");
        for other in ["", &urn, &padded, &stray, &text[1..], &text.replace('-', "+")] {
            assert_eq!(Thumbprint::parse(other), None, "{other}");
        }
    }
}
