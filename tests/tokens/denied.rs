//! `denied_file`: whom the operator refuses, whatever the issuer and any memory of ours says.

use crate::endpoint::Endpoint;
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use serde_json::{Value, json};
use support::gateway::{HOST, House, NOW, get, proof};
use support::grpc::{Channel, Http};
use support::raw::Answer;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, issuers: [main, other], scopes: ["orders:read"] }
  - { name: main, match: { path: /main }, upstream: legacy, issuers: [main] }
  - { name: bearer, match: { path: /bearer }, upstream: legacy, issuers: [main], accept: [dpop, bearer] }
  - { name: observed, match: { path: /observed }, upstream: legacy, mode: observe, issuers: [main] }
  - { name: asked, match: { path: /asked }, upstream: legacy, issuers: [asked] }
  - { name: asked_observed, match: { path: /asked/observed }, upstream: legacy, issuers: [asked], mode: observe }
  - { name: opaque, match: { path: /opaque }, upstream: legacy, issuers: [opaque] }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }
"#;

/// The endpoint is asked about the opaque tokens of `opaque`, and about all of `asked`.
async fn house(endpoint: &Endpoint) -> House {
    let asks = |what: &str| {
        format!(
            "introspection: {{ endpoint: \"http://{}/introspect\", client_id: gateway, client_secret_file: secret, for: {what} }}",
            endpoint.address
        )
    };
    let issuer = |name: &str, more: &str| {
        format!(
            "  - {{ name: {name}, issuer: \"https://{name}.test\", audiences: [\"https://api.test\"], jwks_file: jwks.json{more} }}\n"
        )
    };
    let issuers = [
        issuer("other", ""),
        issuer("opaque", &format!(", {}", asks("opaque"))),
        issuer("asked", &format!(", {}", asks("all"))),
    ];
    let house = House::with_doors_and_issuers(ROUTES, &issuers.concat(), "").await;
    write(&house, "# empty\n");
    house.reload_with("routes:\n", "denied_file: denied\nroutes:\n").await;
    house
}

fn write(house: &House, list: &str) {
    std::fs::write(house.folder().join("denied"), list).unwrap();
}

/// From now on this is denied.
async fn deny(house: &House, list: &str) {
    write(house, list);
    house.reload().await.unwrap_or_else(|why| panic!("{list}: {why}"));
}

