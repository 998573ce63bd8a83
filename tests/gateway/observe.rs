//! `mode: observe`: nothing that passed without the gateway fails, nobody is believed whose checks failed, and the log says who they were.

use serde_json::{Value, json};
use std::time::Duration;
use support::gateway::{House, NOW, get, proof, request};
use support::raw::{Answer, Raw};

fn orders(more: &str) -> String {
    format!("  - {{ name: orders, match: {{ path: /orders }}, upstream: legacy, mode: observe{more} }}")
}

/// A request as clients of the API have always sent it, with a name that they gave themselves.
fn bearer(token: &str) -> String {
    get("/orders", &[("authorization", &format!("Bearer {token}")), ("x-auth-subject", "root")])
}

fn bound(token: &str, proof: &str) -> String {
    get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", proof)])
}

/// What the log says was decided.
async fn decided(house: &House, answer: &Answer) -> (Value, Value) {
    let line = house.log.line_of(answer).await;
    (line["decision"].clone(), line["reason"].clone())
}

/// With the configuration of the README every legacy client failed once: the token that the API reads had been removed.
#[tokio::test]
async fn an_api_that_reads_the_token_itself_still_gets_it() {
    let house = House::with_routes(&orders("")).await;
    let token = house.token(json!({ "cnf": null }));
    let answer = house.send(bearer(&token)).await;
    assert_eq!(answer.status, 200);
    let seen = house.upstream.only();
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {token}")));
    assert_eq!(seen.header("x-auth-subject"), None);
    assert_eq!(decided(&house, &answer).await, (json!("observe"), json!("bearer_not_accepted")));

    // One whose checks passed keeps them too: the API may check the proof by itself.
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let authorization = format!("DPoP {token}");
    let lines = [
        ("authorization", &*authorization),
        ("dpop", &proof),
        ("x-http-method-override", "PUT"),
        ("x-original-url", "/a"),
    ];
    let answer = house.send(get("/orders", &lines)).await;
    assert_eq!(decided(&house, &answer).await, (json!("allow"), json!("verified")));
    let seen = &house.upstream.seen()[1];
    assert_eq!(seen.header("authorization"), Some(&*format!("DPoP {token}")));
    assert_eq!(seen.header("dpop"), Some(&*proof));
    assert_eq!((seen.header("x-http-method-override"), seen.header("x-original-url")), (Some("PUT"), None));
    assert_eq!(seen.header("x-auth-subject"), Some("alice"));
}

/// What becomes of `Authorization`, whether the checks passed or not.
#[tokio::test]
async fn only_what_passed_every_check_is_rewritten() {
    for (authorization, rewritten) in [("remove", false), ("bearer", true), ("keep", false)] {
        let house =
            House::with_routes(&orders(&format!(", identity: {{ authorization: {authorization} }}"))).await;
        let token = house.token(json!({}));
        let good = bound(&token, &house.proof(&token, json!({})));
        assert_eq!(house.send(&good).await.status, 200);
        let expected = if rewritten { format!("Bearer {token}") } else { format!("DPoP {token}") };
        assert_eq!(house.upstream.only().header("authorization"), Some(&*expected), "{authorization}");

        let other = house.proof(&token, json!({ "htu": "https://api.test/other" }));
        for refused in [good, bound(&token, &other)] {
            assert_eq!(house.send(&refused).await.status, 200);
            let seen = house.upstream.seen().pop().unwrap();
            assert_eq!(seen.header("authorization"), Some(&*format!("DPoP {token}")), "{authorization}");
            assert!(seen.header("dpop").is_some() && seen.header("x-auth-subject").is_none(), "{seen:?}");
        }
        let basic = get("/orders", &[("authorization", "Basic YTpi")]);
        assert_eq!(house.send(basic).await.status, 200);
        assert_eq!(house.upstream.seen().pop().unwrap().header("authorization"), Some("Basic YTpi"));
    }
}

/// A public route that observes takes nothing away either, and never makes a Bearer token of what nobody looked at.
#[tokio::test]
async fn a_public_route_keeps_what_came() {
    let house = House::with_routes(&orders(", public: true")).await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let answer = house.send(bound(&token, &proof)).await;
    assert_eq!(decided(&house, &answer).await, (json!("allow"), json!("public")));
    let seen = house.upstream.only();
    assert_eq!(seen.header("authorization"), Some(&*format!("DPoP {token}")));
    assert_eq!(seen.header("dpop"), Some(&*proof));
    assert_eq!(seen.header("x-auth-subject"), None);
}

