//! One authority, one path, one route.

use support::gateway::House;
use support::raw::Raw;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders, methods: [GET] }, upstream: legacy, public: true }
  - { name: files, match: { path: /files }, upstream: legacy, public: true, encoded_slashes: keep }"#;

#[tokio::test]
async fn every_request_has_one_meaning_or_none() {
    let house = House::with_routes(ROUTES).await;
    let cases: &[(&str, u16)] = &[
        ("GET /orders HTTP/1.1\r\nHost: api.test\r\n\r\n", 200),
        ("GET /orders HTTP/1.1\r\nHost: API.TEST:443\r\n\r\n", 200),
        ("GET https://api.test/orders HTTP/1.1\r\nHost: api.test\r\n\r\n", 200),
        ("GET /orders HTTP/1.0\r\nHost: api.test\r\n\r\n", 200),
        ("GET /files/a%2fb HTTP/1.1\r\nHost: api.test\r\n\r\n", 200),
        ("GET /orders HTTP/1.1\r\n\r\n", 400),
        ("GET /orders HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders HTTP/1.1\r\nHost: me@api.test\r\n\r\n", 400),
        ("GET /orders HTTP/1.1\r\nHost: api.test, evil.test\r\n\r\n", 400),
        ("GET /orders HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET /orders HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421),
        ("GET /orders HTTP/1.1\r\nHost: api.test:8443\r\n\r\n", 421),
        ("GET https://api.test/orders HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421),
        ("GET https://evil.test/orders HTTP/1.1\r\nHost: api.test\r\n\r\n", 421),
        // The dot of the root makes another name of it, not a malformed one.
        ("GET /orders HTTP/1.1\r\nHost: api.test.\r\n\r\n", 421),
        ("GET /orders HTTP/1.1\r\nHost: api.test.:443\r\n\r\n", 421),
        ("GET /orders HTTP/1.1\r\nHost: .\r\n\r\n", 400),
        ("GET orders HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET api.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET ftp://api.test/orders HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        // What another coding hides would reach the upstream as if it were the content.
        ("POST /files HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (
            "POST /files HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /files HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /files HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200),
        ("GET /orders/../files HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders/%2e%2E/files HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders/..;/files HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET //orders HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders%2Fa HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders%5Ca HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders%00 HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders?q=\u{e9} HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders?q=%C3%A9&to=//x/../y%zz HTTP/1.1\r\nHost: api.test\r\n\r\n", 200),
        ("GET /orders%4 HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /ordersx HTTP/1.1\r\nHost: api.test\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", 404),
        ("POST /orders HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n", 405),
        ("get /orders HTTP/1.1\r\nHost: api.test\r\n\r\n", 405),
        ("TRACE /files HTTP/1.1\r\nHost: api.test\r\n\r\n", 405),
        ("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n", 405),
    ];
    for (request, status) in cases {
        let answer = house.send(request).await;
        assert_eq!(answer.status, *status, "{request}");
        if *status != 200 {
            assert!(
                answer.header("x-request-id").is_some() && answer.header("cache-control") == Some("no-store"),
                "{request}"
            );
            assert!(answer.text().starts_with("{\"error\":\""), "{request}: {}", answer.text());
        }
    }
    assert_eq!(house.upstream.seen().len(), cases.iter().filter(|(_, status)| *status == 200).count());
    let denied = house.metric("keyproof_decisions_total", &["decision=\"deny\""]).await;
    let refused = cases.iter().filter(|(_, status)| *status != 200).count();
    assert_eq!(denied, f64::from(u32::try_from(refused).unwrap()), "every refusal is counted once");
}

/// A public route above a guarded one: nginx and Python's server deliver `/svc/admin;a=b` and `/svc/admin%2Fa.txt` from what is guarded.
#[tokio::test]
async fn no_path_leads_past_a_stricter_route() {
    let house = House::with_routes(
        r#"
  - { name: svc, match: { path: /svc }, upstream: legacy, public: true, encoded_slashes: keep }
  - { name: admin, match: { path: /svc/admin }, upstream: legacy }
  - { name: dot, match: { path: /dot }, upstream: legacy, public: true }"#,
    )
    .await;
    let refused = [
        "/svc/admin;a=b",
        "/svc/admin;a=b/x",
        "/svc/admin%3b/x",
        "/svc/admin%3B",
        "/svc/admin%2Fa.txt",
        "/svc/admin%2fa.txt",
        "/svc/%2Fadmin/a.txt",
        "/svc/%2F%2Fadmin",
        "/svc/%2F%61dmin;x%2F/y",
        "/svc/admin%252Fa.txt",
        "/svc/admin%25252fa.txt",
        "/svc/admin%255Ca.txt",
        "/svc/x/%252e%252e/admin",
        "/svc/x%252F..%252Fadmin",
        "/svc/admin.",
        "/svc/admin%20",
        "/svc/admin.%20/x",
        "/svc/admin%3Fx",
        "/svc/admin%23x",
        "/svc/admin%2500.txt",
        "/dot;x/y",
        "/dot%3B",
        "/nothing/%252e%252e/dot",
        "/dot/%252e%252e/nothing",
        "/svc/..%2Fadmin",
    ];
    for path in refused {
        let answer = house.send(format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains("invalid_request"), "{path}");
    }
    assert!(house.upstream.seen().is_empty());
    // What leads to the same route either way passes as it came: matrix parameters are honest.
    let passed = [
        "/svc/cars;color=red/wheels;size=17",
        "/svc/a%3Bb",
        "/svc/a%2Fb",
        "/svc/a%252Fb",
        "/svc/file.",
        "/svc/a%20b",
        "/svc/;x",
    ];
    for path in passed {
        let answer = house.send(format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(house.upstream.seen().last().unwrap().line, format!("GET {path} HTTP/1.1"));
    }
    let guarded = house.send("GET /svc/admin/x;a=b HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(guarded.status, 401, "the guarded route itself takes parameters too");
    let label = ["reason=\"path_read_differently\""];
    assert!(house.metric("keyproof_decisions_total", &label).await > 20.0);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let house = House::with_routes(ROUTES).await;
    let answer = house.send("PUT /orders/7 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn a_target_beyond_the_limit_is_too_long() {
    let house = House::with_routes(ROUTES).await;
    let get =
        |length: usize| format!("GET /files/{} HTTP/1.1\r\nHost: api.test\r\n\r\n", "a".repeat(length - 7));
    assert_eq!(house.send(get(8 * 1024)).await.status, 200);
    assert_eq!(house.send(get(8 * 1024 + 1)).await.status, 414);
}

#[tokio::test]
async fn a_connection_outlives_a_refusal() {
    let house = House::with_routes(ROUTES).await;
    let mut connection = Raw::connect(house.gateway).await;
    for _ in 0..3 {
        connection.send("GET /nowhere HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert_eq!(connection.answer().await.unwrap().status, 404);
        connection.send("GET /orders HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
}
