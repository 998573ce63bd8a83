//! How far the attempts to get an issuer's keys are, and what they prove about a key that nobody has seen.
//!
//! That a key is not in the set is proved by a fetch that began after the key was first asked for, and ended well. Anything less may
//! be a key that was made a moment ago: its holder is honest, and is told to come again, not that its token is invalid.

use super::Timing;
use crate::clock::Stopwatch;
use crate::jose::{CompactJws, JoseHeader, sha256};
use std::collections::HashMap;
use std::time::Duration;

/// For how long after a successful attempt a token that was verified before it is worth another look.
const JUST_NOW: Duration = Duration::from_secs(1);
/// How many missing keys are remembered. A stranger can name any number of them; one that finds no room counts as asked for just now,
/// which is the safe side.
const MAX_MISSING: usize = 4096;

/// Which key a token asks for: its `kid`, or, where it names none, the token itself, since each may be signed by another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MissingKey([u8; 16]);

impl MissingKey {
    /// The key that this token asks for.
    pub(super) fn of(token: &str) -> Self {
        let header = CompactJws::split(token).ok().map(|jws| JoseHeader::of_token(jws.header_segment));
        let kid = header.and_then(Result::ok).and_then(|header| header.kid);
        let hash = match &kid {
            Some(kid) => sha256(&[b"kid\0", kid.as_bytes()]),
            None => sha256(&[b"token\0", token.as_bytes()]),
        };
        let mut name = [0; 16];
        name.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(name)
    }
}

/// Attempts are numbered from 1 in the order in which they begin.
#[derive(Debug, Default)]
pub(super) struct Progress {
    begun: u64,
    finished: u64,
    running: bool,
    succeeded: bool,
    /// The last attempt that ended well, and when it did.
    good: Option<(u64, Stopwatch)>,
    /// When the last attempt that a missing key caused began.
    asked: Option<Stopwatch>,
    /// Somebody asked for a key since the last attempt began.
    wished: bool,
    /// How many attempts had begun when each missing key was first asked for.
    first_seen: HashMap<MissingKey, u64>,
    failure: Option<String>,
}

/// What to do about a missing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// An attempt has ended just now: look again. `proves`: a key that is still missing does not exist.
    LookAgain { proves: bool },
    /// Fetched since it was first asked for, and it was not there.
    Absent,
    /// It may exist, and nobody may ask yet: an attempt follows when the cooldown is over.
    ComeAgain,
    /// Attempt `number` is running or about to begin: wait for its end. `proves` as above, if it ends well; `absent`: what an earlier
    /// one has proved already.
    Wait { number: u64, proves: bool, absent: bool },
}

impl Progress {
    /// A token asks for a key that is not there.
    pub(super) fn ask(&mut self, key: MissingKey, timing: &Timing) -> Advice {
        let first_seen = self.first_seen(key);
        let absent = self.is_absent(first_seen, timing);
        if self.running {
            // The wish is for the time after this attempt: it began before the key was asked for.
            self.wished |= !absent && first_seen >= self.begun;
            return Advice::Wait { number: self.begun, proves: first_seen < self.begun, absent };
        }
        if self.cools(timing).is_none() {
            self.wished = true;
            return Advice::Wait { number: self.begun + 1, proves: true, absent };
        }
        if self.succeeded && self.good.is_some_and(|(_, ended)| ended.elapsed() < JUST_NOW) {
            self.wished |= !absent;
            return Advice::LookAgain { proves: absent };
        }
        if absent {
            return Advice::Absent;
        }
        self.wished = true;
        Advice::ComeAgain
    }

    /// How long nobody may cause an attempt yet; `None` if somebody may. Failed attempts count: an endpoint that is down must not be
    /// asked for every token that a stranger makes up. Those that nobody asked for do not: a rotation just after the start must not
    /// make honest clients wait until the cooldown is over.
    pub(super) fn cools(&self, timing: &Timing) -> Option<Duration> {
        self.asked
            .and_then(|asked| timing.cooldown.checked_sub(asked.elapsed()))
            .filter(|rest| !rest.is_zero())
    }

    /// Whether somebody waits for an attempt.
    pub(super) const fn is_wished(&self) -> bool {
        self.wished
    }

    /// An attempt begins, because of a missing key or because it is time.
    pub(super) fn begin(&mut self, asked: bool) {
        self.begun += 1;
        self.running = true;
        self.wished = false;
        if asked {
            self.asked = Some(Stopwatch::start());
        }
    }

    /// The attempt that began last ends.
    pub(super) fn end(&mut self, failure: Option<String>) {
        self.running = false;
        self.finished = self.begun;
        self.succeeded = failure.is_none();
        self.failure = failure;
        if self.succeeded {
            self.good = Some((self.begun, Stopwatch::start()));
            if self.first_seen.len() > MAX_MISSING / 2 {
                // What is known to be absent may be forgotten: at worst its next token counts as the first.
                self.first_seen.retain(|_, first_seen| *first_seen >= self.begun);
            }
        }
    }

