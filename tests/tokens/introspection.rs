//! Introspection (RFC 7662): who is asked, how often, and what the answers mean.

use crate::endpoint::{Endpoint, json as answer, with_type};
use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::{Value, json};
use std::time::Duration;
use support::gateway::{House, NOW, get, merged};
use support::h2;
use support::raw::{Answer, PATIENCE, Raw};
use support::tls::Terminator;

const ORDERS: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, issuers: [opaque] }
  - { name: mixed, match: { path: /mixed }, upstream: legacy, issuers: [opaque], accept: [dpop, bearer] }
  - { name: main, match: { path: /main }, upstream: legacy, issuers: [main] }
"#;

async fn house(endpoint: &Endpoint, more: &str) -> House {
    let issuers = format!(
        r#"
  - name: opaque
    issuer: https://opaque.test
    audiences: ["https://api.test"]
    jwks_file: jwks.json
    introspection: {{ endpoint: "http://{}/introspect", client_id: "gate:way", client_secret_file: secret{more} }}"#,
        endpoint.address
    );
    House::with_issuers(ORDERS, &issuers, "").await
}

/// What the endpoint says of a good token of the house's client.
fn active(house: &House, changes: Value) -> Value {
    let claims = json!({
        "active": true, "aud": "https://api.test", "sub": "alice", "client_id": "shop", "scope": "orders:read",
        "exp": NOW.as_secs() + 300, "token_type": "DPoP",
        "cnf": { "jkt": house.client.public().thumbprint().to_string() },
    });
    serde_json::from_str(&merged(claims, changes)).unwrap()
}

/// Waits until this is so; it has to be, in time.
async fn by_itself(is_so: impl AsyncFn() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("in time");
}

