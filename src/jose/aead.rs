//! Sealing under keys of one use: HKDF-SHA-256 (RFC 5869) makes the key, AES-256-GCM (RFC 5116) seals with it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use std::sync::Arc;

/// The random bytes that every sealed text begins with.
const SALT: usize = 32;
/// Long enough that no two texts get the same key: 256 bits of chance for each.
type Chance = [u8; SALT];

/// What keys of one use are made of. It never shows itself.
#[derive(Clone)]
pub struct SealingSecret(Arc<[u8]>);

impl std::fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingSecret(…)")
    }
}

impl SealingSecret {
    /// How much longer than the plain text a sealed one is: the random bytes before it and the tag behind it.
    pub const OVERHEAD: usize = SALT + 16;

    /// A secret made of these bytes, which should hold at least 256 bits of chance.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Seals `plain` under a key that is used this once: random bytes, then the cipher text and its tag. It opens with the same context alone;
    /// the parts of a context are joined by zero bytes, so only the last may have one.
    pub fn seal(&self, context: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        self.seal_with(super::random(), context, plain)
    }

    /// The same with these random bytes. Not for others: whoever chose them twice would seal twice under one key and one nonce.
    pub(super) fn seal_with(&self, chance: Chance, context: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        let key = self.key(&chance, context);
        #[expect(
            clippy::expect_used,
            reason = "AES-GCM refuses more than 64 GiB alone, and must never give back what is not sealed"
        )]
        key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed)
            .expect("the text is of moderate length");
        [&chance[..], &sealed].concat()
    }

    /// What was sealed with this secret and this context. Whatever is wrong, the work is the same for texts of the same length, unless one
    /// is shorter than [`SealingSecret::OVERHEAD`].
    pub fn open(&self, context: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        let (chance, sealed) = sealed.split_first_chunk()?;
        let (key, mut text) = (self.key(chance, context), sealed.to_vec());
        let length = key.open_in_place(nonce(), Aad::empty(), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// The key that these random bytes and this context make.
    fn key(&self, chance: &Chance, context: &[&[u8]]) -> LessSafeKey {
        let info = context.join(&0);
        let pseudorandom = Salt::new(HKDF_SHA256, chance).extract(&self.0);
        #[expect(
            clippy::expect_used,
            reason = "RFC 5869 section 2.3: 32 bytes are fewer than 255 times the hash"
        )]
        let key =
            pseudorandom.expand(&[&info], &AES_256_GCM).map(UnboundKey::from).expect("a key of 32 bytes");
        LessSafeKey::new(key)
    }
}

/// Every key seals once, so one nonce is as good as another, and never comes twice under one key.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &[&[u8]] = &[b"one", b"two"];

    /// Made by another hand: Node.js, `hkdfSync` and `aes-256-gcm`.
    #[test]
    fn known_answer() {
        let sealed = SealingSecret::new(&[7; 32]).seal_with([9; 32], CONTEXT, b"text");
        assert_eq!(
            crate::jose::encode(&sealed),
            "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkT4R7KAgr2Cw_ApL8Zo4LY5ErLwQ"
        );
    }

    #[test]
    fn opens_with_the_same_secret_and_context_alone() {
        let secret = SealingSecret::new(&[7; 32]);
        let sealed = secret.seal(CONTEXT, b"text");
        assert_eq!(sealed.len(), SealingSecret::OVERHEAD + 4);
        assert_eq!(secret.open(CONTEXT, &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(SealingSecret::new(&[8; 32]).open(CONTEXT, &sealed), None);
        for other in
            [&[&b"one"[..], b"tw"][..], &[b"one"], &[b"onetwo"], &[b"two", b"one"], &[b"one", b"two", b""]]
        {
            assert_eq!(secret.open(other, &sealed), None, "{other:?}");
        }
        for length in 0..sealed.len() {
            assert_eq!(secret.open(CONTEXT, &sealed[..length]), None, "{length}");
        }
        assert_ne!(secret.seal(CONTEXT, b"text"), sealed);
        assert_eq!(format!("{secret:?}"), "SealingSecret(…)");
    }
}
