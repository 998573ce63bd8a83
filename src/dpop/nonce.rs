//! Server nonces (RFC 9449 sections 8 and 9): stateless, keyed, rotating.

use super::AcceptanceWindow;
use crate::clock::{Moment, UnixTime};
use crate::jose::{Secret, decode, encode, random};
use std::time::Duration;

/// What separates these keys from others that are made of the same secret.
const LABEL: &str = "dpop nonce";
/// What a nonce says: two moments of 6 bytes, the maker, the mark and the epoch of 6 bytes each.
const BODY: usize = 32;
/// How much of the keyed hash stands in a nonce: 128 bits.
const TAG: usize = 16;
/// The length of a nonce: its body and the tag in base64url.
const LENGTH: usize = 64;

/// Makes and recognises nonces. A nonce is the moment it was made, by the wall clock and by the steady clock of the process that made it,
/// which process that is, what that knew (see [`Nonce::mark`] and [`Nonce::epoch`]), and a keyed hash of all that: no state, good on every
/// replica with the same secret.
#[derive(Debug)]
pub struct NonceMint {
    secrets: Vec<Secret>,
    /// The secrets are the configuration's, or one that nobody else has.
    shared: bool,
    lifetime: Duration,
    /// Whose nonces are ours by the steady clock: chance, new with each mint.
    maker: [u8; 8],
}

/// A nonce of ours that is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// When it was made, by the wall clock of who made it.
    pub issued: UnixTime,
    /// By our own wall clock, as it is now: before this nobody can have used it in a proof. Its maker may have been as far ahead as we bear,
    /// and our own clock may have been set since.
    pub earliest_use: UnixTime,
    /// What its maker knew of, where that is this mint: everything up to this mark had happened before the nonce was made, whatever any clock
    /// says. 0 where it is another, or where nothing is said.
    pub mark: u64,
    /// What its maker called the data of the store that it shares with others: the nonce is not older than that. 0 where it shared none.
    pub epoch: u64,
}

impl NonceMint {
    /// How far another replica's clock may be ahead of ours: a nonce that says it is from the future is good up
    /// to here.
    pub const AHEAD: Duration = Duration::from_secs(10);

    /// A mint whose nonces live for `lifetime`. The first secret signs, all are recognised, so that secrets
    /// can be rotated; where there is none, one is made that nobody else has.
    pub fn new(secrets: &[Secret], lifetime: Duration) -> Self {
        let mut secrets: Vec<_> = secrets.iter().map(|secret| secret.derive(LABEL)).collect();
        let shared = !secrets.is_empty();
        if !shared {
            secrets.push(Secret::random());
        }
        Self { secrets, shared, lifetime, maker: random() }
    }

    /// The mint that comes after this one when the configuration is read again. It is the same maker: what this one made is its own, as far
    /// as the secrets are still known. Where none is configured, the one that nobody else has stays.
    #[must_use]
    pub fn succeeded_by(&self, secrets: &[Secret], lifetime: Duration) -> Self {
        let next = Self { maker: self.maker, ..Self::new(secrets, lifetime) };
        if next.shared || self.shared { next } else { Self { secrets: self.secrets.clone(), ..next } }
    }

    /// The same, that takes itself for this process.
    #[cfg(test)]
    pub(crate) fn made_by(maker: [u8; 8], secrets: &[Secret], lifetime: Duration) -> Self {
        Self { maker, ..Self::new(secrets, lifetime) }
    }

    /// A nonce made at `now`. Characters are those of base64url (within `NQCHAR`, RFC 9449 section 8.1).
    pub fn mint(&self, now: impl Into<Moment>) -> String {
        self.mint_marked(now.into(), 0, 0)
    }

    /// A nonce made at `now` by a process that knew of everything up to `mark` (see [`Nonce::mark`]), and of this epoch.
    pub fn mint_marked(&self, now: Moment, mark: u64, epoch: u64) -> String {
        let moments = six(now.wall).into_iter().chain(six(now.steady));
        let mut nonce: Vec<u8> = moments.chain(self.maker).chain(low(mark)).chain(low(epoch)).collect();
        let tag = self.secrets.first().map(|secret| secret.tag(&[&nonce])).unwrap_or_default();
        nonce.extend(tag.iter().take(TAG));
        encode(&nonce)
    }

