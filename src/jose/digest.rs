//! SHA-256, keyed hashes, random bytes.

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// SHA-256 of the parts, one after the other.
pub fn sha256(_parts: &[&[u8]]) -> Sha256 {
    todo!()
}

/// `N` unpredictable bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    todo!()
}

/// A key for HMAC-SHA-256 that never shows itself.
pub struct Secret(());

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret made of these bytes, which should hold at least 128 bits of chance.
    pub fn new(_bytes: &[u8]) -> Self {
        todo!()
    }

    /// A secret nobody else has, new at every call.
    pub fn random() -> Self {
        todo!()
    }

    /// A secret for another purpose: what is signed under one label is never valid under another.
    pub fn derive(&self, _label: &str) -> Self {
        todo!()
    }

    /// HMAC-SHA-256 of the parts, one after the other.
    pub fn tag(&self, _parts: &[&[u8]]) -> Sha256 {
        todo!()
    }

    /// Whether `tag`, possibly cut to 16 bytes or more, is what [`Secret::tag`] gives; in constant time.
    pub fn verifies(&self, _parts: &[&[u8]], _tag: &[u8]) -> bool {
        todo!()
    }
}