    /// Whether attempt `number` has ended.
    pub(super) const fn has_ended(&self, number: u64) -> bool {
        self.finished >= number
    }

    /// Whether the last attempt ended well.
    pub(super) const fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// Why the last attempt failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// How many attempts had begun when this key was first asked for. Nothing is ever pushed out for a newer one, and what is not kept
    /// counts as asked for now: a flood of made-up keys makes nobody's key absent.
    fn first_seen(&mut self, key: MissingKey) -> u64 {
        if let Some(first_seen) = self.first_seen.get(&key) {
            return *first_seen;
        }
        if self.first_seen.len() < MAX_MISSING {
            self.first_seen.insert(key, self.begun);
        }
        self.begun
    }

    /// Whether an attempt that began later ended well, not too long ago: behind an endpoint that has been down since, a key with a name
    /// that somebody once guessed may have come into use.
    fn is_absent(&self, first_seen: u64, timing: &Timing) -> bool {
        self.good.is_some_and(|(number, ended)| number > first_seen && ended.elapsed() < timing.absence)
    }
}

#[cfg(test)]
mod tests {
    use super::super::TIMING;
    use super::*;

    const CALM: Timing = Timing { cooldown: Duration::from_secs(3600), ..TIMING };

    fn key(name: usize) -> MissingKey {
        MissingKey(u128::try_from(name).unwrap().to_be_bytes())
    }

    /// An issuer whose keys were fetched at the start and once because of key 0, more than a moment ago.
    fn cooling() -> Progress {
        let mut progress = Progress::default();
        progress.begin(false);
        progress.end(None);
        assert_eq!(progress.ask(key(0), &CALM), Advice::Wait { number: 2, proves: true, absent: false });
        progress.begin(true);
        progress.end(None);
        progress.succeeded = false;
        progress
    }

    #[test]
    fn absent_is_only_what_was_fetched_since_it_was_first_asked_for() {
        let mut progress = cooling();
        assert_eq!(progress.ask(key(0), &CALM), Advice::Absent);
        assert!(!progress.is_wished());
        assert_eq!(progress.ask(key(1), &CALM), Advice::ComeAgain);
        assert!(progress.is_wished(), "an attempt follows the cooldown");
        progress.begin(true);
        assert_eq!(progress.ask(key(1), &CALM), Advice::Wait { number: 3, proves: true, absent: false });
        assert!(!progress.is_wished());
        assert_eq!(progress.ask(key(2), &CALM), Advice::Wait { number: 3, proves: false, absent: false });
        assert!(progress.is_wished(), "this attempt began too early for it");
        progress.end(Some("down".to_owned()));
        assert_eq!(progress.ask(key(1), &CALM), Advice::ComeAgain, "a failed attempt proves nothing");
        assert_eq!(progress.ask(key(0), &CALM), Advice::Absent, "an earlier one did");
    }

    #[test]
    fn just_after_a_good_attempt_it_is_worth_another_look() {
        let mut progress = cooling();
        progress.succeeded = true;
        assert_eq!(progress.ask(key(0), &CALM), Advice::LookAgain { proves: true });
        assert_eq!(progress.ask(key(1), &CALM), Advice::LookAgain { proves: false });
        assert!(progress.is_wished());
    }

    #[test]
    fn absence_is_forgotten_while_the_endpoint_is_down() {
        let mut progress = cooling();
        let timing = Timing { absence: Duration::ZERO, ..CALM };
        assert_eq!(progress.ask(key(0), &timing), Advice::ComeAgain);
    }

    /// Room for a bounded number of names, and none of them makes another one absent, before or after the next fetch.
    #[test]
    fn a_flood_of_names_makes_no_key_absent() {
        let mut progress = cooling();
        for name in 1..3 * MAX_MISSING {
            assert_eq!(progress.ask(key(name), &CALM), Advice::ComeAgain);
        }
        assert_eq!(progress.first_seen.len(), MAX_MISSING);
        let honest = key(10 * MAX_MISSING);
        assert_eq!(progress.ask(honest, &CALM), Advice::ComeAgain);
        progress.begin(true);
        progress.end(None);
        progress.succeeded = false;
        assert!(progress.first_seen.is_empty(), "room again");
        assert_eq!(progress.ask(honest, &CALM), Advice::ComeAgain);
    }

    #[test]
    fn a_key_is_its_kid_or_else_its_token() {
        let token = |header: &str, payload: &str| {
            format!("{}.{payload}.c2ln", crate::jose::encode(header.as_bytes()))
        };
        let of = |header: &str, payload: &str| MissingKey::of(&token(header, payload));
        let (k1, k2) = (r#"{"alg":"ES256","kid":"k1"}"#, r#"{"alg":"ES256","kid":"k2"}"#);
        assert_eq!(of(k1, "e30"), of(k1, "e30g"));
        assert_ne!(of(k1, "e30"), of(k2, "e30"));
        let nameless = r#"{"alg":"ES256"}"#;
        assert_eq!(of(nameless, "e30"), of(nameless, "e30"));
        assert_ne!(of(nameless, "e30"), of(nameless, "e30g"));
    }
}
