//! Section 3 of the contract: tokens and keys as issuers really make them.

use crate::stranger::{Stranger, WAIT, upstream};
use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::{Value, json};

#[tokio::test]
async fn a_confirmation_may_have_further_members_but_no_other_key() {
    let upstream = upstream().await;
    let stranger = Stranger::starts(upstream.address, WAIT, "").await;
    let jkt = stranger.jkt();
    for (cnf, status) in [
        (json!({ "jkt": jkt, "kid": "a", "x": { "y": [1] } }), 200),
        (json!({ "jkt": jkt, "jwk": null, "x5t#S256": null }), 200),
        (json!({ "jkt": jkt, "jwk": {} }), 401),
        (json!({ "jkt": jkt, "jku": "https://id.example.com" }), 401),
        (json!({ "jkt": jkt, "jwe": "a.b.c.d.e" }), 401),
        (json!({ "jkt": jkt, "x5t#S256": "short" }), 401),
        (json!({ "jkt": [jkt] }), 401),
        (json!({ "jkt": null }), 401),
        (json!({ "kid": "a" }), 401),
        (json!({}), 401),
    ] {
        let answer = stranger.send(stranger.with_token(&stranger.token(json!({ "cnf": cnf })))).await;
        assert_eq!(answer.status, status, "{cnf}: {}", answer.text());
    }
}

/// The answer has a fixed text; whoever reads the log must not have to guess.
#[tokio::test]
async fn the_log_names_the_claim_that_is_missing_and_the_limit_that_was_met() {
    let upstream = upstream().await;
    let stranger = Stranger::starts(upstream.address, WAIT, "").await;
    let nested = |levels: usize| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    for (changes, reason, claim) in [
        (json!({ "sub": null }), "token_claim_missing", Some("sub")),
        (json!({ "client_id": null }), "token_claim_missing", Some("client_id")),
        (json!({ "jti": "" }), "token_claim_missing", Some("jti")),
        (json!({ "iat": null }), "token_claim_missing", Some("iat")),
        (json!({ "exp": "soon" }), "token_claim_type", Some("exp")),
        (json!({ "details": nested(31) }), "verified", None),
        (json!({ "details": nested(32) }), "token_too_deep", None),
        (json!({ "groups": vec![0; 4000] }), "verified", None),
        (json!({ "groups": vec![0; 4096] }), "token_too_many_members", None),
    ] {
        let before = stranger.requests();
        let answer = stranger.send(stranger.with_token(&stranger.token(changes.clone()))).await;
        let status = if reason == "verified" { 200 } else { 401 };
        assert_eq!(answer.status, status, "{changes}: {}", answer.text());
        assert!(!answer.text().contains("client_id") && !answer.text().contains("jti"), "{}", answer.text());
        let line = loop {
            if let Some(line) = stranger.logged_requests().nth(before) {
                break line;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        assert_eq!((line["reason"].as_str(), line["claim"].as_str()), (Some(reason), claim), "{line}");
    }
}

/// One of the keys leaked, another one has a number for its kid: the new one arrives, and the log says which are not used and why.
#[tokio::test]
async fn odd_keys_cost_only_themselves_and_are_named() {
    let upstream = upstream().await;
    let stranger = Stranger::starts(upstream.address, WAIT, "").await;
    let [new, leaked] = [(); 2].map(|()| PrivateKey::generate(Algorithm::Es256).unwrap());
    let mut private: Value = serde_json::from_str(&leaked.private_jwk()).unwrap();
    private["kid"] = json!("oops");
    let public = new.public_jwk().replace('}', r#","kid":"two","d":null,"use":null,"x5c":null}"#);
    let odd = leaked.public_jwk().replace('}', r#","kid":7}"#);
    let twice = leaked.public_jwk().replace('}', r#","kid":"twice","kid":"twice"}"#);
    stranger.publish_text(&format!(r#"{{"keys":[{private},"key",{odd},{twice},{public}]}}"#));
    let token = stranger.token_by("two", &new, json!({}));
    assert_eq!(stranger.send(stranger.with_token(&token)).await.status, 200);
    let token = stranger.token_by("oops", &leaked, json!({}));
    assert_eq!(stranger.send(stranger.with_token(&token)).await.status, 401, "a leaked key");
    for said in [
        r#"key 1 (kid \"oops\") is not used: it is a private key and has leaked"#,
        "key 2 is not used: it is no JSON object",
        "key 3 is not used: its kid is no text",
        r#"key 4 (kid \"twice\") is not used: it has a member twice"#,
    ] {
        let line = stranger.logged(said).await;
        assert!(line.contains(r#""level":"WARN""#) && line.contains(r#""issuer":"main""#), "{line}");
    }
}
