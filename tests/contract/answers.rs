//! Section 3 of the contract, from outside: what is let through, what is refused and how, and what the log says of it.

use crate::stranger::{Stranger, WAIT, get, upstream};
use serde_json::{Value, json};
use support::raw::Raw;

const ROUTES: &str = r#"
  - { name: mixed, match: { path: /mixed }, upstream: legacy, accept: [dpop, bearer] }
  - { name: admin, match: { path: /admin, methods: [GET] }, upstream: legacy, scopes: [admin] }
  - { name: nonce, match: { path: /nonce }, upstream: legacy, nonce: required }"#;

#[tokio::test]
async fn an_honest_client_gets_through_and_everybody_else_is_told_why_not() {
    let upstream = upstream().await;
    let stranger = Stranger::starts(upstream.address, WAIT, ROUTES).await;
    let good = stranger.good();
    // Right after readiness: an `iat` in whole seconds lies up to one second back.
    assert_eq!(stranger.send(&good).await.status, 200);
    let seen = upstream.seen();
    assert_eq!(seen[0].header("x-auth-subject"), Some("alice"));
    assert_eq!((seen[0].header("authorization"), seen[0].header("dpop")), (None, None));

    let cases = refused(&stranger, &good);
    let count = cases.len();
    for (request, status, error, challenges) in cases {
        let answer = stranger.send(&request).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.all("www-authenticate"), challenges, "{request}");
        assert_eq!(answer.header("dpop-nonce").is_some(), error == "use_dpop_nonce", "{request}");
        assert_eq!(
            (answer.header("content-type"), answer.header("cache-control")),
            (Some("application/json"), Some("no-store"))
        );
        assert!(answer.header("x-request-id").is_some(), "{request}");
        let body: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!((&body["error"], body.as_object().unwrap().len()), (&json!(error), 2), "{request}");
    }
    assert_eq!(upstream.seen().len(), 1, "a refusal reached the upstream");

    let metrics = stranger.page("/metrics").await.text();
    let denied =
        metrics.lines().filter(|line| line.starts_with("keyproof_decisions_total{decision=\"deny\""));
    let denied: usize = denied.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(denied, count, "{metrics}");

    stranger.terminate();
    let (status, log) = stranger.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["message"] == "request").count(), count + 1);
    assert!(!log.contains("eyJ"), "a token or a proof is in the log: {log}");
}

