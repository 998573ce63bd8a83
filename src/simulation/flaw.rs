//! The laws broken on purpose: each of these must be caught. They are in what stands around the product's code, never in that.

use super::engine::{self, Owner};
use crate::app::Beginning;
use crate::clock::{Clock, Moment, UnixTime};
use crate::dpop::{Made, NonceMint};
use crate::jose::{Secret, decode};
use crate::replay::{OnStart, Store};
use redis::Value;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Redis forgets a proof one second before it should.
    RetentionOneSecondShort,
    /// A replica takes its own wall clock for Redis's `TIME`.
    EpochFromTheWallClock,
    /// A nonce from however far in the future is recognised.
    RecogniseWithoutUpperBound,
    /// Nobody knows which process made a nonce, and what that knew.
    ForgetTheMark,
    /// Each process takes itself for the one before.
    NonceOfAnOlderProcess,
    /// A replica does not notice that the epoch is another one.
    IgnoreTheEpoch,
    /// A new epoch is noticed, but not since when it is.
    EpochWithoutItsMoment,
    /// A proof is used up before its signature is verified.
    SpendBeforeVerify,
    /// A memory that begins empty trusts wall clocks after `max_age` already.
    StartWithoutLeeway,
    /// A memory that begins empty trusts wall clocks at once.
    StartTrustsTheClock,
    /// A journal vouches for records that were not read.
    JournalNotRead,
}

thread_local! {
    static FLAW: Cell<Option<Flaw>> = const { Cell::new(None) };
    /// What each replica believes the epoch to be, where it ignores it.
    static EPOCHS: RefCell<HashMap<(Owner, Vec<u8>), Value>> = RefCell::default();
}

pub(super) fn set(flaw: Option<Flaw>) {
    FLAW.set(flaw);
    EPOCHS.with_borrow_mut(HashMap::clear);
}

pub(super) fn is(flaw: Flaw) -> bool {
    FLAW.get() == Some(flaw)
}

/// What Redis is told in place of `command`.
pub(super) fn sent(command: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut command = command.to_vec();
    if is(Flaw::RetentionOneSecondShort)
        && let [_, key, _, _, life, ..] = &mut command[..]
        && key.starts_with(b"kp:")
        && life.len() > 3
    {
        let millis: i64 = std::str::from_utf8(life).unwrap().parse().unwrap();
        *life = (millis - 1000).to_string().into_bytes();
    }
    command
}

/// What a replica is told in place of Redis's `answer`.
pub(super) fn answered(owner: Owner, command: &[Vec<u8>], answer: Value) -> Value {
    let text = |number: i64| Value::BulkString(number.to_string().into_bytes());
    match command {
        [time] if time == b"TIME" && is(Flaw::EpochFromTheWallClock) => {
            let own = engine::clocks_of(owner).wall.as_millis();
            Value::Array(vec![text(own / 1000), text(own % 1000 * 1000)])
        }
        [get, key] if get == b"GET" && key.starts_with(b"keyproof:replay:epoch") => epoch(owner, key, answer),
        _ => answer,
    }
}

fn epoch(owner: Owner, key: &[u8], answer: Value) -> Value {
    if is(Flaw::IgnoreTheEpoch) {
        let believed =
            |epochs: &mut HashMap<_, _>| epochs.entry((owner, key.to_vec())).or_insert(answer).clone();
        return EPOCHS.with_borrow_mut(believed);
    }
    match answer {
        Value::BulkString(epoch) if is(Flaw::EpochWithoutItsMoment) => {
            let name = epoch.iter().position(|byte| *byte == b'.').map_or(&[][..], |dot| &epoch[dot..]);
            Value::BulkString([b"1", name].concat())
        }
        answer => answer,
    }
}

/// The mint of a process.
pub(super) fn mint(secrets: &[Secret], lifetime: Duration) -> NonceMint {
    if is(Flaw::NonceOfAnOlderProcess) {
        return NonceMint::made_by([7; 8], secrets, lifetime);
    }
    NonceMint::new(secrets, lifetime)
}

/// What became of a store that was opened.
pub(super) fn opened(beginning: &Beginning<'_>, store: Store) -> Store {
    if is(Flaw::JournalNotRead) {
        store.forget_all_without_saying_so();
    }
    let trusts_after = match FLAW.get() {
        Some(Flaw::StartWithoutLeeway) => Some(beginning.window.max_age),
        Some(Flaw::StartTrustsTheClock) => Some(Duration::ZERO),
        _ => None,
    };
    let takes_only_own = store.begins_empty() && beginning.replay.on_start == OnStart::Challenge;
    if let Some(trusted) = trusts_after.filter(|_| takes_only_own) {
        store.trust_clocks_from(Clock::system().moment().steady.saturating_add(trusted));
    }
    store
}

/// When the nonce in a proof is judged: as if it were later, where it is from the future.
pub(super) fn when_nonces_are_judged(proof: &Made, now: Moment) -> Moment {
    let nonce = proof.nonce.as_deref().filter(|_| is(Flaw::RecogniseWithoutUpperBound));
    let made = nonce.and_then(decode).and_then(|bytes| bytes.first_chunk::<6>().copied());
    let made = made.map_or(0, |six| six.iter().fold(0, |millis, byte| millis << 8 | i64::from(*byte)));
    Moment { wall: now.wall.max(UnixTime::from_millis(made)), ..now }
}
