//! SHA-256, keyed hashes, random bytes.

use ring::rand::SecureRandom as _;
use ring::{digest, hmac, rand};

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// The shortest tag that [`Secret::verifies`] takes (RFC 2104 section 5 allows no less than half the digest).
const MIN_TAG: usize = 16;

/// SHA-256 of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Sha256 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    first_32(context.finish().as_ref())
}

/// `N` unpredictable bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    #[cfg(test)]
    if let Some(bytes) = crate::simulation::random() {
        return bytes;
    }
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "a system that gives no random bytes must not go on with predictable ones"
    )]
    rand::SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A key for HMAC-SHA-256 that never shows itself.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret made of these bytes, which should hold at least 128 bits of chance.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A secret nobody else has, new at every call.
    pub fn random() -> Self {
        Self::new(&random::<32>())
    }

    /// A secret for another purpose: what is signed under one label is never valid under another.
    pub fn derive(&self, label: &str) -> Self {
        // The prefix keeps a derived key from being the tag of something that was signed under the parent.
        Self::new(&self.tag(&[b"keyproof derive\0", label.as_bytes()]))
    }

    /// HMAC-SHA-256 of the parts, one after the other.
    pub fn tag(&self, parts: &[&[u8]]) -> Sha256 {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        first_32(context.sign().as_ref())
    }

    /// Whether `tag`, possibly cut to 16 bytes or more, is what [`Secret::tag`] gives; in constant time.
    pub fn verifies(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        let expected = self.tag(parts);
        match expected.get(..tag.len()) {
            Some(expected) if tag.len() >= MIN_TAG => {
                // Every byte is looked at, wherever the first difference is; the box keeps the compiler from
                // stopping early.
                let difference = expected.iter().zip(tag).fold(0, |sum, (one, other)| sum | (one ^ other));
                std::hint::black_box(difference) == 0
            }
            _ => false,
        }
    }
}

/// A text that somebody has to bring. It never shows itself, and is not kept either: only what a random key makes of it is.
#[derive(Clone, Debug)]
pub struct Password {
    key: Secret,
    tag: Sha256,
}

impl Password {
    /// This text.
    pub fn new(text: &[u8]) -> Self {
        let key = Secret::random();
        let tag = key.tag(&[text]);
        Self { key, tag }
    }

    /// Whether this is it. How long that takes tells the length of what was brought, and nothing of what it should be.
    pub fn is(&self, text: &[u8]) -> bool {
        self.key.verifies(&[text], &self.tag)
    }
}

/// A digest as an array; ring gives slices.
fn first_32(bytes: &[u8]) -> Sha256 {
    bytes.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn known_answers() {
        // FIPS 180-4, "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(&[b"abc"])), abc);
        assert_eq!(hex(&sha256(&[b"a", b"", b"bc"])), abc);
        // RFC 4231 section 4.3.
        let tag = Secret::new(b"Jefe").tag(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_cut_tag_verifies_down_to_half() {
        let secret = Secret::random();
        let tag = secret.tag(&[b"message"]);
        for length in 0..=32 {
            assert_eq!(secret.verifies(&[b"mess", b"age"], &tag[..length]), length >= 16, "{length}");
        }
        let long = [&tag[..], &[0]].concat();
        assert!(!secret.verifies(&[b"message"], &long));
        for position in 0..32 {
            let mut other = tag;
            other[position] ^= 1;
            assert!(!secret.verifies(&[b"message"], &other));
        }
    }

    #[test]
    fn a_password_is_known_whole() {
        let password = Password::new(b"open sesame");
        assert!(password.is(b"open sesame") && password.clone().is(b"open sesame"));
        for other in [&b""[..], b"open sesam", b"open sesame ", b"Open sesame"] {
            assert!(!password.is(other), "{other:?}");
        }
        assert!(!format!("{password:?}").contains("sesame"));
    }

    #[test]
    fn labels_separate() {
        let secret = Secret::new(&[7; 32]);
        let tag = secret.derive("nonce").tag(&[b"m"]);
        assert!(secret.derive("nonce").verifies(&[b"m"], &tag));
        assert!(!secret.derive("other").verifies(&[b"m"], &tag));
        assert!(!secret.verifies(&[b"m"], &tag));
    }

    #[test]
    fn random_bytes_differ_and_secrets_stay_hidden() {
        assert_ne!(random::<32>(), random::<32>());
        assert_eq!(format!("{:?}", Secret::new(b"hush")), "Secret(…)");
    }
}
