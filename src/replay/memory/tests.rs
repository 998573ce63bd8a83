use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Barrier;

const START: UnixTime = UnixTime::from_secs(1_700_000_000);
const RETENTION: Duration = Duration::from_secs(70);

fn key(n: u64) -> ReplayKey {
    owned(n, n)
}

/// Ids spread as a keyed hash spreads them.
fn owned(n: u64, owner: u64) -> ReplayKey {
    let mix = |n: u64| {
        let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ n >> 31
    };
    ReplayKey { id: u128::from(mix(n)) << 64 | u128::from(mix(mix(n))), owner: mix(owner) }
}

fn after(secs: i64) -> UnixTime {
    UnixTime::from_millis(START.as_millis() + secs * 1000)
}

#[test]
fn a_proof_is_fresh_once_and_remembered_to_its_last_moment() {
    let store = MemoryStore::new(100, 100, RETENTION, START);
    assert_eq!(store.check_and_insert(key(1), after(60), after(0)), Outcome::Fresh);
    for now in [0, 1, 30, 59, 60] {
        assert_eq!(store.check_and_insert(key(1), after(60), after(now)), Outcome::Replayed, "{now}");
    }
    assert_eq!(store.len(), 1);
}

#[test]
fn an_expired_proof_makes_room_within_a_slice() {
    let store = MemoryStore::new(10, 100, RETENTION, START);
    for n in 0..10 {
        assert_eq!(store.check_and_insert(key(n), after(60), after(0)), Outcome::Fresh);
    }
    assert_eq!(store.check_and_insert(key(10), after(120), after(60)), Outcome::Full);
    assert_eq!(store.check_and_insert(key(10), after(120), after(66)), Outcome::Fresh);
    assert_eq!(store.len(), 1);
}

#[test]
fn full_evicts_nobody_and_still_knows_replays() {
    let store = MemoryStore::new(50, 100, RETENTION, START);
    for n in 0..50 {
        assert_eq!(store.check_and_insert(key(n), after(60), START), Outcome::Fresh);
    }
    for n in 50..200 {
        assert_eq!(store.check_and_insert(key(n), after(60), START), Outcome::Full);
    }
    for n in 0..50 {
        assert_eq!(store.check_and_insert(key(n), after(60), START), Outcome::Replayed);
    }
}

#[test]
fn one_client_at_twice_the_capacity_leaves_another_served() {
    let store = MemoryStore::new(1000, 100, RETENTION, START);
    let flood: Vec<_> = (0..2000).map(|n| store.check_and_insert(owned(n, 1), after(60), START)).collect();
    assert_eq!(flood.iter().filter(|outcome| **outcome == Outcome::Fresh).count(), 100);
    assert!(flood[100..].iter().all(|outcome| *outcome == Outcome::OverQuota));
    assert_eq!(store.check_and_insert(owned(9999, 2), after(60), START), Outcome::Fresh);
    assert_eq!(
        store.check_and_insert(owned(2001, 1), after(130), after(66)),
        Outcome::Fresh,
        "its proofs expired"
    );
}

#[test]
fn a_step_back_forgives_no_replay() {
    let store = MemoryStore::new(100, 100, RETENTION, START);
    assert_eq!(store.check_and_insert(key(1), after(60), after(0)), Outcome::Fresh);
    assert_eq!(store.check_and_insert(key(2), after(160), after(100)), Outcome::Fresh, "1 is dropped");
    for _ in 0..2 {
        assert_eq!(store.check_and_insert(key(1), after(60), after(10)), Outcome::Forgotten);
        assert_eq!(store.check_and_insert(key(2), after(160), after(100)), Outcome::Replayed);
        store.advance(after(10));
    }
}

/// The window once went back with the request, and took the generations in use from everybody.
#[test]
fn a_request_that_waited_for_minutes_disturbs_nobody() {
    let store = MemoryStore::new(100, 100, RETENTION, START);
    assert_eq!(store.check_and_insert(key(1), after(560), after(500)), Outcome::Fresh);
    assert_eq!(store.check_and_insert(key(2), after(60), after(10)), Outcome::Forgotten, "it came at 10");
    assert_eq!(store.check_and_insert(key(1), after(560), after(500)), Outcome::Replayed);
    assert_eq!(store.check_and_insert(key(3), after(560), after(500)), Outcome::Fresh);
}

