//! What a front is told where a request may pass.

use super::front::{FRONTS, Front, Request};
use serde_json::json;
use support::gateway::House;
use support::raw::Answer;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy }
  - name: email
    match: { path: /email }
    upstream: legacy
    identity: { headers: { X-User-Email: email, X-Auth-Subject: sub }, authorization: bearer }
  - { name: keep, match: { path: /keep }, upstream: legacy, identity: { authorization: keep } }
  - { name: mixed, match: { path: /mixed }, upstream: legacy, accept: [dpop, bearer], identity: { authorization: bearer } }
  - { name: nonce, match: { path: /nonce }, upstream: legacy, nonce: required }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }
  - { name: observed, match: { path: /observed }, upstream: legacy, mode: observe }
  - { name: observed_bearer, match: { path: /observed/bearer }, upstream: legacy, mode: observe, identity: { authorization: bearer } }
  - { name: slashes, match: { path: /slashes }, upstream: legacy, encoded_slashes: keep }
  - { name: scripts, match: { path: /scripts }, upstream: legacy, cors: { origins: ["https://app.test"] } }"#;

/// Every identity header of the routes above.
const IDENTITY: [&str; 6] =
    ["x-auth-subject", "x-auth-client", "x-auth-scope", "x-auth-issuer", "x-auth-key", "x-user-email"];

async fn house() -> House {
    House::with_doors(ROUTES, "").await
}

/// A good request for this target, with these headers besides.
async fn good(house: &House, front: Front, target: &str, headers: &[(&str, &str)]) -> Answer {
    let token = house.token(json!({}));
    let path = target.split('?').next().unwrap();
    let proof = house.proof(&token, json!({ "htu": format!("https://api.test{path}") }));
    let authorization = format!("DPoP {token}");
    let credentials = [("authorization", authorization.as_str()), ("dpop", &proof)];
    front.ask(house, &Request::get(target, &[&credentials, headers].concat())).await
}

#[tokio::test]
async fn every_identity_header_is_in_every_answer() {
    let house = house().await;
    for front in FRONTS {
        let answer = good(&house, front, "/orders?a=1", &[]).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{front:?}");
        let jkt = house.client.public().thumbprint().to_string();
        for (name, value) in [
            ("x-auth-subject", "alice"),
            ("x-auth-client", "shop"),
            ("x-auth-scope", "orders:read profile"),
            ("x-auth-issuer", "https://id.test"),
            ("x-auth-key", &jkt),
            ("x-user-email", ""),
            ("authorization", ""),
            ("dpop", ""),
        ] {
            assert_eq!(answer.header(name), Some(value), "{front:?} {name}");
        }
        assert_eq!(answer.header("dpop-nonce"), None, "{front:?}");
        // In gRPC nothing is stored.
        assert_eq!(answer.header("cache-control"), (front != Front::Grpc).then_some("no-store"), "{front:?}");
        for path in ["/public/a", "/observed"] {
            let answer = front.ask(&house, &Request::get(path, &[])).await;
            assert_eq!(answer.status, 200, "{front:?} {path}");
            for name in IDENTITY {
                assert_eq!(answer.header(name), Some(""), "{front:?} {path} {name}");
            }
        }
    }
    assert!(house.upstream.seen().is_empty(), "the front forwards, not the gateway");
}

