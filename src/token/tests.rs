//! What the room promises: every rule a row, every known bug of other verifiers a row with its story.

use super::{
    Claim, ClaimNames, Confirmation, IssuerId, IssuerRules, Issuers, KeySet, MAX_TOKEN, TokenError,
    VerifiedToken,
};
use crate::clock::UnixTime;
use crate::jose::{Algorithm, PrivateKey, Thumbprint, encode, json, sha256};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::mem::discriminant;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const NOW: i64 = 1_800_000_000;
const MAIN: IssuerId = IssuerId(0);
const LEGACY: IssuerId = IssuerId(1);
const KEYLESS: IssuerId = IssuerId(2);
/// In a patch: the member is left out.
const ABSENT: &str = "<absent>";
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());
static OTHER_KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());

fn rules(name: &str, token_types: &[&str]) -> IssuerRules {
    IssuerRules {
        name: name.to_owned(),
        issuer: format!("https://{name}.test"),
        audiences: vec!["https://api.test".to_owned(), "api".to_owned()],
        algorithms: vec![Algorithm::Es256, Algorithm::EdDsa],
        token_types: token_types.iter().map(ToString::to_string).collect(),
        claims: ClaimNames::default(),
        required_claims: None,
        leeway: Duration::from_secs(10),
        introspection: None,
    }
}

/// A JWK Set of these keys, each under its `kid` (`""`: none).
fn key_set(keys: &[(&str, &PrivateKey)]) -> KeySet {
    KeySet::parse(jwks(keys).as_bytes()).unwrap()
}

fn jwks(keys: &[(&str, &PrivateKey)]) -> String {
    let keys = keys.iter().map(|(kid, key)| {
        let mut jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
        if !kid.is_empty() {
            jwk["kid"] = json!(kid);
        }
        jwk
    });
    json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
}

/// `main` (RFC 9068) and `legacy` (`JWT` too) with `KEY` as `k1`; `keyless` has never had keys.
fn issuers() -> Issuers {
    let issuers = Issuers::new(vec![
        rules("main", &["at+jwt"]),
        rules("legacy", &["at+jwt", "JWT"]),
        rules("keyless", &["at+jwt"]),
    ]);
    for id in [MAIN, LEGACY] {
        issuers.issuer(id).unwrap().publish(key_set(&[("k1", &KEY)]));
    }
    issuers
}

fn patched(mut base: Value, patch: &Value) -> String {
    for (name, value) in patch.as_object().unwrap() {
        if value == ABSENT {
            base.as_object_mut().unwrap().remove(name);
        } else {
            base[name] = value.clone();
        }
    }
    base.to_string()
}