async fn ask(house: &House, token: &str) -> Answer {
    let proof = house.proof(token, json!({}));
    house.send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_and_its_answer_is_remembered() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    endpoint.say("opaque-1", &active(&house, json!({})));
    for _ in 0..3 {
        assert_eq!(ask(&house, "opaque-1").await.status, 200);
    }
    let questions = endpoint.questions();
    assert_eq!(questions.len(), 1, "the answer is believed for a while");
    let question = &questions[0];
    assert!(question.head.starts_with("POST /introspect HTTP/1.1"), "{}", question.head);
    assert_eq!(question.form["token"], "opaque-1");
    assert_eq!(question.form["token_type_hint"], "access_token");
    // "gate%3Away:a+secret+that+lives+longer+than+a+process" in base64 (RFC 6749 section 2.3.1).
    let basic = "Basic Z2F0ZSUzQXdheTphK3NlY3JldCt0aGF0K2xpdmVzK2xvbmdlcit0aGFuK2ErcHJvY2Vzcw==";
    assert!(question.head.contains(basic), "{}", question.head);
    let seen = house.upstream.seen();
    let headers = ["x-auth-subject", "x-auth-client", "x-auth-scope", "x-auth-issuer"];
    let told = headers.map(|name| seen[0].header(name).unwrap_or_default());
    assert_eq!(told, ["alice", "shop", "orders:read", "https://opaque.test"]);
    assert_eq!(house.metric("keyproof_introspection_requests_total", &["result=\"active\""]).await, 1.0);
    assert!(!house.log.text().contains("opaque-1"), "no token reaches the log");

    // After the cache time it is asked again, and hears that it was revoked.
    endpoint.say("opaque-1", &json!({ "active": false }));
    house.clock.set(NOW.saturating_add(Duration::from_secs(11)));
    let proof = house.proof("opaque-1", json!({ "iat": NOW.as_secs() + 11 }));
    let refused = house.send(get("/orders", &[("authorization", "DPoP opaque-1"), ("dpop", &proof)])).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(refused.all("www-authenticate")[0].contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn a_stolen_opaque_token_is_worthless_without_its_key() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    endpoint.say("opaque", &active(&house, json!({})));
    let thief = PrivateKey::generate(Algorithm::Es256).unwrap();
    let proof = support::gateway::proof(&thief, json!({}), "opaque", json!({}));
    let cases = [
        vec![("authorization", "DPoP opaque"), ("dpop", proof.as_str())],
        vec![("authorization", "Bearer opaque")],
        vec![("authorization", "DPoP opaque")],
    ];
    for headers in cases {
        for path in ["/orders", "/mixed"] {
            assert_eq!(house.send(get(path, &headers)).await.status, 401, "{path} {headers:?}");
        }
    }
    assert_eq!(ask(&house, "opaque").await.status, 200);
    let same = house.proof("opaque", json!({}));
    let again = get("/orders", &[("authorization", "DPoP opaque"), ("dpop", &same)]);
    assert_eq!([house.send(&again).await.status, house.send(&again).await.status], [200, 401], "a replay");
}

/// RFC 7662 section 2.2 and the contract's "Introspection answers".
#[tokio::test]
async fn what_an_answer_says_decides() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    let jkt = house.client.public().thumbprint().to_string();
    let cases: Vec<(&str, Value, u16, &str)> = vec![
        ("good", json!({}), 200, ""),
        ("no exp, no iss", json!({ "exp": null, "iss": null }), 200, ""),
        ("its own iss", json!({ "iss": "https://opaque.test" }), 200, ""),
        ("another iss", json!({ "iss": "https://other.test" }), 401, "token_issuer"),
        ("expired", json!({ "exp": NOW.as_secs() - 11 }), 401, "token_expired"),
        ("exp as text", json!({ "exp": "4102444800" }), 401, "token_claim_type"),
        ("not yet", json!({ "nbf": NOW.as_secs() + 60 }), 401, "token_not_yet_valid"),
        ("from the future", json!({ "iat": NOW.as_secs() + 60 }), 401, "token_from_future"),
        ("no aud", json!({ "aud": null }), 401, "token_claim_missing"),
        ("another aud", json!({ "aud": ["https://other.test"] }), 401, "token_audience"),
        ("aud as a list", json!({ "aud": ["x", "https://api.test"] }), 200, ""),
        ("no token_type", json!({ "token_type": null }), 200, ""),
        ("token_type in capitals", json!({ "token_type": "DPOP" }), 200, ""),
        ("cnf decides", json!({ "token_type": "Bearer" }), 200, ""),
        ("another token_type", json!({ "token_type": "mac" }), 401, "token_type"),
        ("token_type as a list", json!({ "token_type": ["DPoP"] }), 401, "token_type"),
        ("DPoP without cnf", json!({ "cnf": null }), 401, "token_confirmation"),
        ("an empty cnf", json!({ "cnf": {} }), 401, "token_confirmation"),
        ("a cnf with a key", json!({ "cnf": { "jkt": jkt, "jwk": {} } }), 401, "token_confirmation"),
        ("a refresh token", json!({ "token_use": "refresh_token" }), 401, "token_type"),
        ("a refresh token by typ", json!({ "typ": "Refresh" }), 401, "token_type"),
        ("an ID token", json!({ "typ": "ID" }), 401, "token_type"),
        ("an ID token by token_use", json!({ "token_use": "id" }), 401, "token_type"),
        ("Cognito's access token", json!({ "token_use": "access" }), 200, ""),
        ("Keycloak's", json!({ "typ": "Bearer" }), 200, ""),
        ("client_id as a number", json!({ "client_id": 7 }), 401, "token_claim_type"),
        ("a bearer token", json!({ "cnf": null, "token_type": "Bearer" }), 401, "token_unbound"),
        ("inactive", json!({ "active": false }), 401, "token_inactive"),
        ("active as text", json!({ "active": "true" }), 503, "introspection_unavailable"),
        ("active as a number", json!({ "active": 1 }), 503, "introspection_unavailable"),
        ("active is null", json!({ "active": null }), 503, "introspection_unavailable"),
    ];
    for (number, (what, changes, status, expected)) in cases.into_iter().enumerate() {
        let token = format!("token-{number}");
        endpoint.say(&token, &active(&house, changes));
        let answered = ask(&house, &token).await;
        assert_eq!(answered.status, status, "{what}: {}", answered.text());
        if status != 200 {
            assert_eq!(house.log.line_of(&answered).await["reason"], expected, "{what}");
        }
        if status == 503 {
            assert!(answered.header("retry-after").is_some() && answered.all("www-authenticate").is_empty());
        }
    }
}

