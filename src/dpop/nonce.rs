//! Server nonces (RFC 9449 sections 8 and 9): stateless, keyed, rotating.

use super::AcceptanceWindow;
use crate::clock::UnixTime;
use crate::jose::{Secret, decode, encode};
use std::time::Duration;

/// What separates these keys from others that are made of the same secret.
const LABEL: &str = "dpop nonce";
/// How much of the keyed hash stands in a nonce: 128 bits.
const TAG: usize = 16;
/// The length of a nonce: 8 bytes of time and the tag in base64url.
const LENGTH: usize = 32;

/// Makes and recognises nonces. A nonce is the moment it was made and a keyed hash of that: no state, good on
/// every replica with the same secret.
#[derive(Debug)]
pub struct NonceMint {
    secrets: Vec<Secret>,
    lifetime: Duration,
}

/// A nonce of ours that is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// When it was made, by the clock that made it; nobody can have used it in a proof before.
    pub issued: UnixTime,
    /// The last moment at which it is good, inclusive: a proof with it must be remembered until then
    /// (RFC 9449 section 11.1).
    pub until: UnixTime,
}

impl NonceMint {
    /// How far another replica's clock may be ahead of ours: a nonce that says it is from the future is good up
    /// to here.
    pub const AHEAD: Duration = Duration::from_secs(10);

    /// A mint whose nonces live for `lifetime`. The first secret signs, all are recognised, so that secrets
    /// can be rotated; where there is none, one is made that nobody else has.
    pub fn new(secrets: &[Secret], lifetime: Duration) -> Self {
        let mut secrets: Vec<_> = secrets.iter().map(|secret| secret.derive(LABEL)).collect();
        if secrets.is_empty() {
            secrets.push(Secret::random());
        }
        Self { secrets, lifetime }
    }

    /// A nonce made at `now`. Characters are those of base64url (within `NQCHAR`, RFC 9449 section 8.1).
    pub fn mint(&self, now: UnixTime) -> String {
        let time = now.as_millis().to_be_bytes();
        let tag = self.secrets.first().map(|secret| secret.tag(&[&time])).unwrap_or_default();
        let mut nonce = time.to_vec();
        nonce.extend(tag.iter().take(TAG));
        encode(&nonce)
    }

    /// The nonce, if this mint made it and it is good at `now`. One from the future (another replica's clock)
    /// is good up to 10 s ahead.
    pub fn recognise(&self, nonce: &str, now: UnixTime) -> Option<Nonce> {
        if nonce.len() != LENGTH {
            return None;
        }
        let bytes = decode(nonce)?;
        let (time, tag) = bytes.split_first_chunk::<8>()?;
        let issued = UnixTime::from_millis(i64::from_be_bytes(*time));
        let until = issued.saturating_add(self.lifetime);
        let good = issued <= now.saturating_add(Self::AHEAD) && now <= until;
        // The clock first: it costs nothing, and an old nonce needs no hash to be refused.
        (good && self.secrets.iter().any(|secret| secret.verifies(&[time], tag)))
            .then_some(Nonce { issued, until })
    }

    /// The longest time from a proof's acceptance to the last moment at which it could be accepted again, in this window or with a nonce of
    /// this mint.
    pub fn retention(&self, window: AcceptanceWindow) -> Duration {
        let by_window = window.max_age.saturating_add(window.leeway);
        by_window.max(self.lifetime.saturating_add(Self::AHEAD))
    }

    /// Whether to hand out a fresh one with a success: `nonce` is past half of its life (RFC 9449 section
    /// 8.2).
    pub fn due(&self, nonce: &Nonce, now: UnixTime) -> bool {
        now.since(nonce.issued) > self.lifetime / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
    const LIFETIME: Duration = Duration::from_secs(120);

    fn mint(secrets: &[&[u8]]) -> NonceMint {
        let secrets: Vec<_> = secrets.iter().map(|bytes| Secret::new(bytes)).collect();
        NonceMint::new(&secrets, LIFETIME)
    }

    fn at(millis: i64) -> UnixTime {
        UnixTime::from_millis(NOW.as_millis() + millis)
    }

    #[test]
    fn a_nonce_is_good_from_ten_seconds_ahead_to_the_end_of_its_life() {
        let mint = mint(&[b"one"]);
        let nonce = mint.mint(NOW);
        let table = [(-10_001, false), (-10_000, true), (0, true), (120_000, true), (120_001, false)];
        for (millis, good) in table {
            let known = mint.recognise(&nonce, at(millis));
            assert_eq!(known, good.then_some(Nonce { issued: NOW, until: at(120_000) }), "{millis}");
        }
    }

    #[test]
    fn a_nonce_has_only_nqchars_and_no_state() {
        let nonce = mint(&[b"one"]).mint(NOW);
        assert_eq!(nonce.len(), LENGTH);
        assert!(nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        // Another replica, or this one after a restart.
        assert!(mint(&[b"one"]).recognise(&nonce, NOW).is_some());
    }

    #[test]
    fn secrets_can_be_rotated() {
        let (old, both, new) = (mint(&[b"old"]), mint(&[b"new", b"old"]), mint(&[b"new"]));
        assert!(both.recognise(&old.mint(NOW), NOW).is_some());
        assert!(new.recognise(&both.mint(NOW), NOW).is_some());
        assert!(old.recognise(&both.mint(NOW), NOW).is_none());
    }

    #[test]
    fn without_a_secret_nobody_else_makes_nonces() {
        let (one, other) = (mint(&[]), mint(&[]));
        assert!(one.recognise(&one.mint(NOW), NOW).is_some());
        assert!(one.recognise(&other.mint(NOW), NOW).is_none());
    }

    #[test]
    fn what_was_not_minted_is_not_recognised() {
        let mint = mint(&[b"one"]);
        let nonce = mint.mint(NOW);
        for place in 0..LENGTH {
            let mut forged = nonce.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(mint.recognise(std::str::from_utf8(&forged).unwrap(), NOW), None, "{place}");
        }
        let short = &nonce[..31];
        let long = format!("{nonce}A");
        for text in
            ["", "eyJ7S_zG.eyJH0-Z.HX4w-7v", short, &long, "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"]
        {
            assert_eq!(mint.recognise(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn a_fresh_one_is_due_past_half_of_a_life() {
        let mint = mint(&[b"one"]);
        let nonce = mint.recognise(&mint.mint(NOW), NOW).unwrap();
        for (millis, due) in [(-5_000, false), (0, false), (60_000, false), (60_001, true), (120_000, true)] {
            assert_eq!(mint.due(&nonce, at(millis)), due, "{millis}");
        }
    }
}