/// A front that is told nothing about a header hands on the client's.
#[tokio::test]
async fn what_the_client_says_of_itself_is_overwritten() {
    let house = house().await;
    let spoofed = [
        ("X-Auth-Subject", "root"),
        ("X-User-Email", "root@api.test"),
        ("x_auth_subject", "root"),
        ("X.Auth.Key", "root"),
        ("XAuthScope", "root"),
        ("x-auth_client", "root"),
    ];
    for front in FRONTS {
        for (target, subject) in [("/orders", "alice"), ("/public", ""), ("/observed/a", "alice")] {
            let answer = good(&house, front, target, &spoofed).await;
            assert_eq!(answer.status, 200, "{front:?} {target}");
            for (name, _) in spoofed {
                let expected = if name == "X-Auth-Subject" { subject } else { "" };
                assert_eq!(
                    answer.header(&name.to_ascii_lowercase()),
                    Some(expected),
                    "{front:?} {target} {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn authorization_is_handed_on_as_the_route_says() {
    let house = house().await;
    for front in FRONTS {
        let token = house.token(json!({}));
        let proof = |path: &str| house.proof(&token, json!({ "htu": format!("https://api.test{path}") }));
        let (dpop, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
        for (path, authorization, proof_is_left) in [
            ("/orders", Some(""), false),
            ("/email", Some(bearer.as_str()), false),
            ("/mixed", Some(bearer.as_str()), false),
            ("/keep", None, false),
            ("/observed", None, true),
            ("/observed/bearer", Some(bearer.as_str()), true),
            ("/public", Some(""), false),
        ] {
            let proof = proof(path);
            let request = Request::get(path, &[("authorization", &dpop), ("dpop", &proof)]);
            let answer = front.ask(&house, &request).await;
            assert_eq!(
                (answer.status, answer.header("authorization")),
                (200, authorization),
                "{front:?} {path}"
            );
            assert_eq!(answer.header("dpop").is_none(), proof_is_left, "{front:?} {path}");
        }
        // An unbound token stays what it is; what was not verified is never rewritten.
        let unbound = format!("Bearer {}", house.token(json!({ "cnf": null })));
        let request = |path| Request::get(path, &[("authorization", unbound.as_str())]);
        assert_eq!(front.ask(&house, &request("/mixed")).await.header("authorization"), Some(&*unbound));
        let answer = front.ask(&house, &request("/observed/bearer")).await;
        assert_eq!((answer.status, answer.header("authorization")), (200, None));
    }
}

#[tokio::test]
async fn a_fresh_nonce_comes_with_every_success_where_nonces_are_needed() {
    let house = house().await;
    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    for front in FRONTS {
        let proof = house.proof(&token, json!({ "htu": "https://api.test/nonce" }));
        let request = Request::get("/nonce", &[("authorization", &authorization), ("dpop", &proof)]);
        let challenged = front.ask(&house, &request).await;
        assert_eq!(challenged.status, 401);
        assert!(challenged.header("www-authenticate").unwrap().contains("error=\"use_dpop_nonce\""));
        let mut nonce = challenged.header("dpop-nonce").expect("a nonce").to_owned();
        for _ in 0..2 {
            let proof = house.proof(&token, json!({ "htu": "https://api.test/nonce", "nonce": nonce }));
            let request = Request::get("/nonce", &[("authorization", &authorization), ("dpop", &proof)]);
            let answer = front.ask(&house, &request).await;
            assert_eq!(answer.status, 200, "{front:?}");
            nonce = answer.header("dpop-nonce").expect("the next nonce").to_owned();
        }
    }
    // While a route observes nobody is challenged, and the nonce that a client lacks comes all the same.
    assert_eq!(house.metric("keyproof_nonce_challenges_total", &["nonce"]).await, 4.0);
}

#[tokio::test]
async fn preflights_and_scripts_are_answered_as_at_the_proxy() {
    let house = house().await;
    let preflight = |origin: &'static str, method: &'static str| Request {
        method: "OPTIONS",
        target: "/scripts",
        headers: vec![
            ("origin", origin),
            ("access-control-request-method", method),
            ("x_auth_subject", "root"),
        ],
    };
    for front in FRONTS {
        let answer = front.ask(&house, &preflight("https://app.test", "PUT")).await;
        assert_eq!(answer.status, 204, "{front:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("PUT"));
        // A front that takes every 2xx for a permission must not hand on whom the client says it is. Envoy does not, over gRPC.
        let names = IDENTITY.into_iter().chain(["x_auth_subject"]);
        for name in names.filter(|_| front != Front::Grpc) {
            assert_eq!(answer.header(name), Some(""), "{front:?} {name}");
        }
        let answer = front.ask(&house, &preflight("https://evil.test", "PUT")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, None));
        let answer = good(&house, front, "/scripts", &[("origin", "https://app.test")]).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"), "{front:?}");
        assert!(answer.header("access-control-expose-headers").unwrap().contains("DPoP-Nonce"));
    }
}

#[tokio::test]
async fn the_path_is_the_one_that_the_client_asked_for() {
    let house = house().await;
    for front in FRONTS {
        for target in ["/slashes/a%2Fb", "/orders/a%20b", "/orders/%C3%A9?b=%2F", "/orders/;a=b"] {
            assert_eq!(good(&house, front, target, &[]).await.status, 200, "{front:?} {target}");
        }
        for target in ["/orders/../public", "//orders", "/orders%2Fa", "/orders/%00", "/check/orders"] {
            let answer = good(&house, front, target, &[]).await;
            assert_eq!(
                answer.status,
                if target == "/check/orders" { 404 } else { 400 },
                "{front:?} {target}"
            );
        }
    }
}

/// WebSocket handshakes are requests; what comes after the front's 101 is not ours.
#[tokio::test]
async fn a_handshake_is_decided_like_any_request() {
    let house = house().await;
    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    for (path, proto) in [("/", "wss"), ("/check/orders", "wss"), ("/", "WSS")] {
        let proof = house.proof(&token, json!({}));
        let question = format!(
            "GET {path} HTTP/1.1\r\nhost: api.test\r\nx-forwarded-method: GET\r\nx-forwarded-proto: {proto}\r\nx-forwarded-host: api.test\r\nx-forwarded-uri: /orders\r\nconnection: upgrade\r\nupgrade: websocket\r\nauthorization: {authorization}\r\ndpop: {proof}\r\n\r\n"
        );
        assert_eq!(house.ask(house.decisions(), question).await.status, 200, "{path} {proto}");
    }
}