#[test]
fn a_step_back_within_a_proofs_life_refuses_no_new_proof() {
    let store = MemoryStore::new(1_000_000, 1_000_000, RETENTION, START);
    let mut n = 0;
    let mut insert = |now: i64| {
        n += 1;
        store.advance(after(now));
        store.check_and_insert(key(n), after(now + 60), after(now))
    };
    for now in 0..600 {
        assert_eq!(insert(now), Outcome::Fresh);
    }
    for now in 550..800 {
        assert_eq!(insert(now), Outcome::Fresh, "{now}");
    }
}

#[test]
fn a_clock_that_was_ahead_for_a_minute_costs_nothing_when_it_is_right_again() {
    let store = MemoryStore::new(1_000_000, 1_000_000, RETENTION, START);
    let mut n = 0;
    let mut insert = |now: i64| {
        n += 1;
        store.advance(after(now));
        store.check_and_insert(key(n), after(now + 60), after(now))
    };
    let jump = 3600;
    for now in (0..100).chain(100 + jump..160 + jump).chain(160..jump + 85) {
        assert_eq!(insert(now), Outcome::Fresh, "{now}");
    }
    assert_eq!(insert(jump + 110), Outcome::Forgotten, "that minute was in use");
    assert_eq!(insert(jump + 180), Outcome::Fresh, "and it is over");
}

#[test]
fn no_moment_however_odd_is_fresh_by_mistake() {
    let store = MemoryStore::new(100, 100, RETENTION, START);
    let decades = after(100 * 365 * 86_400);
    assert_eq!(store.check_and_insert(key(1), decades, START), Outcome::Unavailable);
    assert_eq!(store.check_and_insert(key(1), after(60), UnixTime::MAX), Outcome::Unavailable);
    assert_eq!(
        store.check_and_insert(key(1), after(3600), START),
        Outcome::Unavailable,
        "far past the retention"
    );
    assert_eq!(store.check_and_insert(key(1), after(-60), START), Outcome::Forgotten);
    assert_eq!(store.check_and_insert(key(1), after(60), START), Outcome::Fresh);
}

