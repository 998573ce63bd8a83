//! What the upstream sees.

use serde_json::json;
use support::gateway::{House, get};

const ORDERS: &str =
    "  - { name: orders, match: { path: /orders }, upstream: legacy, scopes: [\"orders:read\"] }";

#[tokio::test]
async fn a_good_request_arrives_as_its_subject_without_token_and_proof() {
    let house = House::with_routes(ORDERS).await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let headers = [("Authorization", &*format!("DPoP {token}")), ("DPoP", &proof), ("Accept", "text/plain")];
    let answer = house.send(get("/orders?page=2", &headers)).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(answer.header("x-request-id").is_some());

    let seen = house.upstream.only();
    assert_eq!(seen.line, "GET /orders?page=2 HTTP/1.1");
    let jkt = house.client.public().thumbprint().to_string();
    for (name, value) in [
        ("host", "api.test"),
        ("accept", "text/plain"),
        ("x-auth-subject", "alice"),
        ("x-auth-client", "shop"),
        ("x-auth-scope", "orders:read profile"),
        ("x-auth-issuer", "https://id.test"),
        ("x-auth-key", &*jkt),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.test"),
        ("via", "1.1 keyproof"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));
    assert!(seen.header("traceparent").is_some());
    assert_eq!((seen.all("authorization"), seen.all("dpop")), (vec![], vec![]));
}

#[tokio::test]
async fn nobody_names_themselves() {
    let routes =
        "  - { name: open, match: { path: /open }, upstream: legacy, public: true }\n".to_owned() + ORDERS;
    let house = House::with_routes(&routes).await;
    let spellings = [
        ("X-Auth-Subject", "root"),
        ("X_Auth_Subject", "root"),
        ("x.auth.subject", "root"),
        ("XAuthSubject", "root"),
        ("X-Auth-Key", "k"),
        ("Connection", "X-Auth-Issuer, X-Auth-Scope"),
        ("X-Forwarded-For", "10.1.1.1"),
        ("X-Real-IP", "10.1.1.1"),
        ("Forwarded", "for=10.1.1.1"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Original-URL", "/admin"),
    ];
    assert_eq!(house.send(get("/open", &spellings)).await.status, 200);
    let seen = house.upstream.only();
    for (name, value) in &seen.headers {
        assert!(
            value != "root" && !value.contains("10.1.1.1") && value != "DELETE" && value != "/admin",
            "{name}: {value}"
        );
        assert!(!name.replace(['-', '_', '.'], "").starts_with("xauth"), "{name}");
    }

    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let authorization = format!("DPoP {token}");
    let headers: Vec<_> =
        spellings.into_iter().chain([("Authorization", &*authorization), ("DPoP", &proof)]).collect();
    assert_eq!(house.send(get("/orders", &headers)).await.status, 200);
    let seen = &house.upstream.seen()[1];
    assert_eq!(seen.header("x-auth-subject"), Some("alice"));
    assert_eq!(seen.header("x-auth-issuer"), Some("https://id.test"));
    assert_eq!(seen.headers.iter().filter(|(_, value)| value == "root").count(), 0);
}

#[tokio::test]
async fn an_api_may_see_another_prefix() {
    let routes = r#"  - { name: orders, match: { path: /orders }, upstream: legacy, public: true, replace_prefix: /v1/all }
  - { name: rest, match: { path: / }, upstream: legacy, public: true, replace_prefix: /v2/ }
  - { name: bare, match: { path: /bare }, upstream: legacy, public: true, replace_prefix: / }"#;
    let house = House::with_routes(routes).await;
    let cases = [
        ("/orders", "/v1/all"),
        ("/orders/7?a=/orders", "/v1/all/7?a=/orders"),
        ("/orders/", "/v1/all/"),
        ("/other?b", "/v2/other?b"),
        ("/", "/v2/"),
        ("/ordersx", "/v2/ordersx"),
        ("/bare", "/"),
        ("/bare/x", "/x"),
    ];
    for (asked, _) in cases {
        assert_eq!(house.send(get(asked, &[])).await.status, 200, "{asked}");
    }
    let seen: Vec<_> = house.upstream.seen().into_iter().map(|seen| seen.line).collect();
    let expected: Vec<_> = cases.iter().map(|(_, shown)| format!("GET {shown} HTTP/1.1")).collect();
    assert_eq!(seen, expected);
    for (result, count) in [("\"ok\"", 8.0), ("\"refused\"", 0.0)] {
        let counted = house.metric("keyproof_upstream_requests_total", &["\"legacy\"", result]).await;
        assert_eq!(counted, count, "{result}");
    }
}

#[tokio::test]
async fn a_legacy_api_gets_the_token_as_bearer_and_a_prefix_less() {
    let house = House::with_routes(
        "  - { name: orders, match: { path: /orders }, upstream: legacy, strip_prefix: /orders, identity: { authorization: bearer } }",
    )
    .await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "htu": "https://api.test/orders/7" }));
    let authorization = format!("dpop  {token}");
    let answer =
        house.send(get("/orders/7?x=%2F", &[("authorization", &authorization), ("dpop", &proof)])).await;
    assert_eq!(answer.status, 200);
    let seen = house.upstream.only();
    assert_eq!(seen.line, "GET /7?x=%2F HTTP/1.1");
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {token}")));
}

