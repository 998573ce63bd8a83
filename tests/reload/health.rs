//! What is known of servers, and a reload: it lives on where what decided it is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::gateway::House;
use support::upstream::{Recording, serve};

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [dpop] }";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

async fn servers(house: &House, state: &str) -> f64 {
    house.metric("keyproof_upstream_servers", &["upstream=\"legacy\"", &format!("state=\"{state}\"")]).await
}

#[tokio::test]
async fn a_server_that_rests_goes_on_to_rest_unless_it_is_judged_otherwise() {
    let house = House::with_routes(ROUTES).await;
    let ill = Recording::start(BUSY).await;
    let from = format!("servers: [\"http://{}\"]", house.upstream.address);
    let both = format!(
        "servers: [\"http://{}\", \"http://{}\"], eject: {{ after: 1, for: 60s }}",
        house.upstream.address, ill.address
    );
    house.reload_with(&from, &both).await;
    for _ in 0..2 {
        house.good().await;
    }
    assert_eq!((servers(&house, "healthy").await, servers(&house, "ejected").await), (1.0, 1.0));

    house.reload_with("path: /orders }", "path: /orders, methods: [GET] }").await;
    assert_eq!(servers(&house, "ejected").await, 1.0, "nothing that concerns it has changed");
    house.reload_with("eject: {", "connections: 7, balance: least_requests, eject: {").await;
    assert_eq!(servers(&house, "ejected").await, 1.0, "nor has it now");
    house.refuses_to_reload_with("after: 1, for: 60s }", "after: 9, for: 60s }, connections: 0").await;
    assert_eq!(servers(&house, "ejected").await, 1.0, "what was rejected never was");
    for _ in 0..4 {
        assert_eq!(house.good().await.status, 200);
    }
    assert_eq!(ill.seen().len(), 1);

    house.reload_with("after: 1, for: 60s", "after: 2, for: 60s").await;
    assert_eq!((servers(&house, "healthy").await, servers(&house, "ejected").await), (2.0, 0.0));
}

/// However many generations there were, a server is asked by one of them.
#[tokio::test]
async fn a_server_is_asked_once_at_a_time_whatever_is_reloaded() {
    let house = House::with_routes(ROUTES).await;
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let address = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", move |seen| {
        count.fetch_add(usize::from(seen.line.contains("/healthz")), Ordering::SeqCst);
    })
    .await;
    let from = format!("servers: [\"http://{}\"]", house.upstream.address);
    let to = format!("servers: [\"http://{address}\"], health: {{ path: /healthz, interval: 200ms }}");
    house.reload_with(&from, &to).await;
    for number in 0..10 {
        let (from, to) = (
            format!("name: orders{}", "x".repeat(number)),
            format!("name: orders{}", "x".repeat(number + 1)),
        );
        house.reload_with(&format!("{from},"), &format!("{to},")).await;
    }
    let before = asked.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let during = asked.load(Ordering::SeqCst) - before;
    assert!((1..=7).contains(&during), "{during} times in a second");
}