/// Down, slow or absurd: never the client's fault.
#[tokio::test]
async fn an_endpoint_at_fault_is_503_and_never_401() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, ", timeout: 300ms").await;
    let good = active(&house, json!({})).to_string();
    let status = |line: &str| format!("HTTP/1.1 {line}\r\ncontent-length: {}\r\n\r\n{good}", good.len());
    let twice = good.replacen("{", "{\"active\":false,", 1);
    let faults: Vec<(&str, Vec<u8>)> = vec![
        ("closes", Vec::new()),
        ("401: our own credentials", status("401 Unauthorized").into()),
        ("403", status("403 Forbidden").into()),
        ("404", status("404 Not Found").into()),
        ("500", status("500 Internal Server Error").into()),
        ("503", status("503 Service Unavailable").into()),
        ("204", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        (
            "a redirect",
            format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{}/x\r\ncontent-length: 0\r\n\r\n",
                endpoint.address
            )
            .into(),
        ),
        ("HTML", with_type("text/html", b"<html>sign in</html>")),
        ("nothing", with_type("application/json", b"")),
        ("half of it", with_type("application/json", &good.as_bytes()[..good.len() / 2])),
        ("a list", with_type("application/json", format!("[{good}]").as_bytes())),
        ("a member twice", with_type("application/json", twice.as_bytes())),
        ("too long", with_type("application/json", &vec![b' '; 300 * 1024])),
        ("breaks off", format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{good}").into()),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("interim answers without end", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40).into()),
    ];
    for (number, (what, bytes)) in faults.into_iter().enumerate() {
        let token = format!("token-{number}");
        endpoint.say_bytes(&token, bytes);
        let answered = ask(&house, &token).await;
        assert_eq!(answered.status, 503, "{what}: {}", answered.text());
        assert!(answered.header("retry-after").is_some(), "{what}");
        assert!(answered.all("www-authenticate").is_empty(), "{what}");
    }
    assert_eq!(house.upstream.seen().len(), 0);
    // Slow: no answer comes within the 300 ms.
    let gate = endpoint.hold();
    endpoint.say("slow", &active(&house, json!({})));
    assert_eq!(ask(&house, "slow").await.status, 503);
    assert_eq!(house.metric("keyproof_introspection_requests_total", &["result=\"timeout\""]).await, 2.0);
    gate.add_permits(100);
    assert_eq!(ask(&house, "slow").await.status, 200, "what failed is not remembered");
}

#[tokio::test]
async fn only_the_routes_issuers_are_asked_and_never_about_jwts() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    endpoint.say("opaque", &active(&house, json!({})));
    let proof = house.proof("opaque", json!({ "htu": "https://api.test/main" }));
    let refused = house.send(get("/main", &[("authorization", "DPoP opaque"), ("dpop", &proof)])).await;
    assert_eq!(refused.status, 401, "that route takes the tokens of an issuer that is not asked");
    let jwt = house.token(json!({ "iss": "https://opaque.test" }));
    assert_eq!(ask(&house, &jwt).await.status, 200);
    // What begins with an object is judged as a JWT, however broken.
    for broken in ["eyJhIjoxfQ.x.y", "e30", "e30.e30.x", "e30.a.b.c.d"] {
        assert_eq!(ask(&house, broken).await.status, 401, "{broken}");
    }
    assert_eq!(endpoint.questions().len(), 0);
}

