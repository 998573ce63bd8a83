//! Who may describe a request, and how. What each field may say is in `src/forward_auth/describe/tests.rs`.

use super::front::{FRONTS, Front, OVER_HTTP, Request};
use serde_json::json;
use support::gateway::{HOST, House};

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy }
  - { name: public, match: { path: / }, upstream: legacy, public: true }"#;

#[tokio::test]
async fn only_a_trusted_peer_may_ask() {
    let house = House::with_doors(ROUTES, "").await;
    for front in OVER_HTTP {
        let answer = house.ask(house.strangers(), front.asks(&Request::get("/public", &[]))).await;
        assert_eq!(answer.status, 403, "{front:?}");
        assert!(answer.text().contains("access_denied"), "{}", answer.text());
        assert_eq!(answer.header("www-authenticate"), None);
        let line = house.log.line_of(&answer).await;
        assert_eq!(line["reason"], "description_untrusted", "{line}");
    }
    let answer = house.ask(house.strangers(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(answer.status, 403, "whatever is asked");
}

/// 400, the reason, and in the log the field that it is about.
#[tokio::test]
async fn a_bad_description_is_refused_and_the_log_names_the_header() {
    let house = House::with_doors(ROUTES, "").await;
    let cases = [
        ("GET /", "x-original-method: GET", "description_missing", "x-original-url"),
        ("GET /", "x-original-url: https://api.test/", "description_missing", "x-original-method"),
        (
            "GET /",
            "host: api.test",
            "description_missing",
            "x-original-method, x-original-url, x-forwarded-method, x-forwarded-proto, x-forwarded-host, x-forwarded-uri",
        ),
        (
            "GET /",
            "x-forwarded-method: GET\r\nx-forwarded-proto: https\r\nx-forwarded-uri: /",
            "description_missing",
            "x-forwarded-host",
        ),
        (
            "GET /",
            "x-original-method: GET\r\nx-original-url: https://api.test/\r\nX-Original-URL: https://api.test/",
            "description_repeated",
            "x-original-url",
        ),
        ("GET /", "x-original-method: GET\r\nx-original-url: /", "description_malformed", "x-original-url"),
        (
            "GET /",
            "x-original-method: GET\r\nx-original-url: https://api.test/\r\nx-forwarded-host: evil.test",
            "description_contradictory",
            "x-forwarded-host",
        ),
        ("GET /check", "host: api.test", "description_malformed", "request-target"),
        (
            "GET /check/",
            "x-forwarded-proto: gopher\r\nhost: api.test",
            "description_malformed",
            "x-forwarded-proto",
        ),
        ("GET /check/", "x-forwarded-proto: https", "description_missing", "host"),
        ("GET /check/", "host: api.test\r\nhost: api.test", "description_repeated", "host"),
        // What the gate finds, by the name that the front gave it.
        (
            "GET /",
            "x-original-method: GET\r\nx-original-url: https://api.test:/",
            "authority_invalid",
            "x-original-url",
        ),
        (
            "GET /",
            "x-original-method: GET\r\nx-original-url: https://root@api.test/",
            "authority_invalid",
            "x-original-url",
        ),
        (
            "GET /",
            "x-forwarded-method: GET\r\nx-forwarded-proto: https\r\nx-forwarded-host: api.test, evil.test\r\nx-forwarded-uri: /",
            "authority_invalid",
            "x-forwarded-host",
        ),
        (
            "GET /",
            "x-forwarded-method: GET\r\nx-forwarded-proto: https\r\nx-forwarded-host: api.test\r\nx-forwarded-uri: /a/../b",
            "path_dot_segment",
            "x-forwarded-uri",
        ),
        ("GET /check/a//b", "host: api.test", "path_empty_segment", "request-target"),
        ("GET /check/", "host: api test", "authority_invalid", "host"),
    ];
    for (line, fields, reason, header) in cases {
        let answer = house.ask(house.decisions(), format!("{line} HTTP/1.1\r\n{fields}\r\n\r\n")).await;
        assert_eq!(answer.status, 400, "{line} {fields}");
        assert_eq!(answer.header("www-authenticate"), None);
        let logged = house.log.line_of(&answer).await;
        assert_eq!(
            (&logged["reason"], &logged["header"]),
            (&json!(reason), &json!(header)),
            "{line} {fields}"
        );
    }
    let unknown = "GET /check/ HTTP/1.1\r\nhost: evil.test\r\n\r\n";
    let answer = house.ask(house.decisions(), unknown).await;
    assert_eq!(answer.status, 421);
    assert_eq!(house.log.line_of(&answer).await["header"], "host");
}

/// The gateway's own address, and what the question's own line says, are never taken for the request's.
#[tokio::test]
async fn the_decisions_own_url_says_nothing() {
    let house = House::with_doors(ROUTES, "").await;
    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    for own in ["GET /orders?x-original-url=https://api.test/public", "POST /public", "HEAD /orders"] {
        let proof = house.proof(&token, json!({}));
        let fields = format!(
            "host: {HOST}\r\nx-original-method: GET\r\nx-original-url: https://{HOST}/orders\r\nx-forwarded-port: 1\r\nauthorization: {authorization}\r\ndpop: {proof}"
        );
        let question = format!("{own} HTTP/1.1\r\n{fields}\r\n\r\n");
        let mut connection = support::raw::Raw::connect(house.decisions()).await;
        connection.send(question).await;
        let answer = connection.head_answer().await.unwrap();
        assert_eq!((answer.status, answer.header("x-auth-subject")), (200, Some("alice")), "{own}");
    }
    // A token in the question's own query is none; in the request's it is one too many.
    let proof = house.proof(&token, json!({}));
    let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
    for front in FRONTS {
        let answer = front.ask(&house, &Request::get("/orders?access_token=a", &headers)).await;
        assert_eq!(answer.status, 400, "{front:?}");
    }
    let question =
        Front::Original.asks(&Request::get("/orders", &headers)).replacen("GET /", "GET /?access_token=a", 1);
    assert_eq!(house.ask(house.decisions(), question).await.status, 200);
}

/// The scheme only chooses between origins that differ in it.
#[tokio::test]
async fn the_scheme_is_needed_only_where_it_decides() {
    let house =
        House::with_origins(ROUTES, r#"["https://api.test", "http://api.test", "https://one.test"]"#).await;
    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    let check = |host: &str, proto: &str, htu: &str| {
        let proof = house.proof(&token, json!({ "htu": htu }));
        let proto = if proto.is_empty() { String::new() } else { format!("x-forwarded-proto: {proto}\r\n") };
        format!(
            "GET /check/orders HTTP/1.1\r\nhost: {host}\r\n{proto}authorization: {authorization}\r\ndpop: {proof}\r\n\r\n"
        )
    };
    for (host, proto, htu, status) in [
        ("api.test", "https", "https://api.test/orders", 200),
        ("api.test", "http", "http://api.test/orders", 200),
        ("api.test", "ws", "http://api.test/orders", 200),
        ("api.test", "http", "https://api.test/orders", 401),
        ("api.test", "", "https://api.test/orders", 400),
        ("one.test", "", "https://one.test/orders", 200),
        ("one.test", "http", "https://one.test/orders", 200),
    ] {
        let answer = house.ask(house.decisions(), check(host, proto, htu)).await;
        assert_eq!(answer.status, status, "{host} {proto} {htu}");
        if status == 400 {
            let line = house.log.line_of(&answer).await;
            assert_eq!(
                (&line["reason"], &line["header"]),
                (&json!("description_missing"), &json!("x-forwarded-proto"))
            );
        }
    }
}