/// `GET` of this path by the holder of this key.
fn request(key: &PrivateKey, path: &str, token: &str) -> String {
    let proof = proof(key, json!({}), token, json!({ "htu": format!("https://{HOST}{path}") }));
    get(path, &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
}

async fn ask(house: &House, path: &str, token: &str) -> Answer {
    house.send(request(&house.client, path, token)).await
}

async fn reason(house: &House, answer: &Answer) -> Value {
    house.log.line_of(answer).await["reason"].clone()
}

/// A kind, what is denied of it, changes to the claims of a token that is, and of one that is like it and is not.
fn kinds(house: &House) -> Vec<(&'static str, String, Value, Value)> {
    let jkt = house.client.public().thumbprint().to_string();
    let certificate = encode(&sha256(&[b"a certificate"]));
    let bound = |certificate: &str| json!({ "cnf": { "jkt": jkt, "x5t#S256": certificate } });
    let other = "https://other.test";
    let of = |issuer: &str, member: &str, value: &str| {
        let mut claims = json!({ member: value });
        claims["iss"] = json!(issuer);
        claims
    };
    let text = |text: &str| text.to_owned();
    vec![
        ("x5t", format!("x5t:{certificate}"), bound(&certificate), bound(&encode(&sha256(&[b"another"])))),
        ("jti", text("jti:stolen"), json!({ "jti": "stolen" }), json!({ "jti": "stolen2" })),
        ("client", text("client:shop"), json!({}), json!({ "client_id": "shop2" })),
        ("client", text("client:shop"), json!({}), json!({ "client_id": "Shop" })),
        ("client", text("client:my:shop"), json!({ "client_id": "my:shop" }), json!({ "client_id": "my" })),
        ("client", text("client:other shop"), of(other, "client_id", "shop"), json!({})),
        (
            "client",
            text("client:other my shop"),
            of(other, "client_id", "my shop"),
            of(other, "client_id", "my"),
        ),
        ("client", text("client:main"), json!({ "client_id": "main" }), json!({})),
        ("sub", text("sub:alice"), json!({}), json!({ "sub": "alice2" })),
        ("sub", text("sub:main alice"), json!({}), of(other, "sub", "alice")),
        ("sub", text("sub:eve#EXT#@x"), json!({ "sub": "eve#EXT#@x" }), json!({ "sub": "eve" })),
        ("sub", text("sub:shop"), json!({ "sub": "shop" }), json!({})),
        ("jti", text("jti:alice"), json!({ "jti": "alice" }), json!({})),
    ]
}

#[tokio::test]
async fn each_kind_of_entry_refuses_what_it_names_and_nothing_like_it() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    for (kind, line, denied, alike) in kinds(&house) {
        let (denied, alike) = (house.token(denied), house.token(alike));
        deny(&house, &format!("# why\n{line}  # until it is known how\n\n")).await;
        let refused = ask(&house, "/orders", &denied).await;
        assert_eq!(refused.status, 401, "{line}: {}", refused.text());
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("DPoP ") && challenge.contains("error=\"invalid_token\""),
            "{challenge}"
        );
        let told: Value = serde_json::from_str(&refused.text()).unwrap();
        assert_eq!(told["error"], "invalid_token");
        assert!(!refused.text().contains(line.split_once(':').unwrap().1), "the answer names nobody");
        let line_of_log = house.log.line_of(&refused).await;
        assert_eq!(line_of_log["reason"], "denied", "{line}");
        assert_eq!(line_of_log["denied_by"], kind, "{line}");
        assert!(line_of_log["client_id"].is_string(), "{line_of_log}");
        let passes = ask(&house, "/orders", &alike).await;
        assert_ne!(reason(&house, &passes).await, "denied", "{line}");
        assert_eq!(passes.status == 200, kind != "x5t", "{line}: {}", passes.text());
    }
    assert_eq!(
        house.metric("keyproof_decisions_total", &["route=\"orders\"", "reason=\"denied\""]).await,
        13.0
    );
}

/// A key that was stolen is denied with every token that is bound to it; others of the same client are not.
#[tokio::test]
async fn a_key_is_denied_with_all_its_tokens() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    let jkt = |key: &PrivateKey| key.public().thumbprint().to_string();
    let other = PrivateKey::generate(Algorithm::Es256).unwrap();
    let of_other = house.token(json!({ "cnf": { "jkt": jkt(&other) } }));
    deny(&house, &format!("jkt:{}\n", jkt(&house.client))).await;
    for changes in [json!({}), json!({ "sub": "bob", "client_id": "else", "iss": "https://other.test" })] {
        let token = house.token(changes);
        let refused = ask(&house, "/orders", &token).await;
        assert_eq!(house.log.line_of(&refused).await["denied_by"], "jkt");
    }
    assert_eq!(house.send(request(&other, "/orders", &of_other)).await.status, 200);
    // The thumbprint of no key of a token: its holder shows a proof, and the token is bound to nothing.
    let bearer = house.token(json!({ "cnf": null }));
    let sent = get("/bearer", &[("authorization", &format!("Bearer {bearer}"))]);
    assert_eq!(house.send(sent).await.status, 200);
}

/// The contract's order of checks: last of the token's, before everything else.
#[tokio::test]
async fn it_is_the_last_check_on_the_token_and_before_all_others() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    deny(&house, "sub:alice\n").await;
    let token = house.token(json!({}));
    let scopeless = house.token(json!({ "scope": "none" }));
    let bare = |scheme: &str, token: &str| get("/orders", &[("authorization", &format!("{scheme} {token}"))]);
    for (what, sent, expected) in [
        (
            "expired",
            request(&house.client, "/orders", &house.token(json!({ "exp": NOW.as_secs() - 60 }))),
            "token_expired",
        ),
        (
            "for others",
            request(&house.client, "/orders", &house.token(json!({ "aud": "x" }))),
            "token_audience",
        ),
        (
            "not the route's",
            request(&house.client, "/main", &house.token(json!({ "iss": "https://other.test" }))),
            "token_issuer",
        ),
        (
            "a cnf that cannot be checked",
            request(&house.client, "/orders", &house.token(json!({ "cnf": {} }))),
            "token_confirmation",
        ),
        ("a downgrade", bare("Bearer", &token), "denied"),
        ("no proof", bare("DPoP", &token), "denied"),
        ("somebody else's proof", request(&house.issuer, "/orders", &token), "denied"),
        ("no scope", request(&house.client, "/orders", &scopeless), "denied"),
    ] {
        let answer = house.send(sent).await;
        assert_eq!(reason(&house, &answer).await, expected, "{what}");
    }
    assert_eq!(house.send(get("/public", &[])).await.status, 200);
    assert_eq!(ask(&house, "/public", &token).await.status, 200, "no token is asked for there");
}

