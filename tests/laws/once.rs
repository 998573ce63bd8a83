//! A proof is used once.

use crate::world::{CLIENT, NOW, THIEF, ask, at, authorizer, headers, policy, proof, token, usual};
use keyproof::authorize::Authorizer;
use keyproof::clock::UnixTime;
use keyproof::denial::{Denial, ReplayError};
use keyproof::dpop::{AcceptanceWindow, NoncePolicy};
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A client's proof: when it says it was made, and when its nonce was minted if it has one; in milliseconds from now.
type Made = (i64, Option<i64>);

fn made() -> impl Strategy<Value = Made> {
    (-10_000_i64..20_000, prop::option::weighted(0.8, -10_000_i64..20_000))
}

/// The window, the life of a nonce (both in seconds), and whether the route asks for nonces.
fn rules() -> impl Strategy<Value = (u64, u64, u64, bool)> {
    (10_u64..60, 0_u64..20, 10_u64..60, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the clock does, forwards and back by minutes, and in whatever order copies of proofs come.
    #[test]
    fn no_proof_passes_twice(
        (age, leeway, lifetime, required) in rules(),
        proofs in prop::collection::vec(made(), 1..4),
        visits in prop::collection::vec((0_usize..4, -40_000_i64..100_000), 20..60),
    ) {
        let (age, leeway) = (Duration::from_secs(age), Duration::from_secs(leeway));
        let nonce = if required { NoncePolicy::Required } else { NoncePolicy::Off };
        let window = AcceptanceWindow { max_age: age, leeway };
        let authorizer = authorizer(window, Duration::from_secs(lifetime), CAPACITY);
        let (policy, requests) = (policy(nonce), requests(&authorizer, &proofs));
        let mut passed = HashSet::new();
        for (which, millis) in visits {
            let which = which % requests.len();
            crowd(&authorizer, at(millis));
            if ask(&authorizer, &policy, &requests[which], at(millis)).is_ok() {
                prop_assert!(passed.insert(which), "proof {which} passed again at {millis}");
            }
        }
    }

    /// Under a clock that only goes forward nothing is refused for lack of memory: the first copy that comes while its
    /// proof can be accepted passes, and every later one is called a replay as long as it could be accepted.
    #[test]
    fn a_proof_passes_once_and_is_a_replay_until_it_is_too_old(
        (age, leeway, lifetime, required) in rules(),
        proofs in prop::collection::vec(made(), 1..4),
        visits in prop::collection::vec((0_usize..4, 0_i64..5_000), 20..60),
    ) {
        let (age, leeway) = (Duration::from_secs(age), Duration::from_secs(leeway));
        let lifetime = Duration::from_secs(lifetime);
        let nonce = if required { NoncePolicy::Required } else { NoncePolicy::Off };
        let window = AcceptanceWindow { max_age: age, leeway };
        let authorizer = authorizer(window, lifetime, CAPACITY);
        let (policy, requests) = (policy(nonce), requests(&authorizer, &proofs));
        let (mut passed, mut millis) = (HashSet::new(), -20_000);
        for (which, step) in visits {
            let (which, now) = (which % requests.len(), at(millis));
            let (iat, minted) = proofs[which];
            crowd(&authorizer, now);
            // The model: in whole milliseconds, both ends included, and a nonce up to 10 s from the future.
            let by_window = (at(iat - millis_of(leeway))..=at(iat + millis_of(age))).contains(&now);
            let by_nonce = minted.is_some_and(|minted| {
                (at(minted - 10_000)..=at(minted + millis_of(lifetime))).contains(&now)
            });
            let acceptable = if required { by_nonce } else { by_window };
            let answer = ask(&authorizer, &policy, &requests[which], now).map_err(|refusal| refusal.denial);
            if acceptable && passed.insert(which) {
                prop_assert!(answer.is_ok(), "{answer:?} for proof {which} at {millis}");
            } else if acceptable {
                prop_assert_eq!(answer.err(), Some(Denial::Replay(ReplayError::Replayed)));
            } else {
                prop_assert!(matches!(answer, Err(Denial::Proof(_))), "{answer:?} for proof {which} at {millis}");
            }
            millis += step;
        }
    }

    /// However many copies come at once, on however many threads, exactly one passes; and they do not get into each
    /// other's way.
    #[test]
    fn of_identical_requests_at_once_exactly_one_passes(
        threads in 2_usize..12,
        kinds in 1_usize..5,
        nonce in prop::sample::select(vec![NoncePolicy::Off, NoncePolicy::Required]),
    ) {
        let authorizer = usual();
        let requests = requests(&authorizer, &vec![(0, Some(0)); kinds]);
        let (policy, start) = (policy(nonce), Barrier::new(threads));
        let answers: Vec<Vec<_>> = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                requests.iter().map(|request| ask(&authorizer, &policy, request, NOW).map(drop)).collect()
            };
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        for which in 0..kinds {
            let refusals: Vec<_> =
                answers.iter().filter_map(|answers: &Vec<_>| answers[which].as_ref().err()).collect();
            prop_assert_eq!(refusals.len(), threads - 1);
            prop_assert!(refusals.iter().all(|refusal| refusal.denial == Denial::Replay(ReplayError::Replayed)));
        }
    }
}

/// So small a store that what it forgets is soon overwritten by others.
const CAPACITY: usize = 64;

/// Other clients' proofs, which die at once: the store overwrites what it need not remember with them.
fn crowd(authorizer: &Authorizer, now: UnixTime) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..4 {
        let jti = format!("crowd-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let key = authorizer.replay.key(&THIEF.public().thumbprint(), &jti);
        let _ = runtime.block_on(authorizer.replay.check_and_insert(key, now, now));
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

/// One request for each proof, with a `jti` of its own.
fn requests(authorizer: &Authorizer, proofs: &[Made]) -> Vec<http::HeaderMap> {
    let token = token(json!({}));
    let one = |(which, (iat, minted)): (usize, &Made)| {
        let nonce = minted.map(|millis| authorizer.proofs.mint().mint(at(millis)));
        #[expect(clippy::as_conversions, reason = "milliseconds of this century are exact")]
        let iat = at(*iat).as_millis() as f64 / 1000.0;
        let claims = json!({ "jti": format!("p{which}"), "iat": iat, "nonce": nonce });
        headers("DPoP", &token, Some(&proof(&CLIENT, &token, claims)))
    };
    proofs.iter().enumerate().map(one).collect()
}