#[tokio::test]
async fn with_for_all_a_revoked_jwt_is_refused_and_a_bad_one_is_asked_about_by_nobody() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, ", for: all").await;
    let jwt = |changes: Value| {
        house.token(serde_json::from_str(&merged(json!({ "iss": "https://opaque.test" }), changes)).unwrap())
    };
    let good = jwt(json!({}));
    endpoint.say(&good, &json!({ "active": true }));
    assert_eq!(ask(&house, &good).await.status, 200, "what the JWT says itself need not be said again");
    let revoked = jwt(json!({}));
    assert_eq!(ask(&house, &revoked).await.status, 401, "the endpoint calls it inactive");
    let expired = jwt(json!({ "exp": NOW.as_secs() - 60 }));
    let foreign = house.token(json!({}));
    assert_eq!([ask(&house, &expired).await.status, ask(&house, &foreign).await.status], [401, 401]);
    assert_eq!(
        endpoint.questions().len(),
        2,
        "those that fail by themselves, or are not the route's, are shown to nobody"
    );
    // An answer may bind a token that says nothing itself, and never to another key than the token says.
    let unbound = jwt(json!({ "cnf": null }));
    endpoint.say(&unbound, &active(&house, json!({})));
    assert_eq!(ask(&house, &unbound).await.status, 200);
    let other = jwt(json!({}));
    let thumbprint = PrivateKey::generate(Algorithm::Es256).unwrap().public().thumbprint().to_string();
    endpoint.say(&other, &active(&house, json!({ "cnf": { "jkt": thumbprint } })));
    assert_eq!(ask(&house, &other).await.status, 401);
}

/// Requests with one token cause one question, and tokens of one address eight at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_have_the_issuer_asked_without_end() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    let gate = endpoint.hold();
    endpoint.say("shared", &active(&house, json!({})));
    let mut waiting = Vec::new();
    for _ in 0..30 {
        let proof = house.proof("shared", json!({}));
        let mut connection = Raw::connect(house.gateway).await;
        connection.send(get("/orders", &[("authorization", "DPoP shared"), ("dpop", &proof)])).await;
        waiting.push(connection);
    }
    let mut strangers = Vec::new();
    for number in 0..40 {
        let token = format!("stranger-{number}");
        let proof = house.proof(&token, json!({}));
        let mut connection = Raw::connect(house.gateway).await;
        connection
            .send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]))
            .await;
        strangers.push(connection);
    }
    // Those for whom there is no room are told at once, while nothing is answered.
    let busy = ["reason=\"introspection_busy\""];
    by_itself(async || house.metric("keyproof_decisions_total", &busy).await >= 33.0).await;
    gate.add_permits(1000);
    for mut connection in waiting {
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
    let mut statuses = Vec::new();
    for mut connection in strangers {
        statuses.push(connection.answer().await.unwrap().status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 7, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 33, "{statuses:?}");
    assert_eq!(endpoint.most(), 8);
    assert_eq!(endpoint.questions().iter().filter(|question| question.form["token"] == "shared").count(), 1);
}

/// However long it goes on: ten thousand tokens that somebody made up, as fast as one address can send them over many connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_made_up_tokens_of_one_address_are_eight_questions_at_once() {
    const CONNECTIONS: usize = 25;
    const EACH: usize = 400;
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    let gate = endpoint.hold();
    let mut sending = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let address = house.gateway;
        sending.spawn(async move {
            let mut raw = Raw::connect(address).await;
            let mut asked = 0;
            for number in 0..EACH {
                let token = format!("DPoP {}", keyproof::jose::encode(&keyproof::jose::random::<24>()));
                raw.send(get("/orders", &[("authorization", &token), ("dpop", "e30.e30.x")])).await;
                match raw.answer().await.expect("an answer").status {
                    401 => asked += 1,
                    503 => {}
                    status => panic!("{status} to request {number} of connection {connection}"),
                }
            }
            asked
        });
    }
    // So many are there at once that there is no room for all of them.
    let busy = ["reason=\"introspection_busy\""];
    by_itself(async || house.metric("keyproof_decisions_total", &busy).await >= 1.0 && endpoint.most() == 8)
        .await;
    gate.add_permits(CONNECTIONS * EACH);
    let mut asked = 0;
    while let Some(of_one) = sending.join_next().await {
        asked += of_one.unwrap();
    }
    assert_eq!(endpoint.most(), 8);
    assert_eq!(endpoint.questions().len(), asked, "each token that was judged was asked about once");
    assert_eq!(house.upstream.seen().len(), 0);
    // And whoever has a good one is served in between.
    endpoint.say("opaque", &active(&house, json!({})));
    assert_eq!(ask(&house, "opaque").await.status, 200);
}

