//! One replay store for all doors.

use super::front::{FRONTS, Request};
use serde_json::json;
use support::gateway::{House, get};

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";

#[tokio::test]
async fn a_proof_used_at_one_door_is_refused_at_the_others() {
    let house = House::with_doors(ROUTES, "").await;
    for first in 0..4 {
        let token = house.token(json!({}));
        let proof = house.proof(&token, json!({}));
        let authorization = format!("DPoP {token}");
        let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
        let doors = (first..4).chain(0..first);
        for (place, door) in doors.enumerate() {
            let answer = match FRONTS.get(door) {
                Some(front) => front.ask(&house, &Request::get("/orders", &headers)).await,
                None => house.send(get("/orders", &headers)).await,
            };
            assert_eq!(answer.status, if place == 0 { 200 } else { 401 }, "door {door} after {first}");
        }
    }
    assert_eq!(house.metric("keyproof_decisions_total", &["reason=\"replayed\""]).await, 12.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_copies_at_all_doors_at_once_one_passes() {
    let house = House::with_doors(ROUTES, "").await;
    for _ in 0..4 {
        let token = house.token(json!({}));
        let proof = house.proof(&token, json!({}));
        let authorization = format!("DPoP {token}");
        let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
        let copies: tokio::task::JoinSet<_> = (0..64)
            .map(|copy| match FRONTS.get(copy % 4) {
                Some(front) => (house.decisions(), front.asks(&Request::get("/orders", &headers))),
                None => (house.gateway, get("/orders", &headers)),
            })
            .map(|(listener, question)| async move {
                let mut connection = support::raw::Raw::connect(listener).await;
                connection.send(question).await;
                connection.answer().await.expect("an answer").status
            })
            .collect();
        let mut passed = 0;
        for status in copies.join_all().await {
            match status {
                200 => passed += 1,
                status => assert_eq!(status, 401),
            }
        }
        assert_eq!(passed, 1);
    }
}
