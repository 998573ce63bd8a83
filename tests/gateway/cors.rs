//! Browser clients (WHATWG Fetch).

use support::gateway::{House, get, request};

const ORDERS: &str = r#"
  - name: orders
    match: { path: /orders, methods: [GET] }
    upstream: legacy
    cors: { origins: ["https://app.test"] }"#;

#[tokio::test]
async fn a_preflight_is_answered_here() {
    let house = House::with_routes(ORDERS).await;
    let preflight = |origin: &str, method: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", "authorization,dpop,x-page"),
        ];
        house.send(request("OPTIONS", "/orders", &headers))
    };
    let answer = preflight("https://app.test", "GET").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET"));
    let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for name in ["authorization", "dpop", "x-page"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    for (origin, method) in [("https://evil.test", "GET"), ("null", "GET"), ("https://app.test", "DELETE")] {
        let answer = preflight(origin, method).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (405, None),
            "{origin} {method}"
        );
    }
    assert!(house.upstream.seen().is_empty(), "nothing goes on without credentials");
}

#[tokio::test]
async fn refusals_can_be_read_by_the_browser_too() {
    let house = House::with_routes(ORDERS).await;
    let answer = house.send(get("/orders", &[("origin", "https://app.test")])).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("DPoP-Nonce, WWW-Authenticate, X-Request-Id")
    );
    assert!(answer.header("vary").unwrap().contains("Origin"));
    let answer = house.send(get("/orders", &[("origin", "https://evil.test")])).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
