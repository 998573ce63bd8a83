//! What the gateway of a configuration would say, for everything that can be wrong with a token.

use super::super::tests::args;
use super::super::{ExplainArgs, explain};
use crate::clock::UnixTime;
use crate::jose::{Algorithm, PrivateKey, encode, sha256};
use serde_json::{Value, json};
use std::path::PathBuf;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const URL: &str = "https://api.test/orders/7?page=2";

/// A configuration in a folder with its issuer's keys, and a client.
struct House {
    folder: tempfile::TempDir,
    issuer: PrivateKey,
    client: PrivateKey,
}

impl House {
    fn build() -> Self {
        let [issuer, client] = [(); 2].map(|()| PrivateKey::generate(Algorithm::Es256).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let jwk = issuer.public_jwk().replacen('{', r#"{"kid":"one","#, 1);
        std::fs::write(folder.path().join("jwks.json"), format!(r#"{{"keys":[{jwk}]}}"#)).unwrap();
        let yaml = r#"
listeners: [{ name: public, address: "127.0.0.1:0" }]
public_origins: ["https://api.test"]
issuers:
  - { name: main, issuer: "https://id.test", audiences: ["https://api.test"], jwks_file: jwks.json }
  - { name: okta, issuer: "https://okta.test", audiences: ["https://api.test"], jwks_file: jwks.json, required_claims: [uid] }
upstreams: [{ name: legacy, servers: ["http://127.0.0.1:9"] }]
routes:
  - { name: orders, match: { path: /orders, methods: [GET] }, upstream: legacy, scopes: ["orders:read"] }
  - { name: mixed, match: { path: /mixed }, upstream: legacy, accept: [dpop, bearer], issuers: [main] }
  - { name: nonce, match: { path: /nonce }, upstream: legacy, nonce: required }
  - { name: open, match: { path: /open }, upstream: legacy, public: true }
"#;
        std::fs::write(folder.path().join("keyproof.yaml"), yaml).unwrap();
        Self { folder, issuer, client }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("keyproof.yaml")
    }

    fn token(&self, header: Value, changes: Value) -> String {
        let header = merged(json!({ "typ": "at+jwt", "alg": "ES256", "kid": "one" }), header);
        let claims = json!({
            "iss": "https://id.test", "aud": "https://api.test", "sub": "alice", "client_id": "shop",
            "iat": NOW.as_secs(), "exp": NOW.as_secs() + 300, "jti": "t", "scope": "orders:read",
            "cnf": { "jkt": self.client.public().thumbprint().to_string() },
        });
        self.issuer.sign(&header, &merged(claims, changes))
    }

    fn proof(&self, token: &str, changes: Value) -> String {
        let jwk: Value = serde_json::from_str(&self.client.public_jwk()).unwrap();
        let claims = json!({
            "jti": "p", "htm": "GET", "htu": "https://api.test/orders/7", "iat": NOW.as_secs(),
            "ath": encode(&sha256(&[token.as_bytes()])),
        });
        self.client.sign(
            &json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk }).to_string(),
            &merged(claims, changes),
        )
    }

    fn explained(&self, url: &str, token: Option<&str>, proof: Option<&str>) -> (bool, String) {
        let args = ExplainArgs {
            proof: proof.map(str::to_owned),
            token: token.map(str::to_owned),
            config: Some(self.config()),
            ..args("", "GET", url, None)
        };
        let mut out = Vec::new();
        let passed = explain(&args, NOW, &mut out, false).unwrap();
        (passed, String::from_utf8(out).unwrap())
    }

    /// A token with these changes and a good proof for it.
    fn with_token(&self, header: Value, changes: Value) -> (bool, String) {
        let token = self.token(header, changes);
        let proof = self.proof(&token, json!({}));
        self.explained(URL, Some(&token), Some(&proof))
    }
}

fn merged(mut base: Value, changes: Value) -> String {
    let (Some(members), Value::Object(changes)) = (base.as_object_mut(), changes) else { panic!("objects") };
    members.extend(changes);
    base.to_string()
}

/// URL, token and proof; whether every check passes, and what is said.
type Row<'a> = (&'a str, Option<&'a str>, Option<&'a str>, bool, &'a str);

/// The names of the checks that failed.
fn failed(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| line.split_once("  failed "));
    lines.map(|(head, _)| head.get(5..).unwrap_or_default().trim()).collect()
}

/// By the list of the same configuration: a row of its own, and the verdict.
#[test]
fn a_token_that_is_denied_is_told_so() {
    let house = House::build();
    let yaml = std::fs::read_to_string(house.config()).unwrap();
    std::fs::write(house.config(), format!("denied_file: denied\n{yaml}")).unwrap();
    for (list, denied) in [("client:main shop", true), ("client:okta shop", false), ("# empty", false)] {
        std::fs::write(house.folder.path().join("denied"), list).unwrap();
        let (passed, text) = house.with_token(json!({}), json!({}));
        assert_eq!(passed, !denied, "{list}: {text}");
        let expected: &[&str] = if denied { &["denied_file", "verdict"] } else { &[] };
        assert_eq!(failed(&text), expected, "{list}");
        assert_eq!(text.contains("401 invalid_token: the access token is denied (denied)"), denied, "{text}");
        assert_eq!(text.contains("denied_file"), list != "# empty", "{list}: {text}");
    }
}

#[test]
fn a_good_request_passes_every_check_that_can_be_made() {
    let (passed, text) = House::build().with_token(json!({}), json!({}));
    assert!(passed, "{text}");
    for said in [
        "route orders: accept dpop; issuers all; scopes orders:read; nonce off\n",
        "token aud",
        "token cnf",
        "token signature",
        "route accept",
        "route scopes",
        "identity headers",
        "found     every check that can be made here passes",
        "found     only the running gateway knows which were",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(text.ends_with("No check failed; 2 skipped.\n"), "{text}");
}

/// "No check failed" was the answer to all of these.
#[test]
fn what_the_gateway_refuses_fails_here_by_its_name() {
    let house = House::build();
    let jkt = house.client.public().thumbprint().to_string();
    let rows = [
        (json!({}), json!({ "aud": "https://other.test" }), "token aud", "https://other.test"),
        (json!({}), json!({ "aud": null }), "token aud", "none"),
        (json!({}), json!({ "iss": "https://evil.test" }), "token iss", "https://evil.test"),
        (json!({}), json!({ "cnf": { "jkt": jkt, "jwk": {} } }), "token cnf", "jwk an object of nothing"),
        (json!({}), json!({ "cnf": { "kid": "a" } }), "token cnf", "kid a"),
        (json!({}), json!({ "cnf": {} }), "token cnf", "nothing"),
        (json!({}), json!({ "client_id": null }), "token claims", "client_id is missing or empty"),
        (json!({}), json!({ "jti": 7 }), "token claims", "jti has the wrong type"),
        (json!({}), json!({ "iss": "https://okta.test" }), "token claims", "uid is missing or empty"),
        (json!({}), json!({ "exp": NOW.as_secs() - 11 }), "token exp", "11 s ago"),
        (json!({}), json!({ "nbf": NOW.as_secs() + 11 }), "token exp", "nbf 1800000011"),
        (json!({}), json!({ "iat": NOW.as_secs() + 11 }), "token iat", "1800000011"),
        (json!({ "typ": "JWT" }), json!({}), "token typ", "JWT"),
        (json!({ "alg": "RS256" }), json!({}), "token alg", "RS256"),
        (json!({ "kid": "two" }), json!({}), "token signature", "no such key: kid two"),
        (json!({ "crit": null }), json!({}), "token form", "the access token has a critical extension"),
        (json!({}), json!({ "scope": "orders:write" }), "route scopes", "orders:write"),
        (json!({}), json!({ "sub": "a\nb" }), "identity headers", "cannot be a header value"),
    ];
    for (header, claims, check, found) in rows {
        let (passed, text) = house.with_token(header.clone(), claims.clone());
        let failed = failed(&text);
        assert!(
            !passed && failed.contains(&check) && failed.contains(&"verdict"),
            "{claims} {failed:?} {text}"
        );
        assert!(text.contains(found), "{found} in {text}");
        let status = if check == "route scopes" { "403 insufficient_scope" } else { "401 invalid_token" };
        assert!(text.contains(status), "{text}");
    }
}

/// None is left out because another failed.
#[test]
fn every_fault_of_a_token_is_told_at_once() {
    let (_, text) = House::build().with_token(
        json!({ "typ": "JWT" }),
        json!({ "aud": "x", "exp": 1, "client_id": null, "cnf": {}, "iat": "soon" }),
    );
    let failed = failed(&text);
    for check in ["token typ", "token aud", "token exp", "token iat", "token claims", "token cnf", "verdict"]
    {
        assert!(failed.contains(&check), "{check} {text}");
    }
}

#[test]
fn routes_are_found_and_asked_as_by_the_gateway() {
    let house = House::build();
    let token = house.token(json!({}), json!({}));
    let bearer = house.token(json!({}), json!({ "cnf": null }));
    let okta = house.token(json!({}), json!({ "iss": "https://okta.test", "uid": "u", "cnf": null }));
    let proof = house.proof(&token, json!({}));
    let rows: [Row<'_>; 12] = [
        ("https://api.test/nowhere", Some(&token), Some(&proof), false, "404 not_found"),
        ("https://other.test/orders", Some(&token), Some(&proof), false, "421 misdirected_request"),
        ("https://api.test/open", None, None, true, "route open: public, no token is asked for"),
        (
            "https://api.test/mixed",
            Some(&bearer),
            None,
            true,
            "route mixed: accept dpop bearer; issuers main",
        ),
        ("https://api.test/mixed", Some(&okta), None, false, "one of main"),
        ("https://api.test/mixed", Some(&token), None, false, "(downgrade)"),
        ("https://api.test/orders", Some(&bearer), None, false, "(bearer_not_accepted)"),
        ("https://api.test/orders", None, None, false, "(no_credentials)"),
        ("https://api.test/orders", None, Some(&proof), false, "(no_credentials)"),
        ("https://api.test/orders?access_token=a", Some(&token), Some(&proof), false, "(token_two_ways)"),
        ("https://api.test/orders/8", Some(&token), Some(&proof), false, "(proof_htu)"),
        ("https://api.test/nonce", Some(&token), Some(&proof), false, "it is not in the configuration"),
    ];
    for (url, token, proof, passes, said) in rows {
        let (passed, text) = house.explained(url, token, proof);
        assert_eq!(passed, passes, "{url} {text}");
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn a_file_with_problems_says_them() {
    let house = House::build();
    std::fs::write(house.config(), "surprise: 1\n").unwrap();
    let args = ExplainArgs { config: Some(house.config()), ..args("a.b.c", "GET", URL, None) };
    let error = explain(&args, NOW, &mut Vec::new(), false).unwrap_err().to_string();
    assert!(error.starts_with("--config:\n") && error.contains("unknown key \"surprise\""), "{error}");
}
