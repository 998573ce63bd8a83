//! What decides how long a proof is remembered, changed while proofs are remembered.

use super::with;
use serde_json::json;
use std::time::Duration;
use support::gateway::{House, NOW};

const REQUIRED: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, nonce: required }";

/// The store was made for two minutes, and an hour is asked of it.
#[tokio::test]
async fn proofs_can_be_remembered_for_much_longer_than_at_the_start() {
    for store in ["replay: { store: memory }", "replay: { journal: state }"] {
        let house = House::with(
            REQUIRED,
            &format!("dpop: {{ max_age: 60s, nonce: {{ secret_file: secret }} }}\n{store}"),
        )
        .await;
        let token = house.token(json!({ "exp": NOW.as_secs() + 7200 }));
        let proof = |nonce: &str| with(&token, &house.proof(&token, json!({ "nonce": nonce })));
        let nonce = async || house.send(proof("none")).await.header("dpop-nonce").unwrap().to_owned();
        let used = proof(&nonce().await);
        assert_eq!(house.send(&used).await.status, 200);
        house.reload_with("max_age: 60s, nonce: {", "max_age: 10m, nonce: { lifetime: 1h,").await;
        assert_eq!(house.send(&used).await.status, 401, "{store}");

        // To a successor a nonce of ours may be 10 s older than it says, and those from before the reload are challenged.
        house.clock.set(NOW.saturating_add(Duration::from_secs(11)));
        let used = proof(&nonce().await);
        assert_eq!(house.send(&used).await.status, 200, "{store}");
        let late = proof(&nonce().await);
        house.clock.set(NOW.saturating_add(Duration::from_secs(3550)));
        let again = house.send(&used).await;
        assert!(again.header("www-authenticate").unwrap().contains("was used before"), "{store}");
        assert_eq!(house.send(&late).await.status, 200, "{store}: its nonce is good for an hour now");
        if store.contains("journal") {
            let house = house.restarted().await;
            for used in [&used, &late] {
                let again = house.send(used).await;
                let told = again.header("www-authenticate").unwrap();
                assert!(told.contains("was used before"), "{store}: {told}");
            }
        }
    }
}

/// Where the start is still near, the policy that is in force decides whether it is waited for.
#[tokio::test]
async fn how_the_time_before_the_start_is_treated_can_change() {
    let house = House::just_started(REQUIRED, "replay: { on_start: challenge }").await;
    let ready = async || house.admin_page("/readyz").await;
    assert_eq!(ready().await.status, 200);
    house.reload_with("on_start: challenge", "on_start: wait").await;
    let not_yet = ready().await;
    assert!(not_yet.status == 503 && not_yet.text().contains("replay: waiting"), "{}", not_yet.text());
    house.reload_with("on_start: wait", "on_start: challenge").await;
    assert_eq!(ready().await.status, 200);
}
