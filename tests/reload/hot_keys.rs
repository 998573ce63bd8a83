//! `dpop.hot_keys`, switched on and off while clients come: the same answers, from tables or without.

use serde_json::json;
use std::time::Duration;
use support::gateway::{House, get};

const OFF: &str = "dpop: { max_age: 60s }";

async fn tables(house: &House) -> f64 {
    house.metric("keyproof_hot_keys ", &[]).await
}

/// What a client and a thief get.
async fn same_answers(house: &House) {
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let send = async |proof: &str| {
        let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", proof)]);
        house.send(request).await.status
    };
    // Another signature of the same key, under this payload.
    let (signed, _) = proof.rsplit_once('.').unwrap();
    let (_, other) =
        house.proof(&token, json!({})).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(send(&format!("{signed}.{other}")).await, 401, "its signature is another proof's");
    assert_eq!(send(&proof).await, 200);
    assert_eq!(send(&proof).await, 401, "it was used before");
}

/// A live token and its key, but a proof that was used before, and one for another method. One request is admitted.
async fn refused_requests_earn_nothing(house: &House) {
    let token = house.token(json!({}));
    let send = async |proof: &str| {
        let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", proof)]);
        house.send(request).await.status
    };
    let (used, other) = (house.proof(&token, json!({})), house.proof(&token, json!({ "htm": "POST" })));
    assert_eq!(send(&used).await, 200);
    for _ in 0..2 * keyproof::hot_keys::EARNED {
        assert_eq!(send(&used).await, 401);
        assert_eq!(send(&other).await, 401);
    }
}

#[tokio::test]
async fn the_number_of_hot_keys_changes_and_answers_do_not() {
    let house = House::with(super::configuration::ROUTES, OFF).await;
    same_answers(&house).await;
    assert_eq!(tables(&house).await, 0.0);
    house.edit(OFF, "dpop: { max_age: 60s, hot_keys: 4 }");
    house.reload().await.unwrap();
    refused_requests_earn_nothing(&house).await;
    for _ in 2..keyproof::hot_keys::EARNED {
        assert_eq!(house.good().await.status, 200);
    }
    assert_eq!(tables(&house).await, 0.0);
    assert_eq!(house.good().await.status, 200);
    super::by_itself(async || tables(&house).await == 1.0).await;
    // Compared with ring, and then alone.
    same_answers(&house).await;
    house.clock.set(house.clock.now().saturating_add(Duration::from_secs(1)));
    for _ in 0..keyproof::hot_keys::EARNED {
        assert_eq!(house.good().await.status, 200);
    }
    let alone = house.metric("keyproof_hot_key_verifications_total", &[]).await;
    assert!(alone > 0.0);
    same_answers(&house).await;
    assert_eq!(house.metric("keyproof_hot_key_verifications_total", &[]).await, alone + 3.0);
    assert_eq!(house.metric("keyproof_hot_key_tables_built_total", &[]).await, 1.0);
    assert_eq!(house.metric("keyproof_hot_key_differences_total", &[]).await, 0.0);

    house.edit("hot_keys: 4", "hot_keys: 0");
    house.reload().await.unwrap();
    assert_eq!(tables(&house).await, 0.0);
    assert_eq!(house.metric("keyproof_hot_keys_capacity", &[]).await, 0.0);
    same_answers(&house).await;
    assert_eq!(house.metric("keyproof_hot_key_verifications_total", &[]).await, alone + 3.0);
}
