//! What the log says of each of them: enough to mend it, and no token, no proof, no secret.

use serde_json::{Map, Value, json};
use support::gateway::{House, NOW, get, proof};
use support::reasons::{Case, DOWN, ROUTES, all, every_reason_has_a_case};

/// What stands in every line.
const ALWAYS: [&str; 21] = [
    "time",
    "level",
    "message",
    "method",
    "path",
    "status",
    "route",
    "decision",
    "reason",
    "binding",
    "sub",
    "client_id",
    "jkt",
    "duration_us",
    "decision_us",
    "bytes",
    "client",
    "listener",
    "protocol",
    "request_id",
    "trace_id",
];

#[tokio::test]
async fn a_line_is_short_and_tells_no_secret_whatever_the_reason() {
    let house = House::with_issuers(ROUTES, DOWN, "").await;
    let mut answers = Vec::new();
    for (denial, case) in all() {
        every_reason_has_a_case(denial);
        if let Case::Sent(request) = case {
            answers.push((denial, house.send(request(&house)).await));
        }
    }
    assert!(answers.len() > 60, "the cases were not found");
    for (denial, answer) in answers {
        let line = house.log.line_of(&answer).await;
        assert_eq!((&line["decision"], &line["reason"]), (&json!("deny"), &json!(denial.label())));
        for (name, value) in line.as_object().unwrap() {
            let length = value.as_str().map_or(0, str::len);
            assert!(name == "path" || length <= 260, "{denial:?}: {name} has {length} bytes");
        }
    }
    let log = house.log.text();
    assert!(!log.contains("eyJ"), "a token or a proof is in the log");
    for line in log.lines() {
        // No name stands there twice.
        keyproof::jose::json::Object::parse(line.as_bytes(), keyproof::jose::json::Limits::SMALL).unwrap();
    }
}

/// A request, and what its line says beside what every line does.
type Told = (String, Value);

#[tokio::test]
async fn a_line_says_what_was_found_and_what_was_expected() {
    let house = House::with_issuers(ROUTES, DOWN, "").await;
    let cases: Vec<Told> = [
        places(),
        credentials(&house),
        tokens(&house),
        issuers_and_keys(&house),
        bindings(&house),
        proofs(&house),
    ]
    .concat();
    let mut answers = Vec::new();
    for (request, told) in cases {
        answers.push((house.send(&request).await, request, told));
    }
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for (answer, request, told) in answers {
        let line = house.log.line_of(&answer).await;
        let beside = |(name, _): &(&String, &Value)| !ALWAYS.contains(&name.as_str());
        let beside = line.as_object().unwrap().iter().filter(beside);
        let beside: Map<_, _> = beside.map(|(name, value)| (name.clone(), value.clone())).collect();
        for name in line.as_object().unwrap().keys() {
            assert!(documented.contains(&format!("`{name}`")), "the README does not list {name}");
        }
        assert_eq!(Value::Object(beside), told, "{request}\n{line}");
        // The answer says none of it.
        let said = format!("{:?}{}", answer.headers, answer.text());
        for value in
            told.as_object().unwrap().values().filter_map(Value::as_str).filter(|value| value.len() > 12)
        {
            assert!(!said.contains(value) || value.starts_with("ES256 "), "{said}");
        }
    }
    for secret in ["eyJ", "s3cret"] {
        assert!(!house.log.text().contains(secret), "{secret} is in the log");
    }
}

fn places() -> Vec<Told> {
    let at = |host: &str| format!("GET /orders HTTP/1.1\r\nHost: {host}\r\n\r\n");
    vec![
        (at("api.test:8443"), json!({ "authority": "api.test:8443", "origins": "https://api.test" })),
        (at("a:s3cret@api.test"), json!({ "authority": "api.test", "origins": "https://api.test" })),
        (
            "GET /orders HTTP/1.1\r\nHost: api.test\r\nHost: other.test\r\n\r\n".to_owned(),
            json!({ "authority": "api.test, other.test", "origins": "https://api.test" }),
        ),
        (
            "GET /orders HTTP/1.1\r\n\r\n".to_owned(),
            json!({ "authority": "none", "origins": "https://api.test" }),
        ),
        (
            "GET http://other.test/orders HTTP/1.1\r\nHost: api.test\r\n\r\n".to_owned(),
            json!({ "authority": "other.test", "host": "api.test", "origins": "https://api.test" }),
        ),
        (
            "PUT /orders HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n".to_owned(),
            json!({ "allow": "GET" }),
        ),
        (get("/nowhere", &[]), json!({})),
    ]
}

