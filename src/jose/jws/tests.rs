use super::*;
use crate::jose::{PrivateKey, encode};
use proptest::prelude::*;

/// RFC 9449 section 4.1.
const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

/// RFC 8037 appendix A.4.
const ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn key(jwk: &str) -> PublicKey {
    PublicKey::from_jwk(&json::Object::parse(jwk.as_bytes(), json::Limits::SMALL).unwrap()).unwrap()
}

#[test]
fn the_proof_of_rfc_9449_verifies() {
    let jws = CompactJws::split(PROOF).unwrap();
    let header = JoseHeader::of_proof(jws.header_segment).unwrap();
    assert_eq!((header.alg.as_deref(), header.typ.as_deref()), (Some("ES256"), Some("dpop+jwt")));
    let key = header.jwk.unwrap();
    assert_eq!(key.thumbprint().to_string(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(jws.verify(Algorithm::Es256, &key), Ok(()));
    assert!(jws.payload.starts_with(br#"{"jti":"-BwC3ESc6acc2lTc""#));
}

#[test]
fn the_ed25519_example_of_rfc_8037_verifies() {
    let key = key(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#);
    let jws = CompactJws::split(ED25519).unwrap();
    assert_eq!(jws.payload, b"Example of Ed25519 signing");
    assert_eq!(jws.verify(Algorithm::EdDsa, &key), Ok(()));
}

#[test]
fn a_compact_jws_is_three_canonical_segments() {
    let many = ".".repeat(100_000);
    let huge = format!("{}.AA.AA", "A".repeat(MAX_TEXT));
    let long = format!("AA.AA.{}", encode(&[0; MAX_SIGNATURE + 1]));
    for text in [
        "",
        ".",
        "..",
        "...",
        "AA",
        "AA.AA",
        "AA.AA.",
        "AA..AA",
        ".AA.AA",
        "AA.AA.AA.AA",
        "AA.AA.AA.AA.AA",
        "AA.AA.AA.",
        ".AA.AA.AA",
        "AA=.AA.AA",
        "AA.AA==.AA",
        "AA.AA.AA==",
        "AB.AA.AA",
        "AA.AB.AA",
        "AA.AA.AB",
        "A.AA.AA",
        "AA.AA. AA",
        " AA.AA.AA",
        "AA.AA.AA\n",
        "AA.A+8.AA",
        "AA.AA,AA",
        "{\"payload\":\"AA\"}",
        &many,
        &huge,
        &long,
    ] {
        assert_eq!(CompactJws::split(text).unwrap_err(), JwsError, "{:.40}", text);
    }
    let longest = format!("AA.AA.{}", encode(&[0; MAX_SIGNATURE]));
    assert_eq!(CompactJws::split(&longest).unwrap().signature.len(), MAX_SIGNATURE);
    let jws = CompactJws::split("e30.AA.-_8").unwrap();
    assert_eq!((jws.header_segment, jws.signing_input), ("e30", "e30.AA"));
    assert_eq!((jws.payload, jws.signature), (vec![0], vec![0xfb, 0xff]));
}

#[test]
fn a_signature_has_its_exact_length_and_its_own_algorithm() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let private = PrivateKey::generate(algorithm).unwrap();
        let text = private.sign("{}", "{}");
        let jws = || CompactJws::split(&text).unwrap();
        assert_eq!(jws().verify(algorithm, private.public()), Ok(()));
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            assert_eq!(jws().verify(other, private.public()), Err(BadSignature), "{algorithm:?} {other:?}");
        }
        let signature = jws().signature;
        let mut padded = vec![0];
        padded.extend(&signature);
        let (short, long) = (signature[1..].to_vec(), [&signature[..], &[0]].concat());
        // Psychic signatures (CVE-2022-21449), and what they look like in DER.
        let zero = vec![0; signature.len()];
        for other in [vec![], short, long, padded, zero, vec![0x30, 6, 2, 1, 0, 2, 1, 0]] {
            let forged = CompactJws { signature: other, ..jws() };
            assert_eq!(forged.verify(algorithm, private.public()), Err(BadSignature));
        }
    }
}

#[test]
fn headers_are_refused_for_a_reason() {
    let private = PrivateKey::generate(Algorithm::Es256).unwrap();
    let with_jwk = |jwk: &str| format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#);
    let (public, secret) = (with_jwk(&private.public_jwk()), with_jwk(&private.private_jwk()));
    use json::JsonError::{Duplicate, Syntax, TooDeep, TooMany};
    let many = format!(r#"{{"x":[{}]}}"#, vec!["0"; 1024].join(","));
    let cases = [
        ("[]", Err(HeaderError::Json(Syntax))),
        ("{\"alg\":\"\u{1}\"}", Err(HeaderError::Json(Syntax))),
        (r#"{"alg":"ES256","alg":"none"}"#, Err(HeaderError::Json(Duplicate))),
        (r#"{"x":[[[[[[[[]]]]]]]]}"#, Err(HeaderError::Json(TooDeep))),
        (&many, Err(HeaderError::Json(TooMany))),
        (r#"{"crit":["exp"]}"#, Err(HeaderError::Critical)),
        (r#"{"crit":[]}"#, Err(HeaderError::Critical)),
        (r#"{"crit":null}"#, Err(HeaderError::Critical)),
        (r#"{"b64":true}"#, Err(HeaderError::Critical)),
        (r#"{"b64":null}"#, Ok(())),
        (r#"{"alg":7}"#, Err(HeaderError::Type)),
        (r#"{"alg":null,"typ":null,"kid":null,"jwk":null}"#, Ok(())),
        (r#"{"typ":[]}"#, Err(HeaderError::Type)),
        (r#"{"kid":1}"#, Err(HeaderError::Type)),
        (r#"{"jwk":"key"}"#, Err(HeaderError::Type)),
        (r#"{"jwk":{}}"#, Err(HeaderError::Jwk(JwkError::Kind))),
        (&secret, Err(HeaderError::Jwk(JwkError::Private))),
        (&public, Ok(())),
        ("{}", Ok(())),
        (r#"{"alg":"none","jku":"https://x","x5c":[1],"more":{"a":1.5}}"#, Ok(())),
    ];
    for (header, expected) in cases {
        assert_eq!(JoseHeader::of_proof(&encode(header.as_bytes())).map(|_| ()), expected, "{header}");
    }
    assert_eq!(JoseHeader::of_proof("e30=").unwrap_err(), HeaderError::Json(Syntax));
    let unread = JoseHeader::of_token(&encode(secret.as_bytes())).unwrap();
    assert!(unread.jwk.is_none(), "nobody asked for it");
}

#[test]
fn one_changed_character_breaks_a_token() {
    let key = JoseHeader::of_proof(CompactJws::split(PROOF).unwrap().header_segment).unwrap().jwk.unwrap();
    for (position, byte) in PROOF.bytes().enumerate() {
        for other in
            ["A", "B", "z", "9", "_", "-", ".", "="].into_iter().filter(|other| other.as_bytes() != [byte])
        {
            let mut text = PROOF.to_owned();
            text.replace_range(position..=position, other);
            let verified =
                CompactJws::split(&text).is_ok_and(|jws| jws.verify(Algorithm::Es256, &key).is_ok());
            assert!(!verified, "{other} at {position}");
        }
    }
}

proptest! {
    #[test]
    fn splitting_never_panics(text in r"([AEIMQUYcg]{2,4}\.){2,3}[AQgw_=.]{1,4}") {
        if let Ok(jws) = CompactJws::split(&text) {
            prop_assert_eq!(text.split('.').count(), 3);
            prop_assert_eq!(&text, &format!("{}.{}", jws.signing_input, encode(&jws.signature)));
        }
    }
}
