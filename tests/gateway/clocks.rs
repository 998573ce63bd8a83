//! Clocks that are wrong, set right, and set wrong again: a client that follows challenges gets through, and nothing passes twice.

use serde_json::json;
use std::time::Duration;
use support::gateway::{House, get};

const OFF: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";
const REQUIRED: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, nonce: required }";
const JOURNAL: &str = "replay: { journal: state }";
/// How far a clock is set, in seconds.
const STEPS: [i64; 15] =
    [-86_400, -7200, -3600, -600, -120, -61, -30, -11, -1, 11, 61, 120, 3600, 7200, 86_400];

/// A request made just now by the gateway's clock, with this nonce.
fn request(house: &House, nonce: Option<&str>) -> String {
    let now = house.clock.now().as_secs();
    let token = house.token(json!({ "iat": now - 10, "exp": now + 300 }));
    let proof = house.proof(&token, json!({ "iat": now, "nonce": nonce }));
    get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
}

/// Follows challenges until it is through: after how many, with which nonce, and what was sent at last.
async fn follow(house: &House, mut nonce: Option<String>) -> (usize, Option<String>, String) {
    for challenges in 0..4 {
        let request = request(house, nonce.as_deref());
        let answer = house.send(&request).await;
        if answer.status == 200 {
            return (challenges, nonce, request);
        }
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(answer.text().contains("use_dpop_nonce"), "{}", answer.text());
        nonce = answer.header("dpop-nonce").map(str::to_owned);
    }
    panic!("challenged again and again");
}

fn set(house: &House, seconds: i64) {
    let now = house.clock.now().as_secs();
    house.clock.step(keyproof::clock::UnixTime::from_secs(now + seconds));
}

fn pass(house: &House, seconds: u64) {
    house.clock.set(house.clock.now().saturating_add(Duration::from_secs(seconds)));
}

/// The gateway was up for 35 s, its clock was set back by 120 s, and 179 of 179 clients were challenged again and again, also those who sent
/// the nonce that they had just been given.
#[tokio::test]
async fn whatever_the_clock_is_set_to_a_challenge_can_be_satisfied() {
    for (routes, settings) in [(OFF, ""), (REQUIRED, ""), (OFF, JOURNAL), (REQUIRED, JOURNAL)] {
        for uptime in [0, 35, 1000] {
            for step in STEPS {
                let what = format!("{settings} {uptime} s up, {step} s");
                let house = House::just_started(routes, settings).await;
                let (_, nonce, _) = follow(&house, None).await;
                pass(&house, uptime);
                let (_, nonce, sent) = follow(&house, nonce).await;
                set(&house, step);
                let answer = house.send(&sent).await;
                assert_eq!(answer.status, 401, "a replay after a step, {what}");
                let (challenges, fresh, _) = follow(&house, nonce).await;
                assert!(challenges <= 1, "{challenges} challenges, {what}");
                let (challenges, _, sent) = follow(&house, fresh).await;
                assert_eq!(challenges, 0, "the nonce still is good, {what}");
                assert_eq!(house.send(&sent).await.status, 401, "a replay, {what}");
            }
        }
    }
}

/// A clock that was an hour ahead for an hour, while it was believed, and is set right.
#[tokio::test]
async fn a_clock_that_was_believed_for_long_leaves_one_challenge_behind() {
    for (routes, settings) in [(OFF, ""), (REQUIRED, ""), (OFF, JOURNAL)] {
        let house = House::just_started(routes, settings).await;
        let mut nonce = None;
        for _ in 0..120 {
            pass(&house, 30);
            (_, nonce, _) = follow(&house, nonce).await;
        }
        set(&house, -3600);
        let mut sent = Vec::new();
        for _ in 0..20 {
            let (challenges, fresh, request) = follow(&house, nonce).await;
            assert!(challenges <= 1, "{settings} {challenges}");
            for old in &sent {
                assert_eq!(house.send(old).await.status, 401);
            }
            sent.push(request);
            nonce = fresh;
            pass(&house, 7);
        }
    }
}

/// It is set between the challenge and the client's answer to it.
#[tokio::test]
async fn a_clock_that_is_set_while_the_client_answers_costs_one_more_challenge_at_most() {
    for routes in [OFF, REQUIRED] {
        for step in STEPS {
            let house = House::just_started(routes, "").await;
            pass(&house, 35);
            let challenge = house.send(request(&house, None)).await;
            let nonce = challenge.header("dpop-nonce").map(str::to_owned);
            assert!(nonce.is_some());
            set(&house, step);
            let (challenges, _, sent) = follow(&house, nonce).await;
            assert!(challenges <= 1, "{step}: {challenges}");
            set(&house, -step);
            assert_eq!(house.send(&sent).await.status, 401, "{step}");
        }
    }
}

