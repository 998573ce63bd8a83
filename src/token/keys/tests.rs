//! Key sets as issuers publish them, odd keys among good ones.

use super::*;
use crate::jose::{Algorithm, PrivateKey};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());
static OTHER: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());

/// A good key but for `patch`.
fn key(patch: &Value) -> Value {
    let mut jwk: Value = serde_json::from_str(&OTHER.public_jwk()).unwrap();
    jwk["kid"] = json!("odd");
    for (name, value) in patch.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn good() -> String {
    KEY.public_jwk().replace('}', r#","kid":"good"}"#)
}

fn rsa(bytes: usize) -> Value {
    let mut modulus = vec![0xd5; bytes];
    modulus[bytes - 1] = 1;
    json!({ "kty": "RSA", "kid": "odd", "n": crate::jose::encode(&modulus), "e": "AQAB" })
}

fn private() -> Value {
    serde_json::from_str(&OTHER.private_jwk().replace('}', r#","kid":"odd"}"#)).unwrap()
}

/// Every odd key there is, as text, with what is said of it.
fn odd_keys() -> Vec<(&'static str, String, &'static str)> {
    let leaked = "it is a private key and has leaked: whoever has read it can make tokens, so have the issuer replace it";
    let unsupported = "the key is of no supported kind";
    let invalid = "a member of the key is missing or not valid";
    let size = "the RSA key has fewer than 2048 or more than 4096 bits";
    let purpose = "by its alg, use or key_ops the key is not for verifying signatures that are accepted here";
    let symmetric = "it is a symmetric key, which must not be published and verifies nothing here";
    let deep = (0..9).fold(json!(1), |inner, _| json!([inner]));
    vec![
        ("a number", "1".to_owned(), "it is no JSON object"),
        ("a text", "\"key\"".to_owned(), "it is no JSON object"),
        ("null", "null".to_owned(), "it is no JSON object"),
        ("a list", "[]".to_owned(), "it is no JSON object"),
        ("a list of a key", json!([key(&json!({}))]).to_string(), "it is no JSON object"),
        ("an empty object", "{}".to_owned(), unsupported),
        (
            "a member twice",
            key(&json!({})).to_string().replace('}', r#","x":"AA"}"#),
            "it has a member twice",
        ),
        (
            "inside a member",
            key(&json!({})).to_string().replace('}', r#","more":{"a":1,"a":1}}"#),
            "it has a member twice",
        ),
        (
            "a number out of range",
            key(&json!({})).to_string().replace('}', r#","n":1e999}"#),
            "it has a value that cannot be read",
        ),
        (
            "too deep",
            key(&json!({ "x5c": deep })).to_string(),
            "it has too many levels of objects and arrays",
        ),
        (
            "too many members",
            key(&json!({ "x5c": vec![0; 1024] })).to_string(),
            "it has too many members and array items",
        ),
        ("kid a number", key(&json!({ "kid": 7 })).to_string(), "its kid is no text"),
        ("kid a list", key(&json!({ "kid": ["odd"] })).to_string(), "its kid is no text"),
        ("kid false", key(&json!({ "kid": false })).to_string(), "its kid is no text"),
        ("a private key", private().to_string(), leaked),
        ("a member of one", key(&json!({ "d": "AAAA" })).to_string(), leaked),
        ("of any type", key(&json!({ "dp": false })).to_string(), leaked),
        ("its kid does not hide it", key(&json!({ "d": "AAAA", "kid": 7 })).to_string(), leaked),
        ("nor does its use", key(&json!({ "d": "AAAA", "use": "enc" })).to_string(), leaked),
        ("symmetric", json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "odd" }).to_string(), symmetric),
        (
            "of an unknown kind",
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "odd" }).to_string(),
            unsupported,
        ),
        ("kty of another type", key(&json!({ "kty": 7 })).to_string(), unsupported),
        ("kty null", key(&json!({ "kty": null })).to_string(), unsupported),
        ("an unknown curve", key(&json!({ "crv": "P-521" })).to_string(), unsupported),
        ("RSA of 1024 bits", rsa(128).to_string(), size),
        ("RSA of 8192 bits", rsa(1024).to_string(), size),
        ("no coordinate", key(&json!({ "x": null })).to_string(), invalid),
        ("a short coordinate", key(&json!({ "x": "AAAA" })).to_string(), invalid),
        (
            "not on the curve",
            key(&json!({ "x": crate::jose::encode(&[1; 32]) })).to_string(),
            "the key is not a valid point on its curve",
        ),
        ("for encryption", key(&json!({ "use": "enc" })).to_string(), purpose),
        ("for signing only", key(&json!({ "key_ops": ["sign"] })).to_string(), purpose),
        ("for an algorithm of another kind", key(&json!({ "alg": "RS256" })).to_string(), purpose),
        ("for one that is unknown", key(&json!({ "alg": "ES256K" })).to_string(), purpose),
    ]
}

#[test]
fn an_odd_key_costs_only_itself() {
    for (story, odd, reason) in odd_keys() {
        let named = odd.contains(r#""kid":"odd""#) && !odd.starts_with('[') && !odd.contains("1e999");
        let name = if named { " (kid \"odd\")" } else { "" };
        for (document, place) in [
            (format!(r#"{{"keys":[{odd},{}]}}"#, good()), 1),
            (format!(r#"{{"keys":[{},{odd}]}}"#, good()), 2),
        ] {
            let set = KeySet::parse(document.as_bytes()).unwrap();
            let told: Vec<_> = set.left_out().iter().map(ToString::to_string).collect();
            assert_eq!(told, [format!("key {place}{name} is not used: {reason}")], "{story}");
            assert_eq!(set.named(Some("good"), Algorithm::Es256).count(), 1, "{story}");
            assert_eq!((set.len(), set.named(Some("odd"), Algorithm::Es256).count()), (1, 0), "{story}");
        }
        let alone = KeySet::parse(format!(r#"{{"keys":[{odd}]}}"#).as_bytes()).unwrap_err();
        assert_eq!(
            alone.to_string(),
            format!("no usable signature key in it: key 1{name} is not used: {reason}"),
            "{story}"
        );
    }
}

#[test]
fn all_odd_keys_together_cost_only_themselves() {
    let odd: Vec<_> = odd_keys().into_iter().map(|(_, odd, _)| odd).collect();
    let document = format!(r#"{{"keys":[{},{},{}]}}"#, odd.join(","), good(), odd[..20].join(","));
    let set = KeySet::parse(document.as_bytes()).unwrap();
    assert_eq!((set.len(), set.left_out().len()), (1, odd.len() + 20));
}

/// A .NET issuer writes every member of its class.
#[test]
fn a_member_of_a_key_that_is_null_is_absent() {
    let nulls = json!({
        "alg": null, "use": null, "key_ops": null, "x5c": null, "x5t": null, "x5t#S256": null, "x5u": null, "d": null, "p": null,
        "q": null, "dp": null, "dq": null, "qi": null, "oth": null, "k": null, "n": null, "e": null, "kid": null,
    });
    let document = json!({ "keys": [key(&nulls)] }).to_string();
    let set = KeySet::parse(document.as_bytes()).unwrap();
    assert!(set.left_out().is_empty());
    assert_eq!(set.nameless(Algorithm::Es256).count(), 1, "kid null: it has no name");
}

#[test]
fn only_what_is_no_key_set_at_all_is_an_error_of_the_whole() {
    use KeySetError as E;
    let key = good();
    let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let rows: Vec<(&str, String, Result<usize, E>)> = vec![
        ("one key", set(&[&key]), Ok(1)),
        (
            "other members are ignored",
            format!(r#"{{"keys":[{key}],"issuer":"x","n":1e999,"o":{{"a":1,"a":2}}}}"#),
            Ok(1),
        ),
        ("a byte order mark too", format!("\u{feff}{}", set(&[&key])), Ok(1)),
        ("64 keys", set(&[key.as_str(); 64]), Ok(64)),
        ("65 keys", set(&[key.as_str(); 65]), Err(E::TooMany)),
        ("65 of which one is odd", set(&[&[key.as_str(); 64][..], &["1"]].concat()), Err(E::TooMany)),
        ("empty", set(&[]), Err(E::Empty)),
        ("a page", "<!doctype html>".to_owned(), Err(E::Format)),
        ("nothing", String::new(), Err(E::Format)),
        ("no keys", "{}".to_owned(), Err(E::Format)),
        ("keys is no array", r#"{"keys":{}}"#.to_owned(), Err(E::Format)),
        ("keys is null", r#"{"keys":null}"#.to_owned(), Err(E::Format)),
        ("a bare array", format!("[{key}]"), Err(E::Format)),
        ("a bare key", key.clone(), Err(E::Format)),
        ("keys twice", format!(r#"{{"keys":[],"keys":[{key}]}}"#), Err(E::Format)),
        ("keys twice, once in disguise", format!(r#"{{"keys":[{key}],"k\u0065ys":[]}}"#), Err(E::Format)),
        ("another member twice", format!(r#"{{"keys":[{key}],"a":1,"a":1}}"#), Err(E::Format)),
        ("it breaks off", format!(r#"{{"keys":[{key}"#), Err(E::Format)),
        ("it breaks off inside a key", format!(r#"{{"keys":[{key},{{"kty":"#), Err(E::Format)),
        ("something follows", format!("{} x", set(&[&key])), Err(E::Format)),
        ("longer than is read", format!("{}{}", set(&[&key]), " ".repeat(MAX_DOCUMENT)), Err(E::TooLarge)),
    ];
    for (story, document, expected) in rows {
        assert_eq!(KeySet::parse(document.as_bytes()).map(|keys| keys.len()), expected, "{story}");
    }
}

#[test]
fn a_kid_is_shown_cut_and_without_what_a_terminal_obeys() {
    let kid = format!("\u{1b}[31m\n\"{}", "x".repeat(100));
    let document = json!({ "keys": [key(&json!({ "kid": kid, "use": "enc" }))] }).to_string();
    let error = KeySet::parse(document.as_bytes()).unwrap_err().to_string();
    assert!(error.contains(r#"(kid "\u{1b}[31m\n\"xxx"#) && error.contains("x…\")"), "{error}");
    assert!(error.len() < 300 && !error.contains(char::is_control), "{error}");
}

proptest! {
    /// Whatever is in the list, a good key beside it serves.
    #[test]
    fn nothing_in_the_list_costs_the_good_key(
        odd in r#"(1|null|"[a-z]{0,4}"|\{("(kid|kty|d|k|x|use|alg)":("odd"|"oct"|"EC"|1|null|\[\])){0,1}(,"(y|n|kid)":[0-9]){0,2}\}|\[\])"#
    ) {
        prop_assume!(serde_json::from_str::<Value>(&odd).is_ok());
        let set = KeySet::parse(format!(r#"{{"keys":[{odd},{},{odd}]}}"#, good()).as_bytes()).unwrap();
        prop_assert_eq!(set.named(Some("good"), Algorithm::Es256).count(), 1);
        prop_assert_eq!(set.left_out().len(), 2);
    }

    #[test]
    fn no_document_makes_it_panic(document in prop::collection::vec(any::<u8>(), 0..64)) {
        drop(KeySet::parse(&document));
    }
}