/// A request, and its refusal: status, `error` in the body, challenges.
type Refused = (String, u16, &'static str, Vec<String>);

/// One of each row of the table; `used` has been let through before.
fn refused(stranger: &Stranger, used: &str) -> Vec<Refused> {
    let dpop = |token: &str| format!("DPoP {token}");
    let token = stranger.token(json!({}));
    let proof_for =
        |path: &str| stranger.proof(&token, json!({ "htu": format!("https://api.example.com{path}") }));
    let with = |path: &str, authorization: &str| {
        get(path, &[("Authorization", authorization), ("DPoP", &proof_for(path))])
    };
    let plain = "DPoP realm=\"keyproof\", algs=\"ES256 EdDSA PS256\"".to_owned();
    let bearer = "Bearer realm=\"keyproof\"".to_owned();
    let dpop_error = |error: &str, text: &str| {
        format!(
            "DPoP realm=\"keyproof\", error=\"{error}\", error_description=\"{text}\", algs=\"ES256 EdDSA PS256\""
        )
    };
    vec![
        (get("/orders", &[]), 401, "unauthorized", vec![plain.clone()]),
        (get("/mixed", &[("Authorization", "Basic YTpi")]), 401, "unauthorized", vec![plain.clone(), bearer]),
        (used.to_owned(), 401, "invalid_dpop_proof", vec![dpop_error("invalid_dpop_proof", "the proof was used before")]),
        (
            with("/mixed", &format!("Bearer {token}")),
            401,
            "invalid_token",
            vec![
                plain,
                "Bearer realm=\"keyproof\", error=\"invalid_token\", error_description=\"a DPoP-bound access token was sent as a Bearer token\""
                    .to_owned(),
            ],
        ),
        (
            with("/admin", &dpop(&token)),
            403,
            "insufficient_scope",
            vec![
                "DPoP realm=\"keyproof\", error=\"insufficient_scope\", error_description=\"the access token lacks a scope\", scope=\"admin\", algs=\"ES256 EdDSA PS256\""
                    .to_owned(),
            ],
        ),
        (
            with("/nonce", &dpop(&token)),
            401,
            "use_dpop_nonce",
            vec![dpop_error("use_dpop_nonce", "a nonce is required")],
        ),
        (
            get("/orders", &[("Authorization", "DPoP a b")]),
            400,
            "invalid_request",
            vec![dpop_error("invalid_request", "the Authorization header is malformed")],
        ),
        (get("/orders/%2e%2e/admin", &[]), 400, "invalid_request", vec![]),
        (get("/nowhere", &[]), 404, "not_found", vec![]),
        ("PUT /admin HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 0\r\n\r\n".to_owned(), 405, "method_not_allowed", vec![]),
        ("GET /orders HTTP/1.1\r\nHost: api.example.com.\r\n\r\n".to_owned(), 421, "misdirected_request", vec![]),
        ("GET orders HTTP/1.1\r\nHost: api.example.com\r\n\r\n".to_owned(), 400, "invalid_request", vec![]),
        (
            "POST /orders HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
            "invalid_request",
            vec![],
        ),
    ]
}

/// A refused upload whose body still comes leaves the connection in step; one that waits for `100 Continue` never sends it.
#[tokio::test]
async fn after_a_refused_upload_the_next_request_is_the_next_request() {
    let upstream = upstream().await;
    let stranger = Stranger::starts(upstream.address, WAIT, "").await;
    let mut client = Raw::connect(stranger.gateway).await;
    let smuggled = stranger.good();
    let head = format!(
        "POST /orders HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: {}\r\n\r\n",
        smuggled.len()
    );
    client.send(head + &smuggled).await;
    assert_eq!(client.answer().await.unwrap().status, 401);
    client.send(stranger.good()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(upstream.seen().len(), 1);

    let mut client = Raw::connect(stranger.gateway).await;
    client
        .send("POST /orders HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 401);
}

/// The default: right after the start every proof is asked for a nonce, once.
#[tokio::test]
async fn after_the_start_one_challenge_is_enough() {
    let upstream = upstream().await;
    let stranger = Stranger::starts(upstream.address, "", "").await;
    let challenge = stranger.send(stranger.good()).await;
    assert_eq!(challenge.status, 401);
    assert!(challenge.header("www-authenticate").unwrap().contains("error=\"use_dpop_nonce\""));
    let nonce = challenge.header("dpop-nonce").unwrap();
    let token = stranger.token(json!({}));
    let proof = stranger.proof(&token, json!({ "nonce": nonce }));
    let request = get("/orders", &[("Authorization", &format!("DPoP {token}")), ("DPoP", &proof)]);
    let answer = stranger.send(&request).await;
    assert_eq!((answer.status, answer.header("dpop-nonce")), (200, None));
    assert_eq!(stranger.send(&request).await.status, 401);
    assert!(!stranger.log().contains(nonce), "the nonce is in the log");
}

/// A rotation noticed by the first token of the new key, moments after the start.
#[tokio::test]
async fn a_new_key_is_taken_with_its_first_token() {
    let upstream = upstream().await;
    let stranger = Stranger::starts(upstream.address, WAIT, "").await;
    let new = keyproof::jose::PrivateKey::generate(keyproof::jose::Algorithm::Es256).unwrap();
    stranger.publish(&[("one", &stranger.issuer), ("two", &new)]);
    let token = stranger.token_by("two", &new, json!({}));
    let proof = stranger.proof(&token, json!({}));
    let request = get("/orders", &[("Authorization", &format!("DPoP {token}")), ("DPoP", &proof)]);
    assert_eq!(stranger.send(request).await.status, 200);
}