/// With the journal a restart did not help: it remembers that it is complete since a moment that lies ahead now.
#[tokio::test]
async fn a_restart_with_a_journal_and_a_clock_that_was_set_back_challenges_once() {
    for step in STEPS {
        let house = House::just_started(OFF, JOURNAL).await;
        let (_, _, used) = follow(&house, None).await;
        pass(&house, 35);
        set(&house, step);
        let house = house.restarted().await;
        assert_ne!(house.send(&used).await.status, 200, "{step}");
        let (challenges, nonce, sent) = follow(&house, None).await;
        assert!(challenges <= 1, "{step}: {challenges}");
        assert_eq!(house.admin_page("/readyz").await.status, 200, "{step}");
        set(&house, 10);
        let (challenges, ..) = follow(&house, nonce).await;
        assert_eq!(challenges, 0, "{step}");
        assert_ne!(house.send(&sent).await.status, 200, "{step}");
        set(&house, -step);
        assert_ne!(house.send(&used).await.status, 200, "{step}");
    }
}

/// `replay.on_start: wait` gives no challenge at a start, but does not wait for a clock that was set back to catch up.
#[tokio::test]
async fn waiting_is_not_for_a_clock_that_was_set_back() {
    let house = House::just_started(OFF, "replay: { on_start: wait }").await;
    pass(&house, 35);
    assert_eq!(follow(&house, None).await.0, 0);
    set(&house, -3600);
    assert_eq!(house.admin_page("/readyz").await.status, 200);
    assert_eq!(follow(&house, None).await.0, 1);
}

/// Memory begins empty, and the clock of the process before it was further ahead than the leeway: 20 of 20 of its proofs were taken again.
#[tokio::test]
async fn at_first_a_memory_takes_nothing_without_a_nonce_of_its_own() {
    for back in [0, 11, 30, 60, 3600] {
        let house = House::just_started(OFF, "").await;
        pass(&house, 100);
        let (_, _, used) = follow(&house, None).await;
        set(&house, -back);
        let house = house.restarted().await;
        let (mut nonce, mut challenges) = (None, 0);
        for _ in 0..70 {
            assert_ne!(house.send(&used).await.status, 200, "{back}");
            let more;
            (more, nonce, _) = follow(&house, nonce).await;
            challenges += more;
            assert_eq!(house.send(request(&house, None)).await.status, 401, "{back}");
            pass(&house, 1);
        }
        assert_eq!(challenges, 1, "{back}");
        assert_eq!(follow(&house, None).await.0, 0, "70 s after the start nobody is challenged, {back}");
    }
}

/// With a secret that outlives the process, what the process before it has made is not taken for its own.
#[tokio::test]
async fn a_nonce_of_another_process_does_not_help_after_a_start() {
    let house = House::just_started(REQUIRED, "dpop: { nonce: { secret_file: secret } }").await;
    let (_, nonce, used) = follow(&house, None).await;
    pass(&house, 1);
    let house = house.restarted().await;
    assert_eq!(house.send(&used).await.status, 401);
    assert_eq!(follow(&house, nonce).await.0, 1);
}

/// In a crash loop each start moved the moment on by 5 s, because the one of the start before lay ahead.
#[tokio::test]
async fn a_crash_loop_with_a_journal_challenges_no_longer_than_one_start() {
    let settings = "dpop: { nonce: { secret_file: secret } }\nreplay: { journal: state }";
    let mut house = House::just_started(OFF, settings).await;
    for _ in 0..6 {
        pass(&house, 3);
        house = house.restarted().await;
    }
    assert_eq!(
        follow(&house, None).await.0,
        0,
        "18 s after the start, which was 5 s ahead, by 10 s of leeway"
    );
}

/// The wall clock gains or loses half a second in ten.
#[tokio::test]
async fn a_clock_that_drifts_challenges_nobody_and_forgets_nothing() {
    for settings in ["", JOURNAL] {
        for drift in [-500, 500] {
            let house = House::just_started(OFF, settings).await;
            pass(&house, 100);
            let mut sent = std::collections::VecDeque::new();
            for round in 0..200 {
                pass(&house, 10);
                let now = house.clock.now().as_millis();
                house.clock.step(keyproof::clock::UnixTime::from_millis(now + drift));
                let (challenges, _, request) = follow(&house, None).await;
                assert_eq!(challenges, 0, "{settings} {drift} {round}");
                sent.push_back(request);
                for old in &sent {
                    assert_ne!(house.send(old).await.status, 200, "{settings} {drift} {round}");
                }
                sent.truncate(12);
                if sent.len() == 12 {
                    sent.pop_front();
                }
            }
        }
    }
}
