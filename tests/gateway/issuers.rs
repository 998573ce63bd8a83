//! Issuers that put client and scope elsewhere, and those of which less is asked.

use serde_json::json;
use support::gateway::{House, get};

const ROUTES: &str = r#"
  - name: orders
    match: { path: /orders }
    upstream: legacy
    scopes: ["orders:read"]
    identity: { headers: { X-Client: client_id, X-Scope: scope, X-Scp: scp, X-Cid: cid } }"#;

const OKTA: &str = r#"
  - name: okta
    issuer: "https://okta.test"
    audiences: ["https://api.test"]
    jwks_file: jwks.json
    token_types: [JWT]
    claims: { client_id: [client_id, cid, azp], scope: [scope, scp] }
    required_claims: [iss, exp, aud, uid]"#;

#[tokio::test]
async fn what_okta_says_is_found_checked_and_handed_on() {
    let house = House::with_issuers(ROUTES, OKTA, "").await;
    let okta = |changes| {
        let base = json!({
            "iss": "https://okta.test", "client_id": null, "scope": null, "jti": null, "uid": "u1", "cid": "0oa1",
            "scp": ["orders:read", "offline_access"],
        });
        let mut claims = base.as_object().unwrap().clone();
        claims.extend(serde_json::Value::as_object(&changes).unwrap().clone());
        house.token_with(json!({ "typ": "JWT" }), claims.into())
    };
    for (changes, status) in [
        (json!({}), 200),
        (json!({ "scp": "orders:read offline_access" }), 200),
        (json!({ "scp": ["offline_access"] }), 403),
        (json!({ "scp": ["orders:read", 7] }), 401),
        (json!({ "scp": { "orders:read": true } }), 401),
        (json!({ "scope": "other" }), 403),
        (json!({ "cid": 7 }), 401),
        (json!({ "uid": null }), 401),
        (json!({ "cid": null }), 200),
    ] {
        let token = okta(changes.clone());
        let proof = house.proof(&token, json!({}));
        let answer = house
            .send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]))
            .await;
        assert_eq!(answer.status, status, "{changes}: {}", answer.text());
    }
    let seen = house.upstream.seen();
    let header = |place: usize, name: &str| seen[place].header(name).map(str::to_owned);
    for place in [0, 1] {
        assert_eq!(header(place, "x-client").as_deref(), Some("0oa1"));
        assert_eq!(header(place, "x-scope").as_deref(), Some("orders:read offline_access"));
    }
    assert_eq!(header(0, "x-scp").as_deref(), Some("orders:read,offline_access"), "what it is in the token");
    assert_eq!(header(2, "x-client"), None);
}

#[tokio::test]
async fn a_list_of_scopes_needs_no_setting() {
    let house = House::with_routes(ROUTES).await;
    let token = house.token(json!({ "scope": ["orders:read", "profile"] }));
    let proof = house.proof(&token, json!({}));
    let answer =
        house.send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(house.upstream.only().header("x-scope"), Some("orders:read profile"));
}