#[test]
fn of_64_at_once_exactly_one_is_fresh() {
    const THREADS: usize = 64;
    const ROUNDS: u64 = 1000;
    let store = MemoryStore::new(100_000, 100_000, RETENTION, START);
    let fresh: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for (round, fresh) in (0..ROUNDS).zip(&fresh) {
                    if round % 10 == 0 {
                        barrier.wait();
                    }
                    // The clock moves on, so that the window slides under the inserts.
                    let now = after(i64::try_from(round).unwrap());
                    let until = now.saturating_add(Duration::from_secs(60));
                    if store.check_and_insert(key(round), until, now) == Outcome::Fresh {
                        fresh.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(fresh.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

#[test]
fn the_limits_hold_under_64_threads() {
    let store = MemoryStore::new(5000, 700, RETENTION, START);
    let (fresh, barrier) = (AtomicUsize::new(0), Barrier::new(64));
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let (store, fresh, barrier) = (&store, &fresh, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..200 {
                    let key = owned(thread * 200 + n, thread % 2);
                    if store.check_and_insert(key, after(60), START) == Outcome::Fresh {
                        fresh.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!((fresh.into_inner(), store.len()), (1400, 1400));
}

#[test]
fn a_store_that_grows_while_64_threads_use_it_loses_nothing() {
    const EACH: u64 = 1000;
    let store = MemoryStore::new(100_000, 100_000, RETENTION, START);
    let (fresh, barrier) = (AtomicUsize::new(0), Barrier::new(64));
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let (store, fresh, barrier) = (&store, &fresh, &barrier);
            scope.spawn(move || {
                barrier.wait();
                // Two threads bring the same proofs.
                for n in (thread / 2 * EACH)..(thread / 2 * EACH + EACH) {
                    let outcome = store.check_and_insert(key(n), after(60), START);
                    if outcome == Outcome::Fresh {
                        fresh.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_eq!(outcome, Outcome::Replayed);
                    }
                    assert_eq!(store.check_and_insert(key(n), after(60), START), Outcome::Replayed);
                }
            });
        }
    });
    assert_eq!(fresh.into_inner(), 32 * 1000);
    assert!((0..32 * EACH).all(|n| store.check_and_insert(key(n), after(60), START) == Outcome::Replayed));
}

#[test]
fn what_a_journal_restores_grows_the_store_up_to_its_capacity() {
    let store = MemoryStore::new(20_000, 20_000, RETENTION, START);
    assert!((0..20_000).all(|n| store.restore(key(n), after(60))));
    assert!(!store.restore(key(20_000), after(60)));
    assert!((0..20_000).all(|n| store.restore(key(n), after(60))), "known");
    assert_eq!(store.len(), 20_000);
    assert!((0..20_000).all(|n| store.check_and_insert(key(n), after(60), START) == Outcome::Replayed));
    assert_eq!(store.check_and_insert(key(20_001), after(60), START), Outcome::Full);
}

/// What a reload brings that has proofs live longer than the store was made for.
#[test]
fn a_longer_retention_forgets_nothing_and_doubts_nothing_new() {
    let store = MemoryStore::new(1000, 40, RETENTION, START);
    for n in 0..200 {
        let now = i64::try_from(n).unwrap();
        assert_eq!(store.check_and_insert(owned(n, n % 5), after(now + 60), after(now)), Outcome::Fresh);
    }
    assert_eq!(store.check_and_insert(key(500), after(200 + 3600), after(199)), Outcome::Unavailable);
    let live = store.len();
    store.remember_for(Duration::from_secs(3610));
    assert_eq!(store.len(), live);
    for n in 140..200 {
        let until = after(i64::try_from(n).unwrap() + 60);
        assert_eq!(store.check_and_insert(owned(n, n % 5), until, after(199)), Outcome::Replayed, "{n}");
    }
    assert_eq!(store.check_and_insert(owned(500, 7), after(200 + 3600), after(199)), Outcome::Fresh);
    assert_eq!(
        store.check_and_insert(owned(501, 7), after(259), after(199)),
        Outcome::Fresh,
        "as short as before"
    );
    for n in 600..630 {
        let _: Outcome = store.check_and_insert(owned(n, 0), after(260), after(199));
    }
    assert_eq!(store.check_and_insert(owned(700, 0), after(260), after(199)), Outcome::OverQuota);
    // What was dropped before is no less forgotten where the clock goes back, and nothing more is.
    store.advance(after(-500));
    assert_eq!(store.check_and_insert(owned(1, 1), after(61), after(1)), Outcome::Forgotten);
    assert_eq!(store.check_and_insert(owned(199, 4), after(259), after(199)), Outcome::Replayed);
    store.advance(after(-2000));
    assert_eq!(store.check_and_insert(owned(502, 7), after(-1940), after(-2000)), Outcome::Fresh);
    // Again, and by the least that is too much.
    let most = store.window.read().unwrap().timeline().longest_retention();
    store.remember_for(most);
    store.remember_for(most + Duration::from_secs(1));
    assert_eq!(store.check_and_insert(owned(500, 7), after(200 + 3600), after(199)), Outcome::Replayed);
}

#[test]
fn a_retention_that_grows_while_threads_use_the_store_loses_nothing() {
    let store = MemoryStore::new(100_000, 100_000, RETENTION, START);
    let (fresh, barrier) = (AtomicUsize::new(0), Barrier::new(9));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, fresh, barrier) = (&store, &fresh, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in (thread / 2 * 4000)..(thread / 2 * 4000 + 4000) {
                    let outcome = store.check_and_insert(key(n), after(60), START);
                    fresh.fetch_add(usize::from(outcome == Outcome::Fresh), Ordering::Relaxed);
                    assert!(matches!(outcome, Outcome::Fresh | Outcome::Replayed));
                }
            });
        }
        barrier.wait();
        for secs in (1..60).map(|step| step * 600) {
            store.remember_for(Duration::from_secs(secs));
        }
    });
    assert_eq!((fresh.into_inner(), store.len()), (16_000, 16_000));
    assert!((0..16_000).all(|n| store.check_and_insert(key(n), after(60), START) == Outcome::Replayed));
}

/// One thing that happens to a store.
#[derive(Clone, Debug)]
enum Event {
    /// A proof with this number arrives, made `age` seconds ago (or in the future).
    Use { proof: u64, age: i64 },
    /// One that was used comes again.
    Replay { which: usize },
    /// The clock moves.
    Clock { by: i64 },
    /// A request comes, and reaches the store so much later.
    Wait { by: i64 },
    /// Proofs may have to be remembered for so long from now on.
    Remember { secs: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u64..10_000, -10_i64..60).prop_map(|(proof, age)| Event::Use { proof, age }),
        4 => any::<usize>().prop_map(|which| Event::Replay { which }),
        3 => (0_i64..12).prop_map(|by| Event::Clock { by }),
        1 => (-400_i64..400).prop_map(|by| Event::Clock { by }),
        1 => (0_i64..400).prop_map(|by| Event::Wait { by }),
        1 => (1_u64..4000).prop_map(|secs| Event::Remember { secs }),
    ]
}