/// A good header but for `patch`.
fn header(patch: &Value) -> String {
    patched(json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" }), patch)
}

/// Good claims but for `patch`.
fn claims(patch: &Value) -> String {
    let good = json!({
        "iss": "https://main.test", "aud": "https://api.test", "sub": "alice", "client_id": "app",
        "jti": "t1", "iat": NOW, "exp": NOW + 300, "scope": "read write", "cnf": { "jkt": JKT },
    });
    patched(good, patch)
}

/// An array with arrays in it, of so many levels.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

fn sign(header_patch: &Value, claims_patch: &Value) -> String {
    KEY.sign(&header(header_patch), &claims(claims_patch))
}

fn verify_at(issuers: &Issuers, token: &str, now: i64) -> Result<Arc<VerifiedToken>, TokenError> {
    issuers.verify(token, &sha256(&[token.as_bytes()]), UnixTime::from_secs(now))
}

fn verify(issuers: &Issuers, token: &str) -> Result<Arc<VerifiedToken>, TokenError> {
    verify_at(issuers, token, NOW)
}

#[test]
fn a_good_token_says_what_it_says() {
    let token = sign(
        &json!({}),
        &json!({ "https://claims.test/x": { "a.b": { "c": 7 } }, "a.b": 1, "a": { "b": 2, "c": 3 } }),
    );
    let token = verify(&issuers(), &token).unwrap();
    assert_eq!(token.issuer(), MAIN);
    assert_eq!(token.sub(), Some("alice"));
    assert_eq!(token.client_id(), Some("app"));
    assert_eq!(token.expires(), UnixTime::from_secs(NOW + 300));
    assert_eq!(token.confirmation(), Confirmation::Key(Thumbprint::parse(JKT).unwrap()));
    let claim = |path: &str| token.claim(path).cloned();
    assert_eq!(claim("cnf.jkt"), Some(json::Value::String(JKT.into())));
    assert_eq!(claim("a.b"), Some(json::Value::Integer(1)), "the whole name first");
    assert_eq!(claim("a.c"), Some(json::Value::Integer(3)));
    assert_eq!(claim("https://claims.test/x.a.b.c"), Some(json::Value::Integer(7)));
    for none in ["", ".", "a.", ".a", "sub.x", "cnf.jkt.x", "nobody"] {
        assert_eq!(claim(none), None, "{none:?}");
    }
}

/// RFC 6749 section 3.3: case-sensitive, delimited by spaces, nothing else is one of them.
#[test]
fn a_scope_is_a_whole_word() {
    let issuers = issuers();
    let token = verify(&issuers, &sign(&json!({}), &json!({ "scope": "read orders:write" }))).unwrap();
    for (scope, has) in [
        ("read", true),
        ("orders:write", true),
        ("Read", false),
        ("orders", false),
        ("write", false),
        ("", false),
        ("read orders:write", false),
        (" ", false),
    ] {
        assert_eq!(token.has_scope(scope), has, "{scope:?}");
    }
    let none = verify(&issuers, &sign(&json!({}), &json!({ "scope": ABSENT }))).unwrap();
    assert!(!none.has_scope("read") && !none.has_scope(""));
}

#[test]
fn what_is_accepted() {
    let rows: &[(&str, Value, Value)] = &[
        ("as it is", json!({}), json!({})),
        ("a media type has no case (RFC 9110 section 8.3.1)", json!({ "typ": "AT+JWT" }), json!({})),
        (
            "the prefix may be written (RFC 7515 section 4.1.9)",
            json!({ "typ": "application/at+jwt" }),
            json!({}),
        ),
        ("in any case", json!({ "typ": "Application/At+Jwt" }), json!({})),
        ("other header members are ignored", json!({ "jku": "https://evil.test", "x": [1] }), json!({})),
        ("no kid: the keys that fit are tried", json!({ "kid": ABSENT }), json!({})),
        ("aud may be an array", json!({}), json!({ "aud": ["other", "api"] })),
        ("in any order", json!({}), json!({ "aud": ["api", "other"] })),
        (
            "a NumericDate may have a fraction",
            json!({}),
            json!({ "exp": 1_800_000_000.5, "iat": 1_799_999_999.25 }),
        ),
        ("expired within the leeway", json!({}), json!({ "exp": NOW - 9 })),
        ("nbf within the leeway", json!({}), json!({ "nbf": NOW + 10 })),
        ("iat within the leeway", json!({}), json!({ "iat": NOW + 10 })),
        ("scope is no required claim", json!({}), json!({ "scope": ABSENT })),
        ("no cnf: a bearer token", json!({}), json!({ "cnf": ABSENT })),
        ("bound to a certificate", json!({}), json!({ "cnf": { "x5t#S256": JKT } })),
        ("to both", json!({}), json!({ "cnf": { "x5t#S256": JKT, "jkt": JKT } })),
        (
            "other members beside it (RFC 7800 section 3.1); Keycloak 26.7 has one",
            json!({}),
            json!({ "cnf": { "jkt": JKT, "kid": "x", "jkt#S512": 7, "osc": { "id": 1 }, "x5t": [] } }),
        ),
        ("and beside a certificate", json!({}), json!({ "cnf": { "x5t#S256": JKT, "kid": "x" } })),
        (
            "null is absent there",
            json!({}),
            json!({ "cnf": { "jkt": JKT, "x5t#S256": null, "jwk": null, "kid": null } }),
        ),
        (
            "null is absent in claims",
            json!({}),
            json!({ "nbf": null, "scope": null, "acr": null, "x": null }),
        ),
        ("and in headers", json!({ "b64": null, "jwk": null, "kid": null, "x5c": null }), json!({})),
        ("cnf null: a bearer token", json!({}), json!({ "cnf": null })),
        ("scope may be a list", json!({}), json!({ "scope": ["read", "write"] })),
        ("an empty one too", json!({}), json!({ "scope": [] })),
        (
            "authorization details nest deeply (RFC 9396)",
            json!({}),
            json!({ "authorization_details": nested(31), "more": vec![0; 4000] }),
        ),
        ("legacy: JWT", json!({ "typ": "JWT" }), json!({ "iss": "https://legacy.test" })),
        (
            "legacy: typ is optional (RFC 7519 section 5.1)",
            json!({ "typ": ABSENT }),
            json!({ "iss": "https://legacy.test" }),
        ),
        (
            "legacy: exp, aud and iss are enough",
            json!({ "typ": "JWT" }),
            json!({
                "iss": "https://legacy.test", "sub": ABSENT, "client_id": ABSENT, "jti": ABSENT, "iat": ABSENT
            }),
        ),
    ];
    let issuers = issuers();
    for (story, header, claims) in rows {
        let result = verify(&issuers, &sign(header, claims));
        assert!(result.is_ok(), "{story}: {result:?}");
    }
}

#[test]
fn what_is_refused() {
    let issuers = issuers();
    let mut seen = HashSet::new();
    let mut refused = |story: &str, token: &str, expected: TokenError| {
        assert_eq!(verify(&issuers, token).map(|_| ()), Err(expected), "{story}");
        seen.insert(discriminant(&expected));
    };
    for (story, header, expected) in refused_headers() {
        refused(story, &sign(&header, &json!({})), expected);
    }
    for (story, claims, expected) in refused_claims().into_iter().chain(refused_confirmations()) {
        refused(story, &sign(&json!({}), &claims), expected);
    }
    for (story, mut claims, expected) in refused_legacy_claims() {
        claims["iss"] = json!("https://legacy.test");
        refused(story, &sign(&json!({ "typ": "JWT" }), &claims), expected);
    }
    for (story, token, expected) in refused_tokens() {
        refused(story, &token, expected);
    }
    assert_eq!(seen.len(), 18, "a row for every TokenError");
}

type Row = (&'static str, Value, TokenError);

fn refused_headers() -> Vec<Row> {
    use TokenError as E;
    vec![
        ("not typed as an access token (RFC 9068 section 4)", json!({ "typ": "JWT" }), E::Type),
        ("no typ at all", json!({ "typ": ABSENT }), E::Type),
        ("a DPoP proof (RFC 8725 section 3.11)", json!({ "typ": "dpop+jwt" }), E::Type),
        (
            "an introspection answer (RFC 9701 section 8.1)",
            json!({ "typ": "token-introspection+jwt" }),
            E::Type,
        ),
        (
            "an authorization request (RFC 9101 section 10.8)",
            json!({ "typ": "oauth-authz-req+jwt" }),
            E::Type,
        ),
        ("a logout token (RFC 8725 section 3.11)", json!({ "typ": "logout+jwt" }), E::Type),
        ("another tree of media types", json!({ "typ": "text/at+jwt" }), E::Type),
        ("typ is no string", json!({ "typ": ["at+jwt"] }), E::Malformed),
        ("kid is no string", json!({ "kid": 1 }), E::Malformed),
        ("alg none (RFC 9068 section 4)", json!({ "alg": "none" }), E::Algorithm),
        ("noNE slipped through lists of bad names", json!({ "alg": "noNE" }), E::Algorithm),
        ("HS256 with the public key as its secret", json!({ "alg": "HS256" }), E::Algorithm),
        ("no alg", json!({ "alg": ABSENT }), E::Algorithm),
        (
            "an algorithm the issuer does not use (RFC 8725 section 3.1)",
            json!({ "alg": "ES384" }),
            E::Algorithm,
        ),
        ("in another case", json!({ "alg": "es256" }), E::Algorithm),
        ("no key of this kind (RFC 8725 section 3.1)", json!({ "alg": "EdDSA" }), E::UnknownKey(MAIN)),
        ("crit was ignored by Authlib, PyJWT, fast-jwt", json!({ "crit": ["x"], "x": 1 }), E::Critical),
        ("an empty crit was ignored by jsonwebtoken", json!({ "crit": [] }), E::Critical),
        ("crit is the one member that null does not take away", json!({ "crit": null }), E::Critical),
        ("typ null is no typ", json!({ "typ": null }), E::Type),
        ("alg null is no alg", json!({ "alg": null }), E::Algorithm),
        ("a header of more than 32 levels", json!({ "x": nested(32) }), E::TooDeep),
        ("or of more than 4,096 members and items", json!({ "x": vec![0; 4096] }), E::TooMany),
        ("an unencoded payload (RFC 7797)", json!({ "b64": false }), E::Critical),
        ("another kid", json!({ "kid": "k2" }), E::UnknownKey(MAIN)),
        (
            "a kid is compared, never opened (RFC 8725 section 3.10)",
            json!({ "kid": "../../etc/passwd" }),
            E::UnknownKey(MAIN),
        ),
    ]
}

fn refused_claims() -> Vec<Row> {
    use TokenError as E;
    vec![
        // Issuer and audience.
        (
            "no iss; it passed jsonwebtoken's set_issuer",
            json!({ "iss": ABSENT }),
            E::ClaimMissing(Claim::Iss),
        ),
        ("iss a number; so did that", json!({ "iss": 1 }), E::ClaimType(Claim::Iss)),
        (
            "an array that holds ours; fast-jwt took it (CVE-2025-30144)",
            json!({ "iss": ["https://main.test", "x"] }),
            E::ClaimType(Claim::Iss),
        ),
        ("another issuer", json!({ "iss": "https://evil.test" }), E::Issuer),
        ("a slash more (RFC 9068 section 4: exactly)", json!({ "iss": "https://main.test/" }), E::Issuer),
        ("in another case", json!({ "iss": "https://Main.test" }), E::Issuer),
        (
            "no aud; it passed jsonwebtoken's set_audience",
            json!({ "aud": ABSENT }),
            E::ClaimMissing(Claim::Aud),
        ),
        ("aud a number; so did that", json!({ "aud": 1 }), E::ClaimType(Claim::Aud)),
        ("one of them is no string", json!({ "aud": ["api", 1] }), E::ClaimType(Claim::Aud)),
        ("none of them", json!({ "aud": [] }), E::Audience),
        ("another", json!({ "aud": "https://api.test/" }), E::Audience),
        // What is null is missing.
        ("iss null", json!({ "iss": null }), E::ClaimMissing(Claim::Iss)),
        ("aud null", json!({ "aud": null }), E::ClaimMissing(Claim::Aud)),
        (
            "an audience in the list that is null is of a wrong type",
            json!({ "aud": [null] }),
            E::ClaimType(Claim::Aud),
        ),
        ("exp null", json!({ "exp": null }), E::ClaimMissing(Claim::Exp)),
        ("iat null", json!({ "iat": null }), E::ClaimMissing(Claim::Iat)),
        ("sub null", json!({ "sub": null }), E::ClaimMissing(Claim::Sub)),
        ("client_id null", json!({ "client_id": null }), E::ClaimMissing(Claim::ClientId)),
        ("jti null", json!({ "jti": null }), E::ClaimMissing(Claim::Jti)),
        // Size.
        ("more than 32 levels", json!({ "x": nested(32) }), E::TooDeep),
        ("more than 4,096 members and items", json!({ "x": vec![0; 4096] }), E::TooMany),
        // Dates.
        ("no exp", json!({ "exp": ABSENT }), E::ClaimMissing(Claim::Exp)),
        (
            "a wrong type was taken for absent (CVE-2026-25537)",
            json!({ "exp": "1900000000" }),
            E::ClaimType(Claim::Exp),
        ),
        ("nbf as well", json!({ "nbf": "1900000000" }), E::ClaimType(Claim::Nbf)),
        ("exp beyond all dates", json!({ "exp": 1e300 }), E::ClaimType(Claim::Exp)),
        ("exp before all dates", json!({ "exp": -1 }), E::ClaimType(Claim::Exp)),
        ("iat is no number", json!({ "iat": true }), E::ClaimType(Claim::Iat)),
        ("no iat", json!({ "iat": ABSENT }), E::ClaimMissing(Claim::Iat)),
        ("on exp + leeway (RFC 7519 section 4.1.4)", json!({ "exp": NOW - 10 }), E::Expired),
        ("nbf, which jsonwebtoken leaves unchecked", json!({ "nbf": NOW + 11 }), E::NotYetValid),
        ("iat, which jsonwebtoken never checks", json!({ "iat": NOW + 11 }), E::IssuedInFuture),
        // The others of RFC 9068 section 2.2.
        ("no sub", json!({ "sub": ABSENT }), E::ClaimMissing(Claim::Sub)),
        ("an empty sub", json!({ "sub": "" }), E::ClaimMissing(Claim::Sub)),
        ("no client_id", json!({ "client_id": ABSENT }), E::ClaimMissing(Claim::ClientId)),
        ("no jti", json!({ "jti": ABSENT }), E::ClaimMissing(Claim::Jti)),
        ("sub is no string", json!({ "sub": 7 }), E::ClaimType(Claim::Sub)),
        ("client_id is no string", json!({ "client_id": ["app"] }), E::ClaimType(Claim::ClientId)),
        ("jti is no string", json!({ "jti": 7 }), E::ClaimType(Claim::Jti)),
        ("scope is a number", json!({ "scope": 7 }), E::ClaimType(Claim::Scope)),
        ("scope is an object", json!({ "scope": { "read": true } }), E::ClaimType(Claim::Scope)),
        ("one of the scopes is no text", json!({ "scope": ["read", 7] }), E::ClaimType(Claim::Scope)),
        ("one of them is null", json!({ "scope": ["read", null] }), E::ClaimType(Claim::Scope)),
        (
            "an at+jwt of a legacy issuer",
            json!({ "iss": "https://legacy.test", "jti": ABSENT }),
            E::ClaimMissing(Claim::Jti),
        ),
        (
            "keys that were never there are not the client's fault",
            json!({ "iss": "https://keyless.test" }),
            E::KeysUnavailable(KEYLESS),
        ),
    ]
}

/// A `JWT`-typed token may lack what RFC 9068 requires; what it has is checked, and it is no other kind of token.
fn refused_legacy_claims() -> Vec<Row> {
    use TokenError as E;
    vec![
        ("exp is required", json!({ "exp": ABSENT }), E::ClaimMissing(Claim::Exp)),
        ("aud is required", json!({ "aud": ABSENT }), E::ClaimMissing(Claim::Aud)),
        ("sub is a string or absent", json!({ "sub": 7 }), E::ClaimType(Claim::Sub)),
        ("iat is a number or absent", json!({ "iat": "1" }), E::ClaimType(Claim::Iat)),
        ("an ID token (RFC 8725 section 3.12)", json!({ "at_hash": "x" }), E::Type),
        ("a logout token (RFC 8725 section 3.12)", json!({ "events": {} }), E::Type),
        ("an ID token of Cognito", json!({ "token_use": "id" }), E::Type),
        ("an ID token of Keycloak", json!({ "typ": "ID" }), E::Type),
        ("a refresh token of Keycloak", json!({ "typ": "Offline" }), E::Type),
    ]
}

fn refused_confirmations() -> Vec<Row> {
    use TokenError as E;
    vec![
        // The confirmation (RFC 7800 section 3.1, more strictly).
        ("cnf:{}, which another server took for unbound", json!({ "cnf": {} }), E::Confirmation),
        ("cnf with nothing but null", json!({ "cnf": { "jkt": null, "x5t#S256": null } }), E::Confirmation),
        ("cnf is no object", json!({ "cnf": JKT }), E::Confirmation),
        ("an unknown member alone", json!({ "cnf": { "kid": "x" } }), E::Confirmation),
        ("several unknown ones", json!({ "cnf": { "kid": "x", "x5t": JKT, "JKT": JKT } }), E::Confirmation),
        ("another key beside a thumbprint", json!({ "cnf": { "jkt": JKT, "jwk": {} } }), E::Confirmation),
        ("an encrypted one", json!({ "cnf": { "jkt": JKT, "jwe": "a.b.c.d.e" } }), E::Confirmation),
        ("one elsewhere", json!({ "cnf": { "x5t#S256": JKT, "jku": "https://id.test" } }), E::Confirmation),
        (
            "of whatever type",
            json!({ "cnf": { "jkt": JKT, "x5t#S256": JKT, "jku": false } }),
            E::Confirmation,
        ),
        ("a kid does not excuse a bad jkt", json!({ "cnf": { "jkt": "abc", "kid": "x" } }), E::Confirmation),
        ("nor does a certificate", json!({ "cnf": { "jkt": [JKT], "x5t#S256": JKT } }), E::Confirmation),
        ("an empty jkt", json!({ "cnf": { "jkt": "" } }), E::Confirmation),
        ("jkt is no string", json!({ "cnf": { "jkt": 1 } }), E::Confirmation),
        ("jkt is no thumbprint", json!({ "cnf": { "jkt": "abc" } }), E::Confirmation),
        ("jkt with padding", json!({ "cnf": { "jkt": format!("{JKT}=") } }), E::Confirmation),
        (
            "a thumbprint URN (RFC 9278)",
            json!({ "cnf": { "jkt": format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{JKT}") } }),
            E::Confirmation,
        ),
        ("a digest of another size", json!({ "cnf": { "x5t#S256": "AAAA" } }), E::Confirmation),
        ("a good jkt does not excuse it", json!({ "cnf": { "jkt": JKT, "x5t#S256": 1 } }), E::Confirmation),
    ]
}

/// Rows that a patch of good claims cannot say.
fn refused_tokens() -> Vec<(&'static str, String, TokenError)> {
    use TokenError as E;
    let good = sign(&json!({}), &json!({}));
    let segment = |n: usize| good.split('.').nth(n).unwrap().to_owned();
    let embedded: Value = serde_json::from_str(&OTHER_KEY.public_jwk()).unwrap();
    vec![
        ("longer than is read", "a".repeat(MAX_TOKEN + 1), E::TooLong),
        ("many dots, which cost parsers their memory (CVE-2025-30204)", ".".repeat(MAX_TOKEN), E::Malformed),
        ("opaque", "d2hhdCBpcyB0aGlz".to_owned(), E::Malformed),
        ("nothing", String::new(), E::Malformed),
        ("a JWE has five segments; decrypted is not trusted", format!("{good}.AAAA.AAAA"), E::Malformed),
        ("no signature (RFC 9068 section 4)", format!("{}.{}.", segment(0), segment(1)), E::Malformed),
        ("padding", format!("{good}="), E::Malformed),
        ("a line break", format!("{good}\n"), E::Malformed),
        ("claims are no JSON", KEY.sign(&header(&json!({})), "iss=main"), E::Malformed),
        ("an array, which serde takes for a struct", KEY.sign(&header(&json!({})), "[]"), E::Malformed),
        (
            "two scopes, of which the last won (RFC 7519 section 4)",
            KEY.sign(&header(&json!({})), &claims(&json!({})).replacen('{', r#"{"scope":"admin","#, 1)),
            E::Malformed,
        ),
        (
            "two algs (RFC 7515 section 4)",
            KEY.sign(&header(&json!({})).replacen('{', r#"{"alg":"none","#, 1), &claims(&json!({}))),
            E::Malformed,
        ),
        ("signed with another key", OTHER_KEY.sign(&header(&json!({})), &claims(&json!({}))), E::Signature),
        (
            "the key in the header was trusted (CVE-2018-0114)",
            OTHER_KEY.sign(&header(&json!({ "jwk": embedded })), &claims(&json!({}))),
            E::Signature,
        ),
        (
            "without kid a wrong signature may mean a new key",
            OTHER_KEY.sign(&header(&json!({ "kid": ABSENT })), &claims(&json!({}))),
            E::UnknownKey(MAIN),
        ),
        (
            "the signature of another token",
            format!("{}.{}.{}", segment(0), encode(claims(&json!({ "sub": "eve" })).as_bytes()), segment(2)),
            E::Signature,
        ),
    ]
}

/// What Okta, Entra and Keycloak put where.
#[test]
fn client_and_scope_are_where_the_issuer_puts_them() {
    let names = |client_id: &[&str], scope: &[&str]| ClaimNames {
        client_id: client_id.iter().map(ToString::to_string).collect(),
        scope: scope.iter().map(ToString::to_string).collect(),
    };
    let wide = names(&["client_id", "cid", "azp"], &["scope", "scp"]);
    let okta = json!({ "client_id": ABSENT, "cid": "0oa", "scope": ABSENT, "scp": ["read", "write"] });
    let entra = json!({ "client_id": null, "azp": "6e74", "scope": null, "scp": "read write" });
    type Found = Option<&'static str>;
    let rows: Vec<(&str, ClaimNames, Value, Found, Found)> = vec![
        ("as RFC 9068 has it", wide.clone(), json!({}), Some("app"), Some("read write")),
        ("Okta", wide.clone(), okta.clone(), Some("0oa"), Some("read write")),
        ("Entra", wide.clone(), entra, Some("6e74"), Some("read write")),
        (
            "the first that is there",
            wide.clone(),
            json!({ "cid": "0oa", "scp": ["admin"] }),
            Some("app"),
            Some("read write"),
        ),
        ("a list of one", wide.clone(), json!({ "scope": ["read"] }), Some("app"), Some("read")),
        ("a list of none", wide.clone(), json!({ "scope": [], "scp": ["admin"] }), Some("app"), Some("")),
        (
            "another order",
            names(&["azp", "client_id"], &["scp", "scope"]),
            json!({ "azp": "first", "scp": "one" }),
            Some("first"),
            Some("one"),
        ),
        (
            "what stands under the usual name means nothing where others are named",
            names(&["cid"], &["scp"]),
            json!({ "cid": "0oa" }),
            Some("0oa"),
            None,
        ),
        (
            "a path, and a name with dots",
            names(&["client.id"], &["https://id.test/scope"]),
            json!({ "client": { "id": "inner" }, "https://id.test/scope": ["a", "b"] }),
            Some("inner"),
            Some("a b"),
        ),
    ];
    for (story, claims, patch, client_id, scope) in rows {
        let rules = IssuerRules { claims, ..rules("main", &["at+jwt"]) };
        let issuers = Issuers::new(vec![rules]);
        issuers.issuer(MAIN).unwrap().publish(key_set(&[("k1", &KEY)]));
        let token = verify(&issuers, &sign(&json!({}), &patch)).unwrap();
        let claim = |name| token.claim(name).and_then(json::Value::as_str);
        assert_eq!((token.client_id(), claim("client_id")), (client_id, client_id), "{story}");
        assert_eq!(claim("scope"), scope, "{story}");
        for word in ["read", "write", "admin", "one", "a", "b"] {
            let has = scope.is_some_and(|scope| scope.split(' ').any(|one| one == word));
            assert_eq!(token.has_scope(word), has, "{story}: {word}");
        }
    }
    let strict = Issuers::new(vec![rules("main", &["at+jwt"])]);
    strict.issuer(MAIN).unwrap().publish(key_set(&[("k1", &KEY)]));
    let missing = verify(&strict, &sign(&json!({}), &okta)).map(|_| ());
    assert_eq!(missing, Err(TokenError::ClaimMissing(Claim::ClientId)), "nobody said where Okta puts it");
}

/// A claim that is looked for has its type, or the token is refused: nothing further down the list takes its place.
#[test]
fn a_mapped_claim_of_the_wrong_type_is_not_passed_over() {
    let claims = ClaimNames {
        client_id: vec!["cid".to_owned(), "client_id".to_owned()],
        scope: vec!["scp".to_owned(), "scope".to_owned()],
    };
    let issuers = Issuers::new(vec![IssuerRules { claims, ..rules("main", &["at+jwt"]) }]);
    issuers.issuer(MAIN).unwrap().publish(key_set(&[("k1", &KEY)]));
    for (patch, error) in [
        (json!({ "cid": 7 }), TokenError::ClaimType(Claim::ClientId)),
        (json!({ "cid": "" }), TokenError::ClaimMissing(Claim::ClientId)),
        (json!({ "cid": null, "client_id": null }), TokenError::ClaimMissing(Claim::ClientId)),
        (json!({ "scp": 7 }), TokenError::ClaimType(Claim::Scope)),
        (json!({ "scp": [["read"]] }), TokenError::ClaimType(Claim::Scope)),
    ] {
        assert_eq!(verify(&issuers, &sign(&json!({}), &patch)).map(|_| ()), Err(error), "{patch}");
    }
    assert!(verify(&issuers, &sign(&json!({}), &json!({ "cid": null, "scp": null }))).is_ok());
}

#[test]
fn required_claims_are_those_of_the_configuration_where_it_names_them() {
    let bare = json!({ "sub": ABSENT, "client_id": ABSENT, "jti": ABSENT, "iat": ABSENT });
    let verified = |listed: &[&str], typ: &str, patch: &Value| {
        let listed = Some(listed.iter().map(ToString::to_string).collect());
        let claims =
            ClaimNames { client_id: vec!["client_id".to_owned(), "cid".to_owned()], ..ClaimNames::default() };
        let rules = IssuerRules { required_claims: listed, claims, ..rules("main", &["at+jwt", "JWT"]) };
        let issuers = Issuers::new(vec![rules]);
        issuers.issuer(MAIN).unwrap().publish(key_set(&[("k1", &KEY)]));
        match verify(&issuers, &sign(&json!({ "typ": typ }), patch)) {
            Ok(_) => Ok(()),
            Err(TokenError::ClaimMissing(claim)) => Err(issuers.claim_name(claim).to_owned()),
            Err(error) => panic!("{error}"),
        }
    };
    for typ in ["at+jwt", "JWT"] {
        assert_eq!(verified(&["iss", "exp", "aud"], typ, &bare), Ok(()));
        assert_eq!(verified(&[], typ, &bare), Ok(()));
        for always in ["iss", "exp", "aud"] {
            assert_eq!(verified(&[], typ, &json!({ always: ABSENT })), Err(always.to_owned()));
        }
        for name in ["sub", "client_id", "jti", "iat", "scope", "nbf", "acr", "act.sub", "cnf.jkt"] {
            let patch = json!({ "sub": null, "client_id": null, "jti": null, "iat": null, "scope": null, "cnf": null });
            assert_eq!(verified(&["exp", name], typ, &patch), Err(name.to_owned()));
        }
        assert_eq!(verified(&["client_id"], typ, &json!({ "client_id": ABSENT, "cid": "0oa" })), Ok(()));
        assert_eq!(verified(&["cnf.jkt", "act.sub"], typ, &json!({ "act": { "sub": "a" } })), Ok(()));
        assert_eq!(verified(&["act"], typ, &json!({ "act": "" })), Err("act".to_owned()), "it says nothing");
    }
}

/// Keys belong to the issuer that `iss` names (RFC 8725 section 3.8): another issuer's good key is nobody's here.
#[test]
fn one_issuers_key_signs_nothing_for_another() {
    let issuers = issuers();
    issuers.issuer(LEGACY).unwrap().publish(key_set(&[("k1", &OTHER_KEY)]));
    let token = OTHER_KEY.sign(&header(&json!({})), &claims(&json!({ "iss": "https://legacy.test" })));
    assert!(verify(&issuers, &token).is_ok());
    let token = OTHER_KEY.sign(&header(&json!({})), &claims(&json!({})));
    assert_eq!(verify(&issuers, &token).map(|_| ()), Err(TokenError::Signature));
}

#[test]
fn another_hand_signs_what_we_verify() {
    let pems = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, jsonwebtoken::Algorithm::ES256, Algorithm::Es256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, jsonwebtoken::Algorithm::ES384, Algorithm::Es384),
        (&rcgen::PKCS_ED25519, jsonwebtoken::Algorithm::EdDSA, Algorithm::EdDsa),
    ];
    for (kind, theirs, ours) in pems {
        let pem = rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem();
        let issuers =
            Issuers::new(vec![IssuerRules { algorithms: vec![ours], ..rules("main", &["at+jwt"]) }]);
        issuers.issuer(MAIN).unwrap().publish(key_set(&[("k1", &PrivateKey::read(&pem).unwrap())]));
        let key = if ours == Algorithm::EdDsa {
            jsonwebtoken::EncodingKey::from_ed_pem(pem.as_bytes())
        } else {
            jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes())
        };
        let mut header = jsonwebtoken::Header::new(theirs);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some("k1".to_owned());
        let claims: Value = serde_json::from_str(&claims(&json!({}))).unwrap();
        let token = jsonwebtoken::encode(&header, &claims, &key.unwrap()).unwrap();
        assert_eq!(verify(&issuers, &token).unwrap().sub(), Some("alice"), "{ours:?}");
    }
}

#[test]
fn a_token_seen_before_is_the_same_token() {
    let issuers = issuers();
    let token = sign(&json!({}), &json!({}));
    let first = verify(&issuers, &token).unwrap();
    assert!(Arc::ptr_eq(&first, &verify(&issuers, &token).unwrap()));
}

/// liboauth2 answered from its cache after `exp` (CWE-613).
#[test]
fn time_is_asked_at_every_hit() {
    let issuers = issuers();
    let token = sign(&json!({}), &json!({ "nbf": NOW, "exp": NOW + 300 }));
    let at = |now: i64| verify_at(&issuers, &token, now).map(|_| ());
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW + 309), Ok(()), "within the leeway");
    assert_eq!(at(NOW - 11), Err(TokenError::NotYetValid), "the clock went back");
    assert_eq!(at(NOW + 310), Err(TokenError::Expired));
    assert_eq!(at(NOW + 310), Err(TokenError::Expired), "forgotten, not forgiven");
}

#[test]
fn keys_are_asked_at_every_hit() {
    let issuers = issuers();
    let token = sign(&json!({}), &json!({}));
    let main = issuers.issuer(MAIN).unwrap();
    let first = verify(&issuers, &token).unwrap();
    main.publish(key_set(&[("k1", &KEY), ("k2", &OTHER_KEY)]));
    let second = verify(&issuers, &token).unwrap();
    assert!(!Arc::ptr_eq(&first, &second), "verified again");
    assert!(Arc::ptr_eq(&second, &verify(&issuers, &token).unwrap()), "and kept");
    main.publish(key_set(&[("k2", &OTHER_KEY)]));
    assert_eq!(verify(&issuers, &token).map(|_| ()), Err(TokenError::UnknownKey(MAIN)), "a removed key");
    main.publish(key_set(&[("k1", &OTHER_KEY)]));
    assert_eq!(verify(&issuers, &token).map(|_| ()), Err(TokenError::Signature), "a kid used again");
    main.slot().withdraw();
    assert_eq!(verify(&issuers, &token).map(|_| ()), Err(TokenError::KeysUnavailable(MAIN)));
    main.publish(key_set(&[("k1", &KEY)]));
    assert!(verify(&issuers, &token).is_ok());
}

/// A signature check costs us more than the sender: without `kid` four keys are tried, no more.
#[test]
fn few_keys_are_tried() {
    let spare: Vec<_> = (0..4).map(|_| PrivateKey::generate(Algorithm::Es256).unwrap()).collect();
    let token = sign(&json!({ "kid": ABSENT }), &json!({}));
    let issuers = issuers();
    let with = |before: usize| {
        let mut keys: Vec<_> = spare.iter().take(before).map(|key| ("", key)).collect();
        keys.push(("k1", &KEY));
        issuers.issuer(MAIN).unwrap().publish(key_set(&keys));
        verify(&issuers, &token).map(|_| ())
    };
    assert_eq!(with(3), Ok(()));
    assert_eq!(with(4), Err(TokenError::UnknownKey(MAIN)));
}

/// `kid` is a hint (RFC 7515 section 4.1.4): issuers with one key often publish it without a name.
#[test]
fn a_key_without_a_name_may_be_anybodys() {
    let issuers = issuers();
    issuers.issuer(MAIN).unwrap().publish(key_set(&[("", &KEY)]));
    assert!(verify(&issuers, &sign(&json!({}), &json!({}))).is_ok());
    let forged = OTHER_KEY.sign(&header(&json!({})), &claims(&json!({})));
    assert_eq!(
        verify(&issuers, &forged).map(|_| ()),
        Err(TokenError::UnknownKey(MAIN)),
        "it may be a new key's"
    );
}

/// FAPI 5.4.3: two keys may share a `kid` if they are of different kinds.
#[test]
fn a_kid_that_two_keys_share_is_told_apart_by_algorithm() {
    let ed = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    let issuers = issuers();
    issuers.issuer(MAIN).unwrap().publish(key_set(&[("k1", &ed), ("k1", &KEY)]));
    assert!(verify(&issuers, &sign(&json!({}), &json!({}))).is_ok());
    let token = ed.sign(&header(&json!({ "alg": "EdDSA" })), &claims(&json!({})));
    assert!(verify(&issuers, &token).is_ok());
}

/// Sets as they are found: a key twice, two of one kind under one name (RFC 7517 section 4.5 only asks for distinct ones), a certificate of
/// another key beside it, and members that say nothing here.
#[test]
fn what_else_stands_in_a_set_decides_nothing() {
    let issuers = issuers();
    let main = issuers.issuer(MAIN).unwrap();
    let key = |private: &PrivateKey, more: Value| {
        let mut jwk: Value = serde_json::from_str(&private.public_jwk()).unwrap();
        jwk["kid"] = json!("k1");
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    };
    let of_another = json!({ "x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA", "x5u": "https://evil.test/x", "exp": 1, "nbf": 1, "iss": "x" });
    for (story, keys) in [
        ("twice", vec![key(&KEY, json!({})), key(&KEY, json!({}))]),
        ("another first", vec![key(&OTHER_KEY, json!({})), key(&KEY, json!({}))]),
        ("another last", vec![key(&KEY, json!({})), key(&OTHER_KEY, json!({}))]),
        ("a certificate of another key", vec![key(&KEY, of_another)]),
        ("no alg, no use", vec![key(&KEY, json!({ "alg": null, "use": null }))]),
        ("everything", vec![key(&KEY, json!({ "alg": "ES256", "use": "sig", "key_ops": ["verify"] }))]),
    ] {
        let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        assert!(set.left_out().is_empty(), "{story}");
        main.publish(set);
        assert!(verify(&issuers, &sign(&json!({}), &json!({}))).is_ok(), "{story}");
        let forged =
            PrivateKey::generate(Algorithm::Es256).unwrap().sign(&header(&json!({})), &claims(&json!({})));
        assert_eq!(verify(&issuers, &forged).map(|_| ()), Err(TokenError::Signature), "{story}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_byte_changed_is_a_refusal(place in any::<proptest::sample::Index>(), byte in 0_u8..128) {
        static GOOD: LazyLock<(Issuers, String)> = LazyLock::new(|| (issuers(), sign(&json!({}), &json!({}))));
        let (issuers, good) = &*GOOD;
        let mut bytes = good.clone().into_bytes();
        let place = place.index(bytes.len());
        let changed = bytes[place] != byte;
        bytes[place] = byte;
        let token = String::from_utf8(bytes).unwrap();
        prop_assert!(verify(issuers, &token).is_err() == changed);
    }

    #[test]
    fn any_claims_are_answered(
        payload in "\\{(\"(iss|aud|exp|nbf|iat|sub|cnf|scope)\":(\"https://main.test\"|-?[0-9]{1,22}|null|\\{\\}|\\[\\]),?){0,6}\\}"
    ) {
        let issuers = issuers();
        let result = verify(&issuers, &KEY.sign(&header(&json!({})), &payload));
        prop_assert!(result.is_err());
    }
}