fn credentials(house: &House) -> Vec<Told> {
    let with = |line: &str| get("/orders", &[("authorization", line)]);
    let token = house.token(json!({}));
    vec![
        (get("/orders", &[]), json!({})),
        (with("basic YTpzM2NyZXQ="), json!({ "scheme": "Basic" })),
        // Somebody has forgotten the scheme.
        (with("s3cret"), json!({ "scheme": "another" })),
        (with(&token), json!({ "scheme": "another" })),
        (with("DPoP s3cret s3cret"), json!({})),
        (get("/orders?access_token=s3cret", &[("authorization", "DPoP s3cret")]), json!({})),
    ]
}

/// The token alone is wrong, and comes with a proof of which nothing is said.
fn with_token(house: &House, token: &str) -> String {
    let proof = house.proof(token, json!({}));
    get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
}

fn tokens(house: &House) -> Vec<Told> {
    let claims = |changes: Value| with_token(house, &house.token(changes));
    let header = |changes: Value| with_token(house, &house.token_with(changes, json!({})));
    let told =
        |about: Value| merged(json!({ "iss": "https://id.test", "claimed_client_id": "shop" }), &about);
    let now = NOW.as_secs();
    vec![
        (with_token(house, "opaque"), json!({})),
        (header(json!({ "typ": "JWT" })), told(json!({ "typ": "JWT", "typ_expected": "at+jwt" }))),
        (header(json!({ "typ": null })), told(json!({ "typ": "none", "typ_expected": "at+jwt" }))),
        (
            header(json!({ "alg": "RS256" })),
            told(json!({ "alg": "RS256", "alg_expected": "ES256 PS256 EdDSA" })),
        ),
        (claims(json!({ "jti": null })), told(json!({ "claim": "jti" }))),
        (claims(json!({ "exp": "tomorrow" })), told(json!({ "claim": "exp" }))),
        (
            claims(json!({ "aud": ["https://a.test", "https://b.test"] })),
            told(json!({ "aud": "https://a.test https://b.test", "aud_expected": "https://api.test" })),
        ),
        (claims(json!({ "exp": now - 11 })), told(json!({ "exp": (now - 11).to_string() }))),
        (claims(json!({ "nbf": now + 11 })), told(json!({ "nbf": (now + 11).to_string() }))),
        (claims(json!({ "iat": now + 11 })), told(json!({ "iat": (now + 11).to_string() }))),
        (claims(json!({ "cnf": { "kid": "s3cret" } })), told(json!({ "cnf": "kid" }))),
        (header(json!({ "kid": "a\u{1b}\"b" })), told(json!({ "kid": "a\u{1b}\"b", "alg": "ES256" }))),
    ]
}

fn issuers_and_keys(house: &House) -> Vec<Told> {
    let of = |iss: &str| with_token(house, &house.token(json!({ "iss": iss })));
    vec![
        (
            of("https://id.test/"),
            json!({
                "iss": "https://id.test/", "iss_expected": "https://id.test https://down.test",
                "claimed_client_id": "shop",
            }),
        ),
        (of("https://down.test"), json!({ "iss": "https://down.test", "claimed_client_id": "shop" })),
        (
            of(&"i".repeat(300)),
            json!({
                "iss": format!("{}…", "i".repeat(256)), "iss_expected": "https://id.test https://down.test",
                "claimed_client_id": "shop",
            }),
        ),
    ]
}

