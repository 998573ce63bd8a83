//! A proof is used once.

use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::json;
use std::time::Duration;
use support::gateway::{House, NOW, get, proof};
use support::raw::Raw;

const ORDERS: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";

#[tokio::test]
async fn of_many_identical_requests_exactly_one_passes() {
    let house = House::with_routes(ORDERS).await;
    let mut connections = Vec::new();
    for _ in 0..64 {
        connections.push(Raw::connect(house.gateway).await);
    }
    for round in 1..=5 {
        let token = house.token(json!({}));
        let proof = house.proof(&token, json!({}));
        let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
        let mut answers = tokio::task::JoinSet::new();
        for mut connection in connections.drain(..) {
            let request = request.clone();
            answers.spawn(async move {
                connection.send(&request).await;
                let answer = connection.answer().await.unwrap();
                (connection, answer)
            });
        }
        let mut passed = 0;
        for (connection, answer) in answers.join_all().await {
            connections.push(connection);
            match answer.status {
                200 => passed += 1,
                401 => assert!(answer.text().contains("the proof was used before"), "{}", answer.text()),
                other => panic!("{other}"),
            }
        }
        assert_eq!(passed, 1, "round {round}");
        assert_eq!(house.upstream.seen().len(), round);
    }
}

#[tokio::test]
async fn a_refused_request_uses_nothing_up() {
    let house = House::with_routes(ORDERS).await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let other_token = house.token(json!({}));
    let refused = get("/orders", &[("authorization", &format!("DPoP {other_token}")), ("dpop", &proof)]);
    assert_eq!(house.send(refused).await.status, 401);
    let good = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
    assert_eq!(house.send(&good).await.status, 200);
    assert_eq!(house.send(&good).await.status, 401);
}

#[tokio::test]
async fn what_could_have_been_used_before_the_start_needs_a_nonce() {
    let house = House::just_started(ORDERS, "").await;
    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    let proof = house.proof(&token, json!({}));
    let challenge = house.send(get("/orders", &[("authorization", &authorization), ("dpop", &proof)])).await;
    assert_eq!(challenge.status, 401);
    assert!(challenge.header("www-authenticate").unwrap().contains("error=\"use_dpop_nonce\""));
    let nonce = challenge.header("dpop-nonce").unwrap();
    assert_eq!(house.metric("keyproof_nonce_challenges_total", &["route=\"orders\""]).await, 1.0);

    let proof = house.proof(&token, json!({ "nonce": nonce }));
    let request = get("/orders", &[("authorization", &authorization), ("dpop", &proof)]);
    assert_eq!(house.send(&request).await.status, 200);
    assert_eq!(house.send(&request).await.status, 401);

    // By a clock that nobody sets: 70 s later, max_age and leeway, nothing that was used before can be accepted.
    for (seconds, status) in [(10, 401), (69, 401), (70, 200)] {
        house.clock.set(NOW.saturating_add(Duration::from_secs(seconds)));
        let proof = house.proof(&token, json!({ "iat": NOW.as_secs() + seconds.cast_signed() }));
        let answer = house.send(get("/orders", &[("authorization", &authorization), ("dpop", &proof)])).await;
        assert_eq!(answer.status, status, "{seconds}");
    }
}

#[tokio::test]
async fn waiting_instead_keeps_readiness_back() {
    let house = House::just_started(ORDERS, "replay: { on_start: wait }").await;
    let page = house.admin_page("/readyz").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("replay"), "{}", page.text());
    let answer = house.good().await;
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("invalid_dpop_proof"), "{}", answer.text());
    house.clock.set(NOW.saturating_add(Duration::from_millis(10_999)));
    assert_eq!(house.admin_page("/readyz").await.status, 503);
    // As soon as it says that it is ready it takes what is made then, although `iat` is a whole second, and up to one in the past.
    house.clock.set(NOW.saturating_add(Duration::from_millis(11_000)));
    assert_eq!(house.admin_page("/readyz").await.status, 200);
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "iat": NOW.as_secs() + 10 }));
    let fields = [("authorization", &*format!("DPoP {token}")), ("dpop", &*proof)];
    assert_eq!(house.send(get("/orders", &fields)).await.status, 200);
}