#[tokio::test]
async fn an_inactive_answer_is_believed_for_a_second() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    for _ in 0..5 {
        assert_eq!(ask(&house, "unknown").await.status, 401);
    }
    assert_eq!(endpoint.questions().len(), 1);
    house.clock.set(NOW.saturating_add(Duration::from_millis(1100)));
    assert_eq!(ask(&house, "unknown").await.status, 401);
    assert_eq!(endpoint.questions().len(), 2);
}

#[tokio::test]
async fn nothing_is_remembered_with_a_cache_of_zero() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, ", cache: 0s").await;
    endpoint.say("opaque", &active(&house, json!({})));
    assert_eq!([ask(&house, "opaque").await.status, ask(&house, "opaque").await.status], [200, 200]);
    assert_eq!(endpoint.questions().len(), 2);
}

#[tokio::test]
async fn no_answer_outlives_the_rules_that_it_was_judged_by() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    endpoint.say("opaque", &active(&house, json!({})));
    assert_eq!(ask(&house, "opaque").await.status, 200);
    house.reload().await.unwrap();
    assert_eq!(ask(&house, "opaque").await.status, 200);
    assert_eq!(endpoint.questions().len(), 1, "a reload that changes nothing keeps it");
    house.edit(
        "issuer: https://opaque.test\n    audiences: [\"https://api.test\"]",
        "issuer: https://opaque.test\n    audiences: [\"https://else.test\"]",
    );
    house.reload().await.unwrap();
    assert_eq!(ask(&house, "opaque").await.status, 401);
    assert_eq!(endpoint.questions().len(), 2);
}

/// Whoever may cause a reload could have the issuer asked without end otherwise. And no answer is taken for one by other rules.
#[tokio::test]
async fn the_bounds_hold_across_a_reload() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    let gate = endpoint.hold();
    let request = |token: &str| {
        let proof = house.proof(token, json!({}));
        get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
    };
    let mut waiting = Vec::new();
    for number in 0..8 {
        let token = format!("held-{number}");
        endpoint.say(&token, &active(&house, json!({})));
        let mut connection = Raw::connect(house.gateway).await;
        connection.send(request(&token)).await;
        waiting.push(connection);
    }
    by_itself(async || endpoint.questions().len() >= 8).await;
    let is_busy = async |token: &str| {
        let refused = house.send(request(token)).await;
        house.log.line_of(&refused).await["reason"] == "introspection_busy"
    };
    house.reload().await.unwrap();
    assert!(is_busy("a-ninth").await);
    house.reload_with("client_secret_file: secret", "client_secret_file: secret, cache: 9s").await;
    assert!(is_busy("a-ninth").await);
    assert!(is_busy("held-0").await, "it would be another question by now");
    gate.add_permits(100);
    for mut connection in waiting {
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
    endpoint.say("a-ninth", &active(&house, json!({})));
    assert_eq!(house.send(request("a-ninth")).await.status, 200, "there is room again");
}

