//! A listener whose trust or whose purpose changes while it runs.

use super::front::{Front, Request};
use support::gateway::{House, get};
use support::raw::Raw;

const ROUTES: &str = "  - { name: public, match: { path: / }, upstream: legacy, public: true }";
const TRUSTING: &str = "mode: forward_auth, trusted_proxies: [127.0.0.1/32]";

/// Whoever was trusted keeps no word in a connection that stays open.
#[tokio::test]
async fn trust_that_is_taken_ends_with_the_next_question() {
    let house = House::with_doors(ROUTES, "").await;
    let question = Front::Original.asks(&Request::get("/", &[]));
    let mut connection = Raw::connect(house.decisions()).await;
    connection.send(&question).await;
    assert_eq!(connection.answer().await.unwrap().status, 200);
    house.reload_with(TRUSTING, "mode: forward_auth, trusted_proxies: [192.0.2.2/32]").await;
    connection.send(&question).await;
    assert_eq!(connection.answer().await.unwrap().status, 403);
}

/// A connection to a listener of one kind never becomes one to the other.
#[tokio::test]
async fn what_a_listener_is_for_can_change() {
    let house = House::with_doors(ROUTES, "").await;
    let asks = async || house.ask(house.decisions(), get("/", &[])).await.status;
    assert_eq!(asks().await, 400, "no description");
    house.reload_with(TRUSTING, "mode: proxy").await;
    assert_eq!(asks().await, 200);
    assert_eq!(house.upstream.seen().len(), 1);
    house.reload_with("mode: proxy", TRUSTING).await;
    assert_eq!(asks().await, 400);
    assert_eq!(house.upstream.seen().len(), 1);
}