#[tokio::test]
async fn the_canonical_path_is_the_one_forwarded() {
    let house =
        House::with_routes("  - { name: all, match: { path: / }, upstream: legacy, public: true }").await;
    for (sent, forwarded) in
        [("/%7Eme/caf%c3%a9", "/~me/caf%C3%A9"), ("/a/", "/a/"), ("/a?b=//../c", "/a?b=//../c")]
    {
        assert_eq!(house.send(get(sent, &[])).await.status, 200, "{sent}");
        let seen = house.upstream.seen();
        assert_eq!(seen.last().unwrap().line, format!("GET {forwarded} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_mixed_route_takes_bearer_but_never_a_bound_token_as_one() {
    let house = House::with_routes(
        "  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [dpop, bearer] }",
    )
    .await;
    let unbound = house.token(json!({ "cnf": null }));
    let answer = house.send(get("/orders", &[("authorization", &format!("Bearer {unbound}"))])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(house.upstream.only().header("x-auth-key"), None);

    let bound = house.token(json!({}));
    let answer = house.send(get("/orders", &[("authorization", &format!("Bearer {bound}"))])).await;
    assert_eq!(answer.status, 401);
    let challenges = answer.all("www-authenticate");
    assert!(challenges[0].starts_with("DPoP ") && !challenges[0].contains("error"), "{challenges:?}");
    assert!(
        challenges[1].starts_with("Bearer ") && challenges[1].contains("error=\"invalid_token\""),
        "{challenges:?}"
    );
    assert_eq!(house.metric("keyproof_tokens_total", &["binding=\"bearer\""]).await, 1.0);
}

#[tokio::test]
async fn observing_forwards_what_would_be_refused_as_nobody_and_counts_it() {
    let house = House::with_routes(
        "  - { name: orders, match: { path: /orders }, upstream: legacy, mode: observe, identity: { authorization: keep } }",
    )
    .await;
    let bearer = house.token(json!({ "cnf": null }));
    let authorization = format!("Bearer {bearer}");
    let answer =
        house.send(get("/orders", &[("authorization", &authorization), ("X-Auth-Subject", "root")])).await;
    assert_eq!(answer.status, 200);
    let seen = house.upstream.only();
    assert_eq!(seen.header("authorization"), Some(&*authorization));
    assert_eq!(seen.header("x-auth-subject"), None);
    let labels = ["decision=\"observe\"", "reason=\"bearer_not_accepted\"", "route=\"orders\""];
    assert_eq!(house.metric("keyproof_decisions_total", &labels).await, 1.0);

    assert_eq!(house.good().await.status, 200);
    assert_eq!(house.upstream.seen()[1].header("x-auth-subject"), Some("alice"));
}

/// A bound token without a proof, and even `Basic` credentials, once arrived as `Bearer …`.
#[tokio::test]
async fn only_what_was_verified_is_handed_on_as_bearer() {
    let route = "  - { name: orders, match: { path: /orders }, upstream: legacy, mode: observe, identity: { authorization: bearer } }";
    let house = House::with_routes(route).await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let bound = format!("DPoP {token}");
    let cases = [
        (vec![("authorization", "Basic dTpw")], "Basic dTpw".to_owned()),
        (vec![("authorization", &*bound)], bound.clone()),
        (vec![("authorization", "DPoP nonsense"), ("dpop", &proof)], "DPoP nonsense".to_owned()),
        (vec![("authorization", &*bound), ("dpop", &proof)], format!("Bearer {token}")),
        (vec![("authorization", &*bound), ("dpop", &proof)], bound.clone()),
    ];
    for (number, (headers, arrives)) in cases.iter().enumerate() {
        assert_eq!(house.send(get("/orders", headers)).await.status, 200);
        assert_eq!(house.upstream.seen()[number].header("authorization"), Some(arrives.as_str()), "{number}");
    }
}
