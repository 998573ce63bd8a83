use super::*;

const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
const X: &str = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
const Y: &str = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";
const ED: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn read(text: &str) -> Result<PublicKey, JwkError> {
    PublicKey::from_jwk(&json::Object::parse(text.as_bytes(), json::Limits::SMALL).unwrap())
}

fn ec(more: &str) -> String {
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"{more}}}"#)
}

fn okp(x: &str) -> String {
    format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
}

fn rsa(n: &str, e: &str, more: &str) -> String {
    format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"{more}}}"#)
}

#[test]
fn thumbprints_of_the_rfcs() {
    let cases = [
        // RFC 7638 section 3.1.
        (
            rsa(N, "AQAB", r#","alg":"RS256","kid":"2011-04-29""#),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        // RFC 8037 appendix A.3.
        (okp(ED), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        // RFC 9449 section 6.1.
        (ec(""), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        (ec(r#","kid":7,"x5c":[{}],"ext":true"#), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
    ];
    for (jwk, thumbprint) in cases {
        assert_eq!(read(&jwk).unwrap().thumbprint().to_string(), thumbprint, "{jwk}");
    }
}

#[test]
fn kinds_there_are_not() {
    for jwk in [
        "{}".to_owned(),
        format!(r#"{{"crv":"P-256","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":"ec","crv":"P-256","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":7,"crv":"P-256","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":"EC","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":"EC","crv":"P-521","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":"EC","crv":"secp256k1","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":"EC","crv":"Ed25519","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"P-256","x":"{X}","y":"{Y}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"Ed448","x":"{X}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"X25519","x":"{ED}"}}"#),
    ] {
        assert_eq!(read(&jwk).unwrap_err(), JwkError::Kind, "{jwk}");
    }
}

#[test]
fn private_and_symmetric_keys_are_refused_whatever_the_member_holds() {
    for name in PRIVATE_MEMBERS {
        for value in ["\"\"", "0", "false", "[]", "{}", "\"AA\""] {
            for jwk in
                [ec(&format!(r#","{name}":{value}"#)), rsa(N, "AQAB", &format!(r#","{name}":{value}"#))]
            {
                assert_eq!(read(&jwk).unwrap_err(), JwkError::Private, "{jwk}");
            }
        }
    }
    assert_eq!(read(r#"{"kty":"oct"}"#).unwrap_err(), JwkError::Private);
    assert_eq!(read(r#"{"kty":"oct","k":"AA"}"#).unwrap_err(), JwkError::Private);
    assert_eq!(read(&ec(r#","\u0064":1"#)).unwrap_err(), JwkError::Private, "an escape hides no name");
}

#[test]
fn a_member_that_is_null_is_absent() {
    let nulls = |names: &[&str]| names.iter().map(|name| format!(r#","{name}":null"#)).collect::<String>();
    let all = nulls(&[&PRIVATE_MEMBERS[..], &["kid", "use", "alg", "key_ops", "x5c", "x5t#S256"]].concat());
    let thumbprint = |jwk: &str| read(jwk).unwrap().thumbprint();
    assert_eq!(thumbprint(&ec(&all)), thumbprint(&ec("")));
    assert_eq!(thumbprint(&rsa(N, "AQAB", &all)), thumbprint(&rsa(N, "AQAB", "")));
    assert_eq!(thumbprint(&okp(ED).replace('}', &format!("{all}}}"))), thumbprint(&okp(ED)));
    assert_eq!(
        thumbprint(&rsa(N, "AQAB", r#","crv":null,"x":null,"y":null"#)),
        thumbprint(&rsa(N, "AQAB", ""))
    );
    for (jwk, error) in [
        (r#"{"kty":null,"d":null}"#.to_owned(), JwkError::Kind),
        (format!(r#"{{"kty":"EC","crv":null,"x":"{X}","y":"{Y}"}}"#), JwkError::Kind),
        (format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":null}}"#), JwkError::Invalid),
        (r#"{"kty":"RSA","n":null,"e":"AQAB"}"#.to_owned(), JwkError::Invalid),
        (ec(r#","key_ops":[null]"#), JwkError::Use),
        (ec(r#","d":[null]"#), JwkError::Private),
    ] {
        assert_eq!(read(&jwk).unwrap_err(), error, "{jwk}");
    }
}

#[test]
fn points_have_full_size_and_are_on_the_curve() {
    let short = &base64url::encode(&base64url::decode(X).unwrap()[1..]);
    let long = &base64url::encode(&[&[0], &base64url::decode(X).unwrap()[..]].concat());
    let padded = &format!("{X}=");
    let stray = &X.replace("BFs", "BFt");
    let (zero, ones) = (&base64url::encode(&[0; 32]), &base64url::encode(&[0xff; 32]));
    for (x, y, error) in [
        (short.as_str(), Y, JwkError::Invalid),
        (long, Y, JwkError::Invalid),
        (padded, Y, JwkError::Invalid),
        (stray, Y, JwkError::Invalid),
        ("", Y, JwkError::Invalid),
        (zero, zero, JwkError::Point),
        (ones, ones, JwkError::Point),
        (Y, X, JwkError::Point),
        (X, X, JwkError::Point),
    ] {
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
        assert_eq!(read(&jwk).unwrap_err(), error, "{jwk}");
    }
    assert_eq!(read(&okp(zero)).unwrap_err(), JwkError::Point);
    assert_eq!(read(&okp(ones)).unwrap_err(), JwkError::Point);
    for jwk in [
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}"}}"#),
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":7}}"#),
        format!(r#"{{"kty":"EC","crv":"P-384","x":"{X}","y":"{Y}"}}"#),
        r#"{"kty":"OKP","crv":"Ed25519"}"#.to_owned(),
        okp(&ED[1..]),
        okp(&base64url::encode(&[7; 31])),
        okp(&base64url::encode(&[7; 33])),
    ] {
        assert_eq!(read(&jwk).unwrap_err(), JwkError::Invalid, "{jwk}");
    }
}

#[test]
fn rsa_sizes_and_exponents() {
    let modulus = |length: usize, first: u8, last: u8| {
        let mut bytes = vec![0x55; length];
        bytes[0] = first;
        bytes[length - 1] = last;
        base64url::encode(&bytes)
    };
    let cases = [
        (modulus(256, 0x80, 1), &[1, 0, 1][..], Ok(())),
        (modulus(256, 0x7f, 1), &[1, 0, 1], Err(JwkError::Size)),
        (modulus(255, 0xff, 1), &[1, 0, 1], Err(JwkError::Size)),
        (modulus(257, 0x01, 1), &[1, 0, 1], Ok(())),
        (modulus(257, 0x00, 1), &[1, 0, 1], Err(JwkError::Invalid)),
        (modulus(512, 0xff, 1), &[1, 0, 1], Ok(())),
        (modulus(513, 0x01, 1), &[1, 0, 1], Err(JwkError::Size)),
        (modulus(256, 0x80, 2), &[1, 0, 1], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[3], Ok(())),
        (modulus(256, 0x80, 1), &[1], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[2], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[0], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[0, 1, 0, 1], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[0xff, 0xff, 0xff, 0xff], Ok(())),
        (modulus(256, 0x80, 1), &[1, 0, 0, 0, 0], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[1, 0, 0, 0, 1], Err(JwkError::Invalid)),
        (modulus(256, 0x80, 1), &[1; 9], Err(JwkError::Invalid)),
    ];
    for (n, e, expected) in cases {
        let read = read(&rsa(&n, &base64url::encode(e), ""));
        assert_eq!(read.map(|_| ()), expected, "{n} {e:?}");
    }
    for jwk in [
        r#"{"kty":"RSA"}"#.to_owned(),
        rsa(N, "AQAB=", ""),
        rsa(&format!("{N}="), "AQAB", ""),
        rsa(N, &"A".repeat(10_000), ""),
    ] {
        assert_eq!(read(&jwk).unwrap_err(), JwkError::Invalid, "{jwk}");
    }
    assert_eq!(read(&rsa(&"A".repeat(10_000), "AQAB", "")).unwrap_err(), JwkError::Size);
}

#[test]
fn what_a_key_is_for() {
    for (more, algorithms) in [
        ("", Ok(&[Algorithm::Es256][..])),
        (r#","alg":"ES256","use":"sig","key_ops":["verify"]"#, Ok(&[Algorithm::Es256])),
        (r#","key_ops":["sign","verify"]"#, Ok(&[Algorithm::Es256])),
        (r#","alg":"ES384""#, Err(JwkError::Use)),
        (r#","alg":"RS256""#, Err(JwkError::Use)),
        (r#","alg":"HS256""#, Err(JwkError::Use)),
        (r#","alg":"ECDH-ES""#, Err(JwkError::Use)),
        (r#","alg":null,"use":null,"key_ops":null"#, Ok(&[Algorithm::Es256])),
        (r#","use":"enc""#, Err(JwkError::Use)),
        (r#","use":["sig"]"#, Err(JwkError::Use)),
        (r#","key_ops":[]"#, Err(JwkError::Use)),
        (r#","key_ops":["sign"]"#, Err(JwkError::Use)),
        (r#","key_ops":"verify""#, Err(JwkError::Use)),
    ] {
        let supported = read(&ec(more)).map(|key| {
            Algorithm::ALL.into_iter().filter(|algorithm| key.supports(*algorithm)).collect::<Vec<_>>()
        });
        assert_eq!(supported.as_deref().map_err(|error| *error), algorithms, "{more}");
    }
    let any = read(&rsa(N, "AQAB", "")).unwrap();
    let one = read(&rsa(N, "AQAB", r#","alg":"PS384""#)).unwrap();
    assert_eq!(Algorithm::ALL.into_iter().filter(|algorithm| any.supports(*algorithm)).count(), 6);
    assert_eq!(
        Algorithm::ALL.into_iter().filter(|algorithm| one.supports(*algorithm)).collect::<Vec<_>>(),
        [Algorithm::Ps384]
    );
    for name in ["EdDSA", "Ed25519"] {
        let jwk = okp(ED).replace('}', &format!(r#","alg":"{name}"}}"#));
        assert!(read(&jwk).unwrap().supports(Algorithm::EdDsa));
    }
}

#[test]
fn shows_its_thumbprint_only() {
    assert_eq!(
        format!("{:?}", read(&ec("")).unwrap()),
        "PublicKey(0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I)"
    );
}