/// Each key of it that a reload changes is in force with the next question.
#[tokio::test]
async fn how_it_is_asked_is_as_the_last_reload_says() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    endpoint.say("opaque", &active(&house, json!({})));
    house.reload_with("client_secret_file: secret", "client_secret_file: secret, cache: 0s").await;
    assert_eq!([ask(&house, "opaque").await.status, ask(&house, "opaque").await.status], [200, 200]);
    assert_eq!(endpoint.questions().len(), 2, "nothing is remembered any more");
    house.reload_with("cache: 0s", "cache: 0s, signed: true").await;
    assert_eq!(ask(&house, "opaque").await.status, 503, "the answer is not signed");
    house.reload_with("cache: 0s, signed: true", "cache: 0s, timeout: 50ms, concurrency: 1").await;
    let gate = endpoint.hold();
    assert_eq!(ask(&house, "opaque").await.status, 503, "no answer within 50 ms");
    house.reload_with("timeout: 50ms", "timeout: 10s").await;
    let proof = house.proof("opaque", json!({}));
    let mut first = Raw::connect(house.gateway).await;
    first.send(get("/orders", &[("authorization", "DPoP opaque"), ("dpop", &proof)])).await;
    by_itself(async || endpoint.questions().len() >= 5).await;
    let refused = ask(&house, "another").await;
    assert_eq!(house.log.line_of(&refused).await["reason"], "introspection_busy");
    gate.add_permits(10);
    assert_eq!(first.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn the_gateway_says_who_it_is_in_the_form_or_by_a_signature() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    house
        .reload_with("client_secret_file: secret", "client_secret_file: secret, auth: client_secret_post")
        .await;
    endpoint.say("one", &active(&house, json!({})));
    assert_eq!(ask(&house, "one").await.status, 200);
    let form = &endpoint.questions()[0].form;
    assert_eq!(
        (form["client_id"].as_str(), form["client_secret"].as_str()),
        ("gate:way", "a secret that lives longer than a process")
    );
    assert!(!endpoint.questions()[0].head.to_ascii_lowercase().contains("authorization:"));

    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    std::fs::write(house.folder().join("key.jwk"), key.private_jwk()).unwrap();
    house
        .reload_with(
            "client_secret_file: secret, auth: client_secret_post",
            "private_key_file: key.jwk, auth: private_key_jwt",
        )
        .await;
    endpoint.say("two", &active(&house, json!({})));
    assert_eq!(ask(&house, "two").await.status, 200);
    let form = &endpoint.questions()[1].form;
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&key.public_jwk()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["https://opaque.test"]);
    validation.set_issuer(&["gate:way"]);
    validation.validate_exp = false;
    let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    let claims =
        jsonwebtoken::decode::<Value>(&form["client_assertion"], &decoding, &validation).unwrap().claims;
    assert_eq!(claims["sub"], "gate:way");
    assert_eq!(
        (claims["iat"].as_i64(), claims["exp"].as_i64()),
        (Some(NOW.as_secs()), Some(NOW.as_secs() + 60))
    );
    assert_ne!(claims["jti"].as_str().unwrap(), "");
}

/// RFC 8705 section 2.1: the certificate says who asks. And nobody is shown a token whom the issuer's `ca` does not vouch for.
#[tokio::test]
async fn the_gateway_says_who_it_is_by_its_certificate_to_whom_ca_vouches_for() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    endpoint.say("opaque", &active(&house, json!({})));
    let folder = tempfile::tempdir().unwrap();
    h2::certificate(folder.path(), "localhost");
    let front = Terminator::demanding(house.certificate.clone(), endpoint.address, folder.path()).await;
    std::fs::copy(folder.path().join("tls.crt"), house.folder().join("issuer.crt")).unwrap();
    let plain = format!("http://{}", endpoint.address);
    house.reload_with(&plain, &format!("https://localhost:{}", front.address.port())).await;
    assert_eq!(ask(&house, "opaque").await.status, 503, "the system knows nothing of that certificate");
    let keys = "jwks_file: jwks.json\n    introspection";
    house.reload_with(keys, "jwks_file: jwks.json\n    ca: issuer.crt\n    introspection").await;
    assert_eq!(ask(&house, "opaque").await.status, 503, "the gateway shows no certificate");
    assert_eq!(endpoint.questions().len(), 0, "nobody was shown the token");
    let by_certificate = "auth: tls_client_auth, certificate: tls.crt, private_key: tls.key";
    house.reload_with("client_secret_file: secret", by_certificate).await;
    assert_eq!(ask(&house, "opaque").await.status, 200, "{}", house.log.text());
    let question = &endpoint.questions()[0];
    assert_eq!(question.form["client_id"], "gate:way");
    assert!(!question.head.to_ascii_lowercase().contains("authorization:"));
}