    /// The nonce, if it is one of ours and good at `now`.
    ///
    /// One that this mint made is as old as the steady clock says, and good whatever became of the wall clock. One that another replica
    /// made is judged by the wall clock, and good up to 10 s ahead of it.
    pub fn recognise(&self, nonce: &str, now: impl Into<Moment>) -> Option<Nonce> {
        if nonce.len() != LENGTH {
            return None;
        }
        let (bytes, now) = (decode(nonce)?, now.into());
        let (body, tag) = bytes.split_first_chunk::<BODY>()?;
        let (wall, rest) = body.split_first_chunk()?;
        let (steady, rest) = rest.split_first_chunk()?;
        let (maker, rest) = rest.split_first_chunk::<8>()?;
        let (mark, epoch) = rest.split_first_chunk::<6>()?;
        let (issued, own) = (moment(wall), *maker == self.maker);
        let (made, shown) = if own { (moment(steady), now.steady) } else { (issued, now.wall) };
        let good = made <= shown.saturating_add(Self::AHEAD) && shown <= made.saturating_add(self.lifetime);
        let earliest_use = if own {
            issued.min(now.wall.saturating_sub(now.steady.since(made)))
        } else {
            issued.saturating_sub(Self::AHEAD)
        };
        // The clock first: it costs nothing, and an old nonce needs no hash to be refused.
        (good && self.secrets.iter().any(|secret| secret.verifies(&[body], tag))).then(|| {
            let (mark, epoch) = (if own { number(Some(mark)) } else { 0 }, number(epoch.first_chunk()));
            Nonce { issued, earliest_use, mark, epoch }
        })
    }

    /// The end of its life: a proof with it must be remembered until then (RFC 9449 section 11.1).
    pub fn until(&self, nonce: &Nonce) -> UnixTime {
        nonce.issued.saturating_add(self.lifetime)
    }

    /// The longest time from a proof's acceptance to the last moment at which it could be accepted again, in this window or with a nonce of
    /// this mint.
    pub fn retention(&self, window: AcceptanceWindow) -> Duration {
        let by_window = window.max_age.saturating_add(window.leeway);
        by_window.max(self.lifetime.saturating_add(Self::AHEAD))
    }

    /// Whether to hand out a fresh one with a success: `nonce` is past half of its life (RFC 9449 section
    /// 8.2).
    pub fn due(&self, nonce: &Nonce, now: impl Into<Moment>) -> bool {
        // By the wall clock, which may have been set: a nonce that comes too early or not at all costs a request at most.
        now.into().wall.since(nonce.issued) > self.lifetime / 2
    }
}

/// A moment in six bytes: good until the year 10889.
fn six(moment: UnixTime) -> [u8; 6] {
    low(u64::try_from(moment.as_millis()).unwrap_or(0))
}

fn low(number: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = number.to_be_bytes();
    [a, b, c, d, e, f]
}

fn moment(six: &[u8; 6]) -> UnixTime {
    UnixTime::from_millis(i64::try_from(number(Some(six))).unwrap_or(i64::MAX))
}

fn number(six: Option<&[u8; 6]>) -> u64 {
    six.map_or(0, |[a, b, c, d, e, f]| u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]))
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
            let known = known.map(|nonce| (nonce.issued, mint.until(&nonce)));
            assert_eq!(known, good.then_some((NOW, at(120_000))), "{millis}");
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

    /// A clock was set back by more than 10 s, and every nonce that was given from then on was from the future.
    #[test]
    fn the_age_of_our_own_is_counted_by_the_clock_that_nobody_sets() {
        let own = mint(&[b"one"]);
        let nonce = own.mint_marked(NOW.into(), 7, 9);
        for hours in [-24, -1, 0, 1, 24] {
            let wall = at(hours * 3_600_000);
            for (steady, good) in [(0, true), (120_000, true), (120_001, false)] {
                let known = own.recognise(&nonce, Moment { wall, steady: at(steady) });
                let known = known.map(|nonce| (nonce.mark, nonce.epoch, nonce.earliest_use <= wall));
                assert_eq!(known, good.then_some((7, 9, true)), "{hours} {steady}");
            }
            // What another process with this secret made is a matter of the wall clock alone, and its mark says nothing here.
            let known = mint(&[b"one"]).recognise(&nonce, Moment { wall, steady: at(1_000_000) });
            let known = known.map(|nonce| (nonce.mark, nonce.epoch, nonce.earliest_use));
            assert_eq!(known, (hours == 0).then_some((0, 9, at(-10_000))), "{hours}");
        }
    }

    /// It said that it was from after a loss that came when the clock had been set right again, and a proof that was used before passed once more.
    #[test]
    fn our_own_is_not_younger_than_the_clock_that_nobody_sets_says() {
        let own = mint(&[b"one"]);
        let earliest_use = |made_ahead, set_to| {
            let nonce = own.mint_marked(Moment { wall: at(made_ahead), steady: at(0) }, 1, 0);
            let later = Moment { wall: at(set_to), steady: at(10_000) };
            own.recognise(&nonce, later).map(|nonce| nonce.earliest_use)
        };
        assert_eq!(earliest_use(0, 10_000), Some(NOW));
        assert_eq!(earliest_use(3_600_000, 10_000), Some(NOW), "it was an hour ahead");
        assert_eq!(earliest_use(-4000, 10_000), Some(at(-4000)), "it may say less");
    }

    /// It said that it was from after a loss, and was from up to 10 s before: its maker's clock was ahead.
    #[test]
    fn what_a_replica_made_whose_clock_is_ahead_is_as_old_as_that_may_be() {
        let nonce = mint(&[b"one"]).mint(at(10_000));
        let known = mint(&[b"one"]).recognise(&nonce, NOW).unwrap();
        assert_eq!((known.issued, known.earliest_use), (at(10_000), NOW));
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
        let short = &nonce[..LENGTH - 1];
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