fn bindings(house: &House) -> Vec<Told> {
    let (bound, unbound) = (house.token(json!({})), house.token(json!({ "cnf": null })));
    let with = |path: &str, line: String| get(path, &[("authorization", &line)]);
    let thief = keyproof::jose::PrivateKey::generate(keyproof::jose::Algorithm::Es256).unwrap();
    let stolen = proof(&thief, json!({}), &bound, json!({ "iat": NOW.as_secs() - 5 }));
    let its_key = thief.public().thumbprint().to_string();
    let poor = house.token(json!({ "scope": "profile email" }));
    let odd = house.token(json!({ "sub": "a\r\nb" }));
    vec![
        (
            with("/orders", format!("Bearer {bound}")),
            json!({ "scheme": "Bearer", "scheme_expected": "DPoP" }),
        ),
        (
            with("/orders", format!("Bearer {unbound}")),
            json!({ "scheme": "Bearer", "scheme_expected": "DPoP" }),
        ),
        (with("/bearer", format!("DPoP {bound}")), json!({ "scheme": "DPoP", "scheme_expected": "Bearer" })),
        (
            get("/orders", &[("authorization", &format!("DPoP {bound}")), ("dpop", &stolen)]),
            json!({ "proof_jkt": its_key, "skew": 5.0 }),
        ),
        (
            with_token(house, &poor),
            json!({ "scope_missing": "orders:read", "scope": "profile email", "skew": 0.0 }),
        ),
        (with_token(house, &odd), json!({ "claim": "sub", "skew": 0.0 })),
    ]
}

fn proofs(house: &House) -> Vec<Told> {
    let token = house.token(json!({}));
    let to =
        |path: &str, proof: &str| get(path, &[("authorization", &format!("DPoP {token}")), ("dpop", proof)]);
    let claims = |changes: Value| to("/orders", &house.proof(&token, changes));
    let header = |changes: Value| to("/orders", &proof(&house.client, changes, &token, json!({})));
    let now = NOW.as_secs();
    let two = house.proof(&token, json!({}));
    let other = |htu: &str, shown: &str| {
        let told = json!({ "htu": shown, "htu_expected": "https://api.test/orders", "skew": 0.0 });
        (claims(json!({ "htu": htu })), told)
    };
    vec![
        (to("/orders", &format!("{two},{two}")), json!({ "proofs": "2" })),
        (header(json!({ "typ": "JWT" })), json!({ "typ": "JWT", "typ_expected": "dpop+jwt", "skew": 0.0 })),
        (
            header(json!({ "alg": "RS256" })),
            json!({ "alg": "RS256", "alg_expected": "ES256 EdDSA PS256", "skew": 0.0 }),
        ),
        (claims(json!({ "jti": null, "htm": 1 })), json!({ "claim": "jti htm", "skew": 0.0 })),
        (claims(json!({ "htm": "POST" })), json!({ "htm": "POST", "htm_expected": "GET", "skew": 0.0 })),
        other("https://other.test/orders", "https://other.test/orders"),
        other("http://api.test/orders?a=s3cret#s3cret", "http://api.test/orders"),
        other("https://a:s3cret@api.test/orders", "https://api.test/orders"),
        other("/orders?s3cret", "/orders"),
        other(
            &format!("https://api.test/{}", "o".repeat(300)),
            &format!("https://api.test/{}…", "o".repeat(239)),
        ),
        (claims(json!({ "iat": now - 61 })), json!({ "skew": 61.0, "skew_expected": "-10 to 60" })),
        (claims(json!({ "iat": now + 3600 })), json!({ "skew": -3600.0, "skew_expected": "-10 to 60" })),
        (claims(json!({ "exp": now - 11 })), json!({ "exp": (now - 11).to_string(), "skew": 0.0 })),
        (claims(json!({ "ath": "a".repeat(43), "iat": now - 2 })), json!({ "skew": 2.0 })),
        // Where a nonce stands in its place, `iat` says nothing.
        (to("/nonce", &house.proof(&token, json!({ "htu": "https://api.test/nonce", "iat": 1 }))), json!({})),
    ]
}

/// Where the clock of a client is wrong, its histogram says so although every request is refused.
#[tokio::test]
async fn the_skew_of_refused_proofs_is_counted() {
    let house = House::with_routes(ROUTES).await;
    let token = house.token(json!({}));
    let send = async |path: &str, iat: i64| {
        let proof = house.proof(&token, json!({ "iat": iat, "htu": format!("https://api.test{path}") }));
        house.send(get(path, &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await.status
    };
    let now = NOW.as_secs();
    assert_eq!(send("/orders", now - 90).await, 401);
    assert_eq!(send("/orders", now + 90).await, 401);
    assert_eq!(send("/nonce", now - 90).await, 401);
    assert_eq!(house.metric("keyproof_proof_skew_seconds_count", &[]).await, 2.0);
}

fn merged(mut base: Value, more: &Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}
