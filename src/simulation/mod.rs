//! Whole worlds of replicas, clients, a thief and faults, each decided by one seed, to see that two laws hold:
//!
//! 1. no proof is admitted twice;
//! 2. an honest client that follows challenges gets through within three tries once the faults end.
//!
//! What runs here is the product: stores, journal, what is asked of Redis and how its answers are judged, nonces, the acceptance window, the
//! decision between a challenge and an insert, and what is done at a start. Around it, and nothing of it, are models: the clocks of machines,
//! the network, a Redis with a replica, and chance. Left out are signatures (a forged proof is one whose signature is known to be wrong),
//! tokens, HTTP, and clusters of Redis.
//!
//! `docs/replay.md` says how to run it.

#![expect(
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "numbers are small here, and models answer what they know"
)]

mod engine;
mod faults;
mod flaw;
mod journal;
mod law;
mod redis;
mod replica;
mod tests;
mod world;

pub(crate) use engine::{in_time, pause, random, runs};
pub(crate) use journal::boot_id;
pub(crate) use redis::{Connection, Network};

use crate::dpop::{AcceptanceWindow, NoncePolicy};
use crate::replay::OnStart;
use engine::{between, one_in, one_of};
use flaw::Flaw;
use replica::{Setting, StoreKind};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use world::World;

/// How far the clocks of a server of Redis and of the one that takes its place may differ, in milliseconds.
const SERVERS_DIFFER: i64 = 400;
/// A machine for each replica, and the world.
const OWNERS: usize = 4;

/// A law that did not hold.
#[derive(Debug)]
struct Broken {
    what: String,
    history: Vec<String>,
}

/// One world; what law it broke, if it did.
fn simulate(seed: u64, flaw: Option<Flaw>, keep: bool) -> Result<Vec<String>, Broken> {
    flaw::set(flaw);
    journal::begin();
    let root = async move {
        World::new(setting()).turn().await;
    };
    let run = || engine::run(seed, OWNERS, keep, root);
    std::panic::catch_unwind(AssertUnwindSafe(run)).map_err(|panic| match panic.downcast::<Broken>() {
        Ok(broken) => *broken,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map_or("a panic without words", String::as_str);
            Broken { what: format!("it panicked: {said}"), history: Vec::new() }
        }
    })
}

fn setting() -> Setting {
    let seconds = |first, last| Duration::from_secs(between(first, last).unsigned_abs());
    let store = one_of(&[StoreKind::Memory, StoreKind::Journal, StoreKind::Redis, StoreKind::Redis]);
    Setting {
        store,
        replicas: usize::try_from(between(1, 3)).unwrap(),
        window: AcceptanceWindow { max_age: seconds(3, 15), leeway: seconds(0, 5) },
        policy: one_of(&[NoncePolicy::Off, NoncePolicy::Off, NoncePolicy::Required]),
        nonce_lifetime: seconds(4, 25),
        nonces_are_shared: one_in(2),
        on_start: one_of(&[OnStart::Challenge, OnStart::Challenge, OnStart::Wait]),
        has_sentinel: one_in(2),
        timeout: Duration::from_millis(one_of(&[50, 250])),
        at_the_edge: store == StoreKind::Redis && one_in(6),
    }
}