#[tokio::test]
async fn a_token_that_is_remembered_as_good_is_refused_and_is_good_again_once_it_is_not_denied() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    let token = house.token(json!({ "jti": "one" }));
    for (list, status) in
        [("# empty", 200), ("jti:one", 401), ("jti:two", 200), ("jti:two\njti:one", 401), ("#empty\n", 200)]
    {
        deny(&house, list).await;
        assert_eq!(ask(&house, "/orders", &token).await.status, status, "{list}");
        assert_eq!(ask(&house, "/orders", &token).await.status, status, "{list}");
    }
    deny(&house, "jti:one").await;
    house.reload_with("denied_file: denied\n", "").await;
    assert_eq!(ask(&house, "/orders", &token).await.status, 200, "without a file nobody is denied");
}

/// By what the issuer says of it; and an answer that is remembered as active does not help.
#[tokio::test]
async fn an_opaque_token_is_denied_by_what_its_issuer_says_of_it() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    let jkt = house.client.public().thumbprint().to_string();
    endpoint.say(
        "opaque-1",
        &json!({
            "active": true, "aud": "https://api.test", "sub": "carol", "client_id": "kiosk", "jti": "t-1",
            "exp": NOW.as_secs() + 300, "token_type": "DPoP", "cnf": { "jkt": jkt },
        }),
    );
    assert_eq!(ask(&house, "/opaque", "opaque-1").await.status, 200);
    let lines = [
        format!("jkt:{jkt}"),
        "jti:t-1".into(),
        "client:kiosk".into(),
        "client:opaque kiosk".into(),
        "sub:carol".into(),
    ];
    for line in lines {
        deny(&house, &line).await;
        let refused = ask(&house, "/opaque", "opaque-1").await;
        assert_eq!((refused.status, reason(&house, &refused).await), (401, json!("denied")), "{line}");
    }
    deny(&house, "client:main kiosk\nsub:asked carol\njti:opaque-1").await;
    assert_eq!(ask(&house, "/opaque", "opaque-1").await.status, 200);
    assert_eq!(endpoint.questions().len(), 1, "one answer was remembered all the time");
}

/// `mode: observe` overlooks every refusal but this, whatever else is wrong.
#[tokio::test]
async fn a_route_that_only_observes_denies_all_the_same() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    deny(&house, "sub:mallory").await;
    let (good, denied) = (house.token(json!({})), house.token(json!({ "sub": "mallory" })));
    let foreign = json!({ "sub": "mallory", "iss": "https://other.test" });
    let unbound = json!({ "sub": "mallory", "cnf": null });
    let asked = house.token(json!({ "sub": "mallory", "iss": "https://asked.test" }));
    let asked_good = house.token(json!({ "iss": "https://asked.test" }));
    let bare = |path: &str, token: &str| get(path, &[("authorization", &format!("Bearer {token}"))]);
    for (what, sent, expected) in [
        ("good", request(&house.client, "/observed", &good), (200, "verified")),
        ("a downgrade", bare("/observed", &good), (200, "downgrade")),
        ("denied", request(&house.client, "/observed", &denied), (401, "denied")),
        ("denied, and without a proof", bare("/observed", &denied), (401, "denied")),
        ("denied, and unbound", bare("/observed", &house.token(unbound)), (401, "denied")),
        ("denied, and of another issuer", bare("/observed", &house.token(foreign)), (401, "denied")),
        // Its own checks have passed, and its issuer says otherwise.
        ("not denied, and inactive", bare("/asked/observed", &asked_good), (200, "token_inactive")),
        ("denied, and inactive", bare("/asked/observed", &asked), (401, "denied")),
        (
            "expired",
            bare("/observed", &house.token(json!({ "sub": "mallory", "exp": 1 }))),
            (200, "token_expired"),
        ),
    ] {
        let answer = house.send(sent).await;
        let found = (answer.status, reason(&house, &answer).await);
        assert_eq!(found, (expected.0, json!(expected.1)), "{what}");
        let line = house.log.line_of(&answer).await;
        let decision = match expected {
            (401, _) => "deny",
            (_, "verified") => "allow",
            _ => "observe",
        };
        assert_eq!(line["decision"], decision, "{what}");
    }
    let seen = house.upstream.seen();
    assert_eq!(seen.len(), 4, "what is denied reaches no upstream: {seen:?}");
    // Where refusals are answered, the issuer has its say before: denied is the last of the token's checks.
    let refused = ask(&house, "/asked", &asked).await;
    assert_eq!(reason(&house, &refused).await, "token_inactive");
}

