//! What must be so whoever goes on when.

use super::memory::MemoryStore;
use super::since::{FirstUse, Since};
use super::{Outcome, ReplayKey};
use crate::clock::{Moment, UnixTime};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Each law by its name. What these share among threads without asking the scheduler is for the laws alone.
pub(crate) const LAWS: &[(&str, fn())] = &[
    ("no_proof_is_fresh_twice", no_proof_is_fresh_twice),
    ("what_is_taken_was_written_down_once", what_is_taken_was_written_down_once),
    ("limits_hold_and_all_are_counted", limits_hold_and_all_are_counted),
    ("a_nonce_from_before_a_loss_vouches_for_nothing", a_nonce_from_before_a_loss_vouches_for_nothing),
];

const START: UnixTime = UnixTime::from_secs(1_700_000_000);
/// A generation lasts about a second, and 31 of them are in the window.
const RETENTION: Duration = Duration::from_secs(12);

fn at(secs: i64) -> UnixTime {
    UnixTime::from_millis(START.as_millis() + secs * 1000)
}

fn store(capacity: usize, per_key_limit: usize) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(capacity, per_key_limit, RETENTION, START))
}

/// One of two shards, which goes on with so little room.
fn two_shards(capacity: usize, per_key_limit: usize) -> Arc<MemoryStore> {
    let store = store(2 * 4096, per_key_limit);
    store.limit(capacity, per_key_limit);
    store
}

/// All of them are at home in one place of the table: whoever comes takes what another has left.
fn key(number: usize, owner: u64) -> ReplayKey {
    ReplayKey { id: (number as u128 + 1) << 64, owner }
}

fn any(below: usize) -> usize {
    thread_rng().gen_range(0..below)
}

/// Two clocks, of which one is set.
#[derive(Default)]
struct Clocks {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Clocks {
    fn read(&self) -> Moment {
        Moment { wall: at(self.wall.load(Ordering::SeqCst)), steady: at(self.steady.load(Ordering::SeqCst)) }
    }

    fn pass(&self, seconds: i64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.steady.fetch_add(seconds.max(0), Ordering::SeqCst);
    }
}

fn all(threads: Vec<thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Three proofs, which anybody brings at any time, some with what a clock showed long ago; the clock is set ahead and back, and the store gets
/// other terms and limits meanwhile.
fn no_proof_is_fresh_twice() {
    const PROOFS: [(i64, u64); 3] = [(2, 0), (3, 1), (9, 0)];
    let (store, clocks) = (store(8, 8), Arc::new(Clocks::default()));
    let fresh: Arc<[AtomicUsize; 3]> = Arc::default();
    let mut threads = Vec::new();
    for _ in 0..3 {
        let (store, clocks, fresh) = (Arc::clone(&store), Arc::clone(&clocks), Arc::clone(&fresh));
        threads.push(thread::spawn(move || {
            for _ in 0..4 {
                let (proof, now) = (any(PROOFS.len()), clocks.read());
                thread::yield_now();
                let (until, mark) = PROOFS[proof];
                // As `authorize` does: what has expired is not even asked for.
                if now.wall <= at(until) {
                    let outcome = store.check_and_insert_marked(key(proof, 1), mark, at(until), now);
                    let taken = outcome == Outcome::Fresh && fresh[proof].fetch_add(1, Ordering::SeqCst) > 0;
                    assert!(!taken, "proof {proof} is fresh twice");
                }
            }
        }));
    }
    let (timed, moved) = (Arc::clone(&store), Arc::clone(&clocks));
    threads.push(thread::spawn(move || {
        for seconds in [4, -4, 7, -6] {
            moved.pass(seconds);
            timed.advance(moved.read());
        }
    }));
    threads.push(thread::spawn(move || {
        store.remember_for(Duration::from_secs(40));
        store.limit(16, 4);
    }));
    all(threads);
}

/// What is taken has been written down before anybody is told so, and once; what could not be written down is not taken, and may be later.
fn what_is_taken_was_written_down_once() {
    let store = store(8, 8);
    let written: Arc<Mutex<Vec<usize>>> = Arc::default();
    let threads = (0..4).map(|_| {
        let (store, written) = (Arc::clone(&store), Arc::clone(&written));
        thread::spawn(move || {
            for _ in 0..2 {
                let proof = any(2);
                let fails = any(3) == 0;
                let commit = || {
                    thread::yield_now();
                    if fails {
                        return Err(Outcome::Unavailable);
                    }
                    written.lock().unwrap().push(proof);
                    thread::yield_now();
                    Ok(())
                };
                let outcome = store.insert_if(key(proof, 1), 0, at(9), START.into(), commit);
                let found = written.lock().unwrap().iter().filter(|known| **known == proof).count();
                match outcome {
                    Outcome::Fresh | Outcome::Replayed => assert_eq!(found, 1, "records of {proof}"),
                    Outcome::Unavailable => assert!(fails),
                    Outcome::Full | Outcome::OverQuota | Outcome::Forgotten => panic!("{outcome:?}"),
                }
            }
        })
    });
    all(threads.collect());
    let mut written = written.lock().unwrap().clone();
    assert_eq!(store.len(), written.len());
    written.sort_unstable();
    assert!(written.is_sorted_by(|one, other| one < other), "{written:?}");
}

/// Nobody is let in beyond a limit, and nobody is counted who was not; when all have expired none is counted.
fn limits_hold_and_all_are_counted() {
    let (store, fresh) = (two_shards(3, 2), Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]));
    let mut threads: Vec<_> = (0..4)
        .map(|hand| {
            let (store, fresh) = (Arc::clone(&store), Arc::clone(&fresh));
            thread::spawn(move || {
                for turn in 0..2 {
                    let (owner, fails) = (any(2), any(4) == 0);
                    let commit = || if fails { Err(Outcome::Unavailable) } else { Ok(()) };
                    let mut proof = key(hand * 2 + turn, owner as u64 * 77);
                    proof.id |= u128::from(hand % 2 == 1) << 127;
                    if store.insert_if(proof, 0, at(9), START.into(), commit) == Outcome::Fresh {
                        fresh[owner].fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    let reloaded = Arc::clone(&store);
    threads.push(thread::spawn(move || reloaded.remember_for(Duration::from_secs(40))));
    all(threads);
    let [one, other] = [0, 1].map(|owner| fresh[owner].load(Ordering::SeqCst));
    assert!(one <= 2 && other <= 2 && one + other <= 3, "{one} and {other}");
    assert_eq!(store.len(), one + other);
    store.advance(at(60));
    assert_eq!(store.len(), 0);
}

/// Several losses at once: what a nonce from before one says is from before it, whatever the others do meanwhile.
fn a_nonce_from_before_a_loss_vouches_for_nothing() {
    let since = Arc::new(Since::new(at(3600)));
    let nonce = |mark| FirstUse { moment: START, mark, epoch: 0 };
    let threads = (0..3).map(|_| {
        let since = Arc::clone(&since);
        thread::spawn(move || {
            let before = since.latest();
            since.raise_by_our_clocks(START.into());
            assert!(!since.vouches_for(nonce(before), START.into()), "{before} in {since:?}");
        })
    });
    all(threads.collect());
    assert!(since.vouches_for(nonce(since.latest()), START.into()));
}