/// A flood by one client, of twice what the store can hold, leaves a second client served.
#[tokio::test]
async fn one_client_cannot_crowd_out_the_others() {
    let house = House::with(ORDERS, "replay: { capacity: 100, per_key_limit: 50 }").await;
    let mut served = 0;
    for _ in 0..200 {
        let answer = house.good().await;
        match answer.status {
            200 => served += 1,
            status => {
                assert_eq!((status, answer.header("retry-after").is_some()), (429, true));
                assert_eq!(answer.all("www-authenticate"), Vec::<&str>::new());
            }
        }
    }
    assert_eq!(served, 50);

    let other = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    let cnf = json!({ "jkt": other.public().thumbprint().to_string() });
    let token = house.token(json!({ "sub": "bob", "cnf": cnf }));
    let proof = proof(&other, json!({}), &token, json!({}));
    let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
    assert_eq!(house.send(request).await.status, 200);
}

/// 50 of 50 requests of other clients were answered 503 when one client with many keys had filled the store.
#[tokio::test]
async fn one_subject_with_many_keys_cannot_crowd_out_the_others() {
    for settings in [
        "replay: { capacity: 100 }",
        "replay: { capacity: 100, journal: state }",
        "replay: { capacity: 1000, per_subject_limit: 25 }",
    ] {
        let house = House::with(ORDERS, settings).await;
        let ask = async |sub: &str| {
            let key = PrivateKey::generate(Algorithm::EdDsa).unwrap();
            let token =
                house.token(json!({ "sub": sub, "cnf": { "jkt": key.public().thumbprint().to_string() } }));
            let proof = proof(&key, json!({}), &token, json!({}));
            house.send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await
        };
        for n in 0..110 {
            let answer = ask("mallory").await;
            assert_eq!(answer.status, if n < 25 { 200 } else { 429 }, "{settings} {n}");
        }
        for _ in 0..20 {
            assert_eq!(ask("bob").await.status, 200, "{settings}");
        }
        house.clock.set(NOW.saturating_add(Duration::from_secs(75)));
        let iat = NOW.as_secs() + 75;
        let token = house.token(json!({ "sub": "mallory" }));
        let proof = house.proof(&token, json!({ "iat": iat }));
        let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
        assert_eq!(house.send(request).await.status, 200, "they have expired");
    }
}

#[tokio::test]
async fn a_journal_vouches_for_the_time_before_the_start() {
    let house = House::with(ORDERS, "replay: { journal: state }").await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
    assert_eq!(house.send(&request).await.status, 200);

    let house = house.restarted().await;
    let answer = house.send(&request).await;
    assert!(answer.text().contains("the proof was used before"), "{}", answer.text());
    assert_eq!(house.good().await.status, 200, "nobody is challenged");
}

#[tokio::test]
async fn two_processes_do_not_share_a_journal() {
    // Another process may take so long to end, and is waited for.
    let settings = "replay: { journal: state }\nlimits: { drain_timeout: 0s }";
    let house = House::with(ORDERS, settings).await;
    let (plan, _) = keyproof::config::load(&house.configuration()).unwrap();
    let error = keyproof::app::App::build(plan, house.clock.clone(), None).await.unwrap_err();
    assert!(error.to_string().contains("is in use by another process"), "{error}");
}

/// 15,101 proofs were refused while `/readyz` said 200.
#[tokio::test]
async fn a_journal_that_cannot_be_written_is_not_ready() {
    let house = House::with(ORDERS, "replay: { journal: state }").await;
    assert_eq!(house.good().await.status, 200);
    assert_eq!(house.admin_page("/readyz").await.status, 200);
    let directory = house.configuration().with_file_name("state");
    std::fs::remove_dir_all(&directory).unwrap();
    let page = readiness(&house, 503).await;
    assert!(page.contains("the journal cannot be written"), "{page}");
    let answer = house.good().await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{}", answer.text());
    assert!(answer.all("www-authenticate").is_empty());
    assert!(house.metric("keyproof_journal_errors_total", &[]).await >= 1.0);
    std::fs::create_dir(&directory).unwrap();
    readiness(&house, 200).await;
    // Another process could have had the directory meanwhile.
    let challenge = house.good().await;
    assert_eq!(challenge.status, 401);
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "nonce": challenge.header("dpop-nonce").unwrap() }));
    let fields = [("authorization", &*format!("DPoP {token}")), ("dpop", &*proof)];
    assert_eq!(house.send(get("/orders", &fields)).await.status, 200);
}

/// Waits until `/readyz` has this status, and returns what it says.
async fn readiness(house: &House, status: u16) -> String {
    loop {
        let page = house.admin_page("/readyz").await;
        if page.status == status {
            return page.text();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