/// The exact store: it never forgets.
#[derive(Default)]
struct Model {
    used: HashMap<u64, UnixTime>,
    order: Vec<u64>,
    dates: HashMap<u64, UnixTime>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Against a model that forgets nothing: never fresh twice while acceptable; full and over quota only at
    /// the limit; forgotten only after a step.
    #[test]
    fn as_the_exact_model(
        events in proptest::collection::vec(event(), 1..300), capacity in 1_usize..40, limit in 1_usize..20,
    ) {
        let store = MemoryStore::new(capacity, limit, RETENTION, START);
        let (mut model, mut present, mut stepped_back, mut waited) = (Model::default(), START, false, 0);
        // A generation's width, rounded up: what may outlive its `until`.
        let mut slice = 6834;
        for event in events {
            let now = UnixTime::from_millis(present.as_millis() - waited * 1000);
            let proof = match event {
                Event::Clock { by } => {
                    stepped_back |= by < 0;
                    present = UnixTime::from_millis(present.as_millis() + by * 1000);
                    store.advance(present);
                    continue;
                }
                Event::Wait { by } => {
                    // The next request's `now` is old; the one after it is judged by the present again.
                    waited = by;
                    continue;
                }
                Event::Remember { secs } => {
                    let before = store.len();
                    store.remember_for(Duration::from_secs(secs));
                    // More where a clock that was set back brought generations back that had been dropped.
                    prop_assert!(store.len() == before || store.len() > before && stepped_back);
                    // Wider than a twelfth of that by as much as its own width was at most: it is a whole number of those.
                    let reach = store.window.read().unwrap().timeline().longest_retention();
                    slice = i64::try_from(reach.as_millis()).unwrap() / 31 + 1000;
                    continue;
                }
                Event::Replay { which } => match model.order.get(which % model.order.len().max(1)) {
                    Some(proof) => *proof,
                    None => continue,
                },
                Event::Use { proof, age } => {
                    model.dates.entry(proof).or_insert(UnixTime::from_millis(now.as_millis() - age * 1000));
                    proof
                }
            };
            stepped_back |= waited > 0;
            waited = 0;
            let made = model.dates[&proof];
            let until = made.saturating_add(Duration::from_secs(60));
            if now > until || now < made.saturating_sub(Duration::from_secs(10)) {
                continue; // The window of acceptance refuses it first.
            }
            let outcome = store.check_and_insert(owned(proof, proof % 3), until, now);
            let remembered = |until: &UnixTime| until.as_millis() + slice >= now.as_millis();
            let live = model.used.values().filter(|until| remembered(until)).count();
            let same = |other: &u64| other % 3 == proof % 3;
            let own = model.used.iter().filter(|(other, until)| same(other) && remembered(until)).count();
            let used = model.used.contains_key(&proof);
            match outcome {
                Outcome::Fresh => {
                    prop_assert!(!used, "fresh twice");
                    prop_assert!(store.len() <= capacity);
                    model.used.insert(proof, until);
                    model.order.push(proof);
                }
                Outcome::Replayed => prop_assert!(used),
                Outcome::Full => prop_assert!(live >= capacity && !used || stepped_back),
                Outcome::OverQuota => prop_assert!(own >= limit && !used || stepped_back),
                Outcome::Forgotten => prop_assert!(stepped_back, "forgotten though the clock ran forwards"),
                Outcome::Unavailable => prop_assert!(false, "memory is always there"),
            }
        }
    }

    /// Proofs come in bursts, large enough for tables to grow, and expire: every one that lives is known, and
    /// `Full` only when so many live.
    #[test]
    fn bursts_grow_the_store_and_nothing_is_lost(
        bursts in proptest::collection::vec((0_i64..40, 0_u64..500), 1..20), capacity in 1_usize..2000,
    ) {
        let store = MemoryStore::new(capacity, usize::MAX, RETENTION, START);
        let (mut now, mut next) = (0, 0);
        let mut used: Vec<(u64, i64)> = Vec::new();
        for (pause, burst) in bursts {
            now += pause;
            used.retain(|(_, until)| *until >= now - 7); // A slice longer than they may be used.
            for n in next..next + burst {
                let outcome = store.check_and_insert(key(n), after(now + 60), after(now));
                if outcome == Outcome::Fresh {
                    used.push((n, now + 60));
                } else {
                    prop_assert!(outcome == Outcome::Full && used.len() >= capacity, "{outcome:?}");
                }
            }
            next += burst;
            for &(n, until) in used.iter().filter(|(_, until)| *until >= now) {
                prop_assert_eq!(store.check_and_insert(key(n), after(until), after(now)), Outcome::Replayed);
            }
            prop_assert!(store.len() <= capacity);
        }
    }
}
