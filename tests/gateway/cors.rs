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
        let vary = answer.header("vary").is_some_and(|vary| vary.contains("Origin"));
        assert_eq!(vary, method == "GET", "the route for {method} has origins of its own: {origin}");
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
        Some("DPoP-Nonce, WWW-Authenticate, X-Request-Id, Date")
    );
    assert!(answer.header("vary").unwrap().contains("Origin"));
    let answer = house.send(get("/orders", &[("origin", "https://evil.test")])).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

/// Method, path, headers; the status, and whether it depends on the origin.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, bool);

/// A cache that keeps an answer to a request without `Origin` would give it to a page that may not read it, or the other way.
#[tokio::test]
async fn every_answer_says_that_it_depends_on_the_origin() {
    let house = House::with_routes(
        r#"
  - { name: open, match: { path: /open }, upstream: legacy, public: true, cors: { origins: ["https://app.test", "capacitor://localhost"] } }
  - { name: guarded, match: { path: /guarded }, upstream: legacy, cors: { origins: ["https://app.test"] } }
  - { name: other, match: { path: /other }, upstream: legacy, public: true }"#,
    )
    .await;
    let preflight = [("access-control-request-method", "GET"), ("origin", "https://app.test")];
    let cases: [Case<'_>; 9] = [
        ("GET", "/open", &[], 200, true),
        ("GET", "/open", &[("origin", "https://app.test")], 200, true),
        ("GET", "/open", &[("origin", "capacitor://localhost")], 200, true),
        ("GET", "/open", &[("origin", "https://evil.test")], 200, true),
        ("GET", "/guarded", &[], 401, true),
        ("GET", "/guarded", &[("origin", "null")], 401, true),
        ("OPTIONS", "/guarded", &preflight, 204, true),
        (
            "OPTIONS",
            "/guarded",
            &[("access-control-request-method", "GET"), ("origin", "https://evil.test")],
            401,
            true,
        ),
        ("GET", "/other", &[("origin", "https://app.test")], 200, false),
    ];
    for (method, path, headers, status, varies) in cases {
        let answer = house.send(request(method, path, headers)).await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}");
        let vary = answer.header("vary").is_some_and(|vary| vary.contains("Origin"));
        assert_eq!(vary, varies, "{method} {path} {headers:?}");
        assert!(answer.header("date").is_some());
    }
    let app = house.send(get("/open", &[("origin", "capacitor://localhost")])).await;
    assert_eq!(app.header("access-control-allow-origin"), Some("capacitor://localhost"));
}