/// The same certificates for the issuer's keys: no system vouches for them.
#[tokio::test]
async fn keys_come_from_whom_ca_vouches_for() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, "").await;
    let keys = std::fs::read(house.folder().join("jwks.json")).unwrap();
    endpoint.say_bytes("", with_type("application/jwk-set+json", &keys));
    let folder = tempfile::tempdir().unwrap();
    h2::certificate(folder.path(), "localhost");
    let front = Terminator::before(endpoint.address, folder.path()).await;
    std::fs::copy(folder.path().join("tls.crt"), house.folder().join("issuer.crt")).unwrap();
    let fetched = format!(
        "jwks_uri: \"https://localhost:{}/jwks\"\n    ca: issuer.crt\n    introspection",
        front.address.port()
    );
    house.reload_with("jwks_file: jwks.json\n    introspection", &fetched).await;
    let token = house.token(json!({ "iss": "https://opaque.test" }));
    assert_eq!(ask(&house, &token).await.status, 200, "{}", house.log.text());
    assert!(endpoint.questions()[0].head.starts_with("GET /jwks "));
}

/// RFC 9701: signed by the issuer, for us, or it is no answer.
#[tokio::test]
async fn a_signed_answer_is_verified_and_an_unsigned_one_is_none() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint, ", signed: true").await;
    let signed = |header: Value, claims: Value| {
        let base = json!({
            "iss": "https://opaque.test", "aud": "gate:way", "iat": NOW.as_secs(),
            "token_introspection": active(&house, json!({})),
        });
        let header =
            merged(json!({ "typ": "token-introspection+jwt", "alg": "ES256", "kid": "one" }), header);
        with_type(
            "application/token-introspection+jwt",
            house.issuer.sign(&header, &merged(base, claims)).as_bytes(),
        )
    };
    let foreign = PrivateKey::generate(Algorithm::Es256).unwrap();
    let forged = foreign.sign(
        &json!({ "typ": "token-introspection+jwt", "alg": "ES256", "kid": "one" }).to_string(),
        &json!({ "iss": "https://opaque.test", "aud": "gate:way", "token_introspection": active(&house, json!({})) }).to_string(),
    );
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("good", signed(json!({}), json!({})), 200),
        ("for several", signed(json!({}), json!({ "aud": ["x", "gate:way"] })), 200),
        ("inactive", signed(json!({}), json!({ "token_introspection": { "active": false } })), 401),
        ("not signed", answer(&active(&house, json!({}))), 503),
        ("for another", signed(json!({}), json!({ "aud": "other" })), 503),
        ("for nobody", signed(json!({}), json!({ "aud": null })), 503),
        ("of another issuer", signed(json!({}), json!({ "iss": "https://id.test" })), 503),
        ("an access token", signed(json!({ "typ": "at+jwt" }), json!({})), 503),
        ("without an answer", signed(json!({}), json!({ "token_introspection": null })), 503),
        ("an unknown key", signed(json!({ "kid": "two" }), json!({})), 503),
        ("an algorithm that is not the issuer's", signed(json!({ "alg": "RS256" }), json!({})), 503),
        ("signed by somebody else", with_type("application/token-introspection+jwt", forged.as_bytes()), 503),
    ];
    for (number, (what, bytes, status)) in cases.into_iter().enumerate() {
        let token = format!("token-{number}");
        endpoint.say_bytes(&token, bytes);
        let answered = ask(&house, &token).await;
        assert_eq!(answered.status, status, "{what}: {}\n{}", answered.text(), house.log.text());
    }
    assert!(endpoint.questions()[0].head.contains("application/token-introspection+jwt"));
}