#[tokio::test]
async fn other_doors_deny_too() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    let token = house.token(json!({}));
    let asks = || {
        let proof = proof(&house.client, json!({}), &token, json!({}));
        let headers = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let http =
            format!("GET /check/orders HTTP/1.1\r\nhost: {HOST}\r\nx-forwarded-proto: https\r\n{lines}\r\n");
        let again = proof_headers(&house, &token);
        let again: Vec<_> = again.iter().map(|(name, value)| (*name, value.as_str())).collect();
        (http, Http::new("GET", "/orders", HOST, &again))
    };
    for (list, status) in [("# empty", 200), ("sub:alice", 401)] {
        deny(&house, list).await;
        let (http, grpc) = asks();
        assert_eq!(house.ask(house.decisions(), http).await.status, status, "{list}");
        let decision = Channel::connect(house.grpc()).await.decision(&grpc).await;
        assert_eq!(decision.as_answer().status, status, "{list}");
    }
    assert_eq!(house.metric("keyproof_decisions_total", &["reason=\"denied\""]).await, 2.0);
}

fn proof_headers(house: &House, token: &str) -> [(&'static str, String); 2] {
    let proof = proof(&house.client, json!({}), token, json!({}));
    [("authorization", format!("DPoP {token}")), ("dpop", proof)]
}

/// All at once, each with its line in its file, and none of them in the answers of a reload alone.
#[tokio::test]
async fn a_bad_line_rejects_a_reload_and_is_named_with_its_place() {
    let endpoint = Endpoint::start().await;
    let house = house(&endpoint).await;
    deny(&house, "sub:alice").await;
    let token = house.token(json!({}));
    for (list, expected) in [
        (
            "sub:bob\n\nalice\n",
            "denied:3: \"alice\" is no entry; write jkt:, x5t:, jti:, client: or sub: and what is denied",
        ),
        ("jkt:short", "denied:1: \"short\" is no thumbprint; write it as cnf.jkt"),
        ("client:nobody shop", "denied:1: no issuer is named \"nobody\"; "),
        ("", "denied has no entry; write \"# empty\""),
        ("\n  \n# nobody at the moment\n", "denied has no entry; write \"# empty\""),
        ("a\nb\nc", "(and 2 more problems)"),
    ] {
        write(&house, list);
        let why = house.reload().await.expect_err(list).to_string();
        assert!(why.contains(expected) && why.contains("denied_file: denied"), "{list:?}: {why}");
        assert_eq!(ask(&house, "/orders", &token).await.status, 401, "{list:?}: the old list stays");
    }
    let long = "nonsense\n".repeat(1000);
    write(&house, &long);
    assert!(house.reload().await.unwrap_err().to_string().contains("(and 20 more problems)"));
    std::fs::write(house.folder().join("denied"), b"sub:\xff").unwrap();
    assert!(house.reload().await.unwrap_err().to_string().contains("denied is not UTF-8"));
    deny(&house, "\u{feff}sub:bob\r\nsub:carol\r\n").await;
    assert_eq!(ask(&house, "/orders", &token).await.status, 200);
    assert_eq!(ask(&house, "/orders", &house.token(json!({ "sub": "bob" }))).await.status, 401);
    assert_eq!(ask(&house, "/orders", &house.token(json!({ "sub": "carol" }))).await.status, 401);
}
