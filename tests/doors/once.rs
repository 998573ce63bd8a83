//! One replay store for all doors.

use super::front::{FRONTS, Front, OVER_HTTP, Request};
use serde_json::json;
use std::sync::Arc;
use support::gateway::{HOST, House, get};
use support::grpc::{Channel, Http};
use support::raw::Raw;
use tokio::sync::Barrier;

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";

/// The proxy listener after those of the fronts.
const DOORS: usize = FRONTS.len() + 1;

#[tokio::test]
async fn a_proof_used_at_one_door_is_refused_at_the_others() {
    let house = House::with_doors(ROUTES, "").await;
    for first in 0..DOORS {
        let token = house.token(json!({}));
        let proof = house.proof(&token, json!({}));
        let authorization = format!("DPoP {token}");
        let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
        let doors = (first..DOORS).chain(0..first);
        for (place, door) in doors.enumerate() {
            let answer = match FRONTS.get(door) {
                Some(front) => front.ask(&house, &Request::get("/orders", &headers)).await,
                None => house.send(get("/orders", &headers)).await,
            };
            assert_eq!(answer.status, if place == 0 { 200 } else { 401 }, "door {door} after {first}");
        }
    }
    let replayed = house.metric("keyproof_decisions_total", &["reason=\"replayed\""]).await;
    assert_eq!(replayed, f64::from(u8::try_from(DOORS * (DOORS - 1)).unwrap()));
}

/// Connected first, so that the copies come at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_copies_at_all_doors_at_once_one_passes() {
    let house = House::with_doors(ROUTES, "").await;
    for _ in 0..4 {
        let token = house.token(json!({}));
        let proof = house.proof(&token, json!({}));
        let authorization = format!("DPoP {token}");
        let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
        let start = Arc::new(Barrier::new(64));
        let mut copies = tokio::task::JoinSet::new();
        for copy in 0..64 {
            let start = Arc::clone(&start);
            let over_http = match FRONTS.get(copy % DOORS) {
                Some(Front::Grpc) => {
                    let (channel, http) =
                        (Channel::connect(house.grpc()).await, Http::new("GET", "/orders", HOST, &headers));
                    copies.spawn(async move {
                        start.wait().await;
                        channel.decision(&http).await.as_answer().status
                    });
                    continue;
                }
                Some(front) => (house.decisions(), front.asks(&Request::get("/orders", &headers))),
                None => (house.gateway, get("/orders", &headers)),
            };
            let (listener, question) = over_http;
            let mut connection = Raw::connect(listener).await;
            copies.spawn(async move {
                start.wait().await;
                connection.send(question).await;
                connection.answer().await.expect("an answer").status
            });
        }
        let answers = copies.join_all().await;
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|status| **status == 401).count(), 63, "{answers:?}");
    }
    assert_eq!(OVER_HTTP.len() + 2, DOORS);
}
