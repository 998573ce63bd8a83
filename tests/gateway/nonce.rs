//! Server nonces (RFC 9449 sections 8 and 9).

use serde_json::json;
use std::time::Duration;
use support::gateway::{House, NOW, get};

const ORDERS: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, nonce: required }";

#[tokio::test]
async fn with_a_nonce_the_clients_clock_does_not_matter() {
    let house = House::with_routes(ORDERS).await;
    let challenge = house.good().await;
    assert_eq!(challenge.status, 401);
    assert!(challenge.header("www-authenticate").unwrap().contains("use_dpop_nonce"));
    let nonce = challenge.header("dpop-nonce").unwrap().to_owned();
    assert_eq!(challenge.header("cache-control"), Some("no-store"));

    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    for iat in [0, NOW.as_secs() + 86_400] {
        let proof = house.proof(&token, json!({ "nonce": nonce, "iat": iat }));
        let request = get("/orders", &[("authorization", &authorization), ("dpop", &proof)]);
        let answer = house.send(&request).await;
        assert_eq!((answer.status, answer.header("dpop-nonce")), (200, None), "{iat}");
        // Remembered as long as the nonce lives, not as the window says.
        assert_eq!(house.send(&request).await.status, 401);
        house.clock.set(NOW.saturating_add(Duration::from_secs(119)));
        assert_eq!(house.send(&request).await.status, 401, "remembered for as long as the nonce lives");
        house.clock.set(NOW);
    }
}

#[tokio::test]
async fn a_fresh_nonce_comes_before_the_old_one_ends() {
    let house = House::with_routes(ORDERS).await;
    let nonce = house.good().await.header("dpop-nonce").unwrap().to_owned();
    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    house.clock.set(NOW.saturating_add(Duration::from_secs(100)));
    let proof = house.proof(&token, json!({ "nonce": nonce }));
    let answer = house.send(get("/orders", &[("authorization", &authorization), ("dpop", &proof)])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let fresh = answer.header("dpop-nonce").unwrap().to_owned();
    assert_ne!(fresh, nonce);

    house.clock.set(NOW.saturating_add(Duration::from_secs(121)));
    let stale = house.proof(&token, json!({ "nonce": nonce }));
    let answer = house.send(get("/orders", &[("authorization", &authorization), ("dpop", &stale)])).await;
    assert_eq!((answer.status, answer.header("dpop-nonce").is_some()), (401, true));
    let proof = house.proof(&token, json!({ "nonce": fresh }));
    assert_eq!(
        house.send(get("/orders", &[("authorization", &authorization), ("dpop", &proof)])).await.status,
        200
    );
}

#[tokio::test]
async fn without_the_policy_a_nonce_is_just_another_claim() {
    let house = House::with_routes("  - { name: orders, match: { path: /orders }, upstream: legacy }").await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "nonce": "somebody else's" }));
    let answer =
        house.send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await;
    assert_eq!((answer.status, answer.header("dpop-nonce")), (200, None));
}