/// Trouble of our own is nobody's refusal.
#[tokio::test]
async fn what_cannot_be_asked_or_remembered_refuses_nobody() {
    let down = r#"  - { name: down, issuer: "https://down.test", audiences: ["https://api.test"], jwks_uri: "http://127.0.0.1:9/jwks" }"#;
    let no_redis = "replay: { store: redis, redis: { url: \"redis://127.0.0.1:9/0\" } }";
    let cases = [
        ("replay: { capacity: 1 }", json!({}), "replay_full"),
        ("replay: { per_key_limit: 1 }", json!({}), "replay_quota"),
        (no_redis, json!({}), "replay_unavailable"),
        ("", json!({ "iss": "https://down.test" }), "keys_unavailable"),
    ];
    for (settings, claims, reason) in cases {
        let house = House::with_issuers(&orders(""), down, settings).await;
        // The first one fills the store.
        assert_eq!(house.good().await.status, 200);
        let token = house.token(claims);
        let answer = house.send(bound(&token, &house.proof(&token, json!({})))).await;
        assert_eq!((answer.status, answer.header("retry-after")), (200, None), "{reason}");
        let line = house.log.line_of(&answer).await;
        assert_eq!(
            (&line["decision"], &line["reason"], &line["status"]),
            (&json!("observe"), &json!(reason), &json!(200))
        );
        assert_eq!(house.upstream.seen().len(), 2);
        assert_eq!(house.upstream.seen()[1].header("x-auth-subject"), None, "{reason}");
        let labels = ["decision=\"observe\"", &format!("reason=\"{reason}\"")];
        assert!(house.metric("keyproof_decisions_total", &labels).await >= 1.0, "{reason}");
        assert_eq!(house.metric("keyproof_decisions_total", &["decision=\"deny\""]).await, 0.0);
    }
}

