//! Server nonces (RFC 9449 sections 8 and 9): stateless, keyed, rotating.

use crate::clock::UnixTime;
use crate::jose::Secret;
use std::time::Duration;

/// Makes and recognises nonces. A nonce is the moment it was made and a keyed hash of that: no state, good on every replica with the same secret.
#[derive(Debug)]
pub struct NonceMint {
    secrets: Vec<Secret>,
    lifetime: Duration,
}

/// A nonce of ours that is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// When it was made; nobody can have used it in a proof before.
    pub issued: UnixTime,
    /// The last moment at which it is good, inclusive: a proof with it must be remembered until then (D38).
    pub until: UnixTime,
}

impl NonceMint {
    /// A mint whose nonces live for `lifetime`. The first secret signs, all are recognised, so that secrets can be rotated.
    pub fn new(_secrets: Vec<Secret>, _lifetime: Duration) -> Self {
        todo!()
    }

    /// A nonce made at `now`. Characters are those of base64url (within `NQCHAR`, D36).
    pub fn mint(&self, _now: UnixTime) -> String {
        todo!()
    }

    /// The nonce, if this mint made it and it is good at `now`. One from the future (another replica's clock) is good up to 10 s ahead.
    pub fn recognise(&self, _nonce: &str, _now: UnixTime) -> Option<Nonce> {
        todo!()
    }

    /// Whether to hand out a fresh one with a success: `nonce` is past half of its life (RFC 9449 section 8.2).
    pub fn due(&self, _nonce: &Nonce, _now: UnixTime) -> bool {
        todo!()
    }
}