/// The log names whose requests will be refused, as far as that is sure.
#[tokio::test]
async fn the_client_is_named_where_its_token_was_verified() {
    let more = r#"  - { name: other, issuer: "https://other.test", audiences: ["https://api.test"], jwks_file: jwks.json }"#;
    let house = House::with_issuers(&orders(", issuers: [main], scopes: [\"orders:read\"]"), more, "").await;
    let token = house.token(json!({}));
    let unbound = house.token(json!({ "cnf": null }));
    let poor = house.token(json!({ "scope": "profile" }));
    let thief = keyproof::jose::PrivateKey::generate(keyproof::jose::Algorithm::Es256).unwrap();
    let of_another = house.token(json!({ "iss": "https://other.test" }));
    let jkt = house.client.public().thumbprint().to_string();
    let verified = [
        (bearer(&unbound), "bearer_not_accepted", "bearer", None),
        (bearer(&token), "downgrade", "dpop", Some(&jkt)),
        (get("/orders", &[("authorization", &format!("DPoP {token}"))]), "proof_missing", "dpop", Some(&jkt)),
        (bound(&token, &house.proof(&token, json!({ "htm": "POST" }))), "proof_htm", "dpop", Some(&jkt)),
        (bound(&token, &proof(&thief, json!({}), &token, json!({}))), "key_mismatch", "dpop", Some(&jkt)),
        (bound(&poor, &house.proof(&poor, json!({}))), "insufficient_scope", "dpop", Some(&jkt)),
        (bound(&of_another, &house.proof(&of_another, json!({}))), "token_issuer", "dpop", Some(&jkt)),
    ];
    for (request, reason, binding, jkt) in verified {
        let answer = house.send(request).await;
        assert_eq!(answer.status, 200);
        let line = house.log.line_of(&answer).await;
        assert_eq!((&line["decision"], &line["reason"]), (&json!("observe"), &json!(reason)));
        assert_eq!((&line["client_id"], &line["sub"]), (&json!("shop"), &json!("alice")), "{reason}");
        assert_eq!((&line["binding"], &line["jkt"]), (&json!(binding), &json!(jkt)), "{reason}");
    }
    let not_verified = [
        (house.token(json!({ "exp": NOW.as_secs() - 11 })), "token_expired"),
        (house.token(json!({ "aud": "https://other.test" })), "token_audience"),
        (house.token_with(json!({ "kid": "two" }), json!({})), "token_unknown_key"),
        (thief.sign(r#"{"typ":"at+jwt","alg":"ES256","kid":"one"}"#, &claims_of(&token)), "token_signature"),
    ];
    for (token, reason) in not_verified {
        let answer = house.send(bound(&token, &house.proof(&token, json!({})))).await;
        let line = house.log.line_of(&answer).await;
        assert_eq!((&line["decision"], &line["reason"]), (&json!("observe"), &json!(reason)));
        for name in ["client_id", "sub", "jkt"] {
            assert_eq!(line[name], Value::Null, "{reason}: {line}");
        }
        assert_eq!(line["binding"], "none");
    }
    assert!(!house.log.text().contains("eyJ"), "a token or a proof is in the log");
}

fn claims_of(token: &str) -> String {
    String::from_utf8(keyproof::jose::decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// Nobody is challenged here, so the nonce that a client lacks comes with the answer: it counts as refused once and not for ever.
#[tokio::test]
async fn the_nonce_that_a_client_lacks_comes_with_the_answer() {
    let house = House::with_routes(&orders(", nonce: required")).await;
    let answer = house.good().await;
    assert_eq!(answer.status, 200);
    assert_eq!(decided(&house, &answer).await, (json!("observe"), json!("nonce_missing")));
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let with_nonce = |nonce: &str| {
        let token = house.token(json!({}));
        bound(&token, &house.proof(&token, json!({ "nonce": nonce })))
    };
    let answer = house.send(with_nonce(&nonce)).await;
    assert_eq!(decided(&house, &answer).await, (json!("allow"), json!("verified")));
    assert_eq!(answer.header("dpop-nonce"), None);

    house.clock.set(NOW.saturating_add(Duration::from_secs(121)));
    let answer = house.send(with_nonce(&nonce)).await;
    assert_eq!(decided(&house, &answer).await, (json!("observe"), json!("nonce_stale")));
    let fresh = answer.header("dpop-nonce").unwrap().to_owned();
    let answer = house.send(with_nonce(&fresh)).await;
    assert_eq!(decided(&house, &answer).await, (json!("allow"), json!("verified")));
    // Nobody was asked to try again, and who speaks no DPoP is told nothing of it.
    assert_eq!(house.metric("keyproof_nonce_challenges_total", &[]).await, 0.0);
    assert_eq!(house.send(bearer(&house.token(json!({ "cnf": null })))).await.header("dpop-nonce"), None);
}

#[tokio::test]
async fn after_a_start_too() {
    let house = House::just_started(&orders(""), "").await;
    let answer = house.good().await;
    assert_eq!(decided(&house, &answer).await, (json!("observe"), json!("nonce_after_start")));
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    let token = house.token(json!({}));
    let answer = house.send(bound(&token, &house.proof(&token, json!({ "nonce": nonce })))).await;
    assert_eq!(decided(&house, &answer).await, (json!("allow"), json!("verified")));
}

/// An upstream that checks proofs by itself, with nonces of its own, goes on to do so.
#[tokio::test]
async fn the_upstreams_own_nonce_passes() {
    const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: DPoP error=\"use_dpop_nonce\"\r\ndpop-nonce: its-own\r\ncontent-length: 0\r\n\r\n";
    for (more, passes) in [("", true), (", nonce: required", true), (", mode: enforce", false)] {
        let routes = orders(more).replace(if passes { "" } else { ", mode: observe" }, "");
        let house = House::before(CHALLENGE, &routes).await;
        let answer = house.good().await;
        assert_eq!(answer.header("dpop-nonce"), passes.then_some("its-own"), "{more}");
        assert!(answer.header("www-authenticate").unwrap().contains("use_dpop_nonce"));
    }
}

/// Scripts of an allowed origin may read every answer, and their preflights are answered here, as in the other mode.
#[tokio::test]
async fn browsers_are_served_as_in_the_other_mode() {
    let house = House::with_routes(&orders(", cors: { origins: [\"https://app.test\"] }")).await;
    let preflight = [
        ("origin", "https://app.test"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = house.send(request("OPTIONS", "/orders", &preflight)).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (204, Some("https://app.test"))
    );
    assert_eq!(decided(&house, &answer).await, (json!("allow"), json!("preflight")));
    assert!(house.upstream.seen().is_empty());

    let answer = house
        .send(get("/orders", &[("origin", "https://app.test"), ("authorization", "Bearer a.b.c")]))
        .await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://app.test"))
    );
    // A preflight of an origin that is not in the configuration is the API's to answer, as it was before.
    let elsewhere = [("origin", "https://other.test"), ("access-control-request-method", "GET")];
    let answer = house.send(request("OPTIONS", "/orders", &elsewhere)).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(decided(&house, &answer).await, (json!("observe"), json!("no_credentials")));
    assert!(house.upstream.seen().pop().unwrap().line.starts_with("OPTIONS /orders "));
}

/// A body reaches the API whole, whoever sends it; one that breaks is bad framing, which no mode forwards.
#[tokio::test]
async fn a_body_passes_and_a_broken_one_does_not() {
    let house = House::with_routes(&orders("")).await;
    let post = "POST /orders HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let answer = house.send(format!("{post}0\r\n\r\n")).await;
    assert_eq!((answer.status, house.upstream.only().body), (200, b"hello".to_vec()));
    let answer = house.send(format!("{post}not a size\r\n")).await;
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    assert_eq!(decided(&house, &answer).await, (json!("deny"), json!("body")));

    // And who leaves in the middle of one is gone, as without a gateway.
    let mut client = Raw::connect(house.gateway).await;
    client.send("POST /orders HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\nhello").await;
    drop(client);
    assert_eq!(house.send(bearer("a.b.c")).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_forwarded_for_sure_is_refused_here_too() {
    let house = House::with_routes(&orders("")).await;
    let cases = [
        ("GET /orders HTTP/1.1\r\nHost: other.test\r\n\r\n", 421),
        ("GET /orders HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\n\r\n", 400),
        ("GET /orders/../x HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        ("GET /elsewhere HTTP/1.1\r\nHost: api.test\r\n\r\n", 404),
        ("POST /orders HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ];
    for (request, status) in cases {
        let answer = house.send(request).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(decided(&house, &answer).await.0, "deny", "{request}");
    }
    assert!(house.upstream.seen().is_empty());
}
