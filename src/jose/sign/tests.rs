use super::*;
use crate::jose::{CompactJws, json};

/// The RSA key of RFC 7515 appendix A.2, the P-256 key of A.3, the Ed25519 key of RFC 8037 appendix A.1; the
/// others were made with OpenSSL for these tests and sign nothing else.
const RSA_JWK: &str = include_str!("testdata/rsa.jwk");
const RSA: &str = include_str!("testdata/rsa.pem");
const RSA_PKCS1: &str = include_str!("testdata/rsa.pkcs1.pem");
const P256: &str = include_str!("testdata/p256.pem");
const P256_SEC1: &str = include_str!("testdata/p256.sec1.pem");
const P384: &str = include_str!("testdata/p384.pem");
const P384_SEC1: &str = include_str!("testdata/p384.sec1.pem");
const ED25519: &str = include_str!("testdata/ed25519.pem");
const P521: &str = include_str!("testdata/p521.pem");
const X25519: &str = include_str!("testdata/x25519.pem");

const P256_JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
const ED25519_JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn read(text: &str) -> PrivateKey {
    PrivateKey::read(text).unwrap()
}

fn verifies(text: &str, algorithm: Algorithm, key: &PublicKey) -> bool {
    CompactJws::split(text).unwrap().verify(algorithm, key).is_ok()
}

#[test]
fn every_form_of_a_key_is_the_same_key() {
    let forms: [(Algorithm, &[&str]); 4] = [
        (Algorithm::Ps256, &[RSA, RSA_PKCS1, RSA_JWK]),
        (Algorithm::Es256, &[P256, P256_SEC1, P256_JWK]),
        (Algorithm::Es384, &[P384, P384_SEC1]),
        (Algorithm::EdDsa, &[ED25519, ED25519_JWK]),
    ];
    for (algorithm, texts) in forms {
        let first = read(texts[0]);
        for text in texts {
            let key = read(text);
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(key.public().thumbprint(), first.public().thumbprint());
            assert_eq!(key.private_jwk(), first.private_jwk());
            let again = read(&key.private_jwk());
            assert_eq!(again.private_jwk(), key.private_jwk());
            assert!(verifies(&again.sign("{}", "{}"), algorithm, first.public()));
        }
    }
    assert_eq!(read(RSA).private_jwk(), RSA_JWK.trim_end());
}

#[test]
fn a_new_key_can_be_saved_and_read_again() {
    for algorithm in Algorithm::ALL {
        let Some(key) = PrivateKey::generate(algorithm) else {
            assert_eq!(read(RSA).algorithm(), Algorithm::Ps256, "RSA keys are only read");
            continue;
        };
        assert_eq!(key.algorithm(), algorithm);
        let again = read(&key.private_jwk());
        assert!(verifies(&again.sign("{}", r#"{"a":1}"#), algorithm, key.public()));
        let public_jwk = key.public_jwk();
        let public =
            PublicKey::from_jwk(&json::Object::parse(public_jwk.as_bytes(), json::Limits::SMALL).unwrap())
                .unwrap();
        assert_eq!(public.thumbprint(), key.public().thumbprint());
        assert_ne!(PrivateKey::generate(algorithm).unwrap().public_jwk(), public_jwk);
        assert_eq!(format!("{key:?}"), "PrivateKey(…)");
    }
}

/// Ring writes its Ed25519 keys with the public half (RFC 5958 version 2).
#[test]
fn the_second_version_of_pkcs8_is_read() {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let key = PrivateKey::from_parts(&Parts::from_pkcs8(document.as_ref()).unwrap()).unwrap();
    assert!(key.public_jwk().contains(&encode(pair.public_key().as_ref())));
}

/// Whatever is cut off or changed, the reader of DER answers.
#[test]
fn damaged_keys_never_panic() {
    let document = EcdsaKeyPair::generate_pkcs8(Curve::P256.signing(), &SystemRandom::new()).unwrap();
    let bytes = document.as_ref();
    for position in 0..bytes.len() {
        assert!(Parts::from_pkcs8(&bytes[..position]).is_err(), "cut at {position}");
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[position] ^= change;
            let key = Parts::from_pkcs8(&damaged).and_then(|parts| PrivateKey::from_parts(&parts));
            assert!(key.is_err() || key.is_ok_and(|key| key.algorithm() == Algorithm::Es256));
        }
    }
}

#[test]
fn signs_the_examples_of_rfc_8037_and_verifies_those_of_rfc_7515() {
    // RFC 8037 appendix A.4; Ed25519 leaves nothing to chance.
    let signed = read(ED25519_JWK).sign(r#"{"alg":"EdDSA"}"#, "Example of Ed25519 signing");
    assert_eq!(
        signed,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
    // RFC 7515 appendices A.2 and A.3.
    let payload =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let es256 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let text = format!("eyJhbGciOiJSUzI1NiJ9.{payload}.{rs256}");
    assert!(verifies(&text, Algorithm::Rs256, read(RSA).public()));
    let text = format!("eyJhbGciOiJFUzI1NiJ9.{payload}.{es256}");
    assert!(verifies(&text, Algorithm::Es256, read(P256).public()));
}

#[test]
fn files_that_are_no_key() {
    let public = read(P256).public_jwk();
    let other_x = P256_JWK.replace("f83O", "f83P");
    let other_d = P256_JWK.replace("jpsQ", "jpsR");
    let zero_d = P256_JWK.replace("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", &encode(&[0; 32]));
    let short_d = P256_JWK.replace("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", "AQ");
    let other_ed = ED25519_JWK.replace("11qY", "11qZ");
    let other_rsa = RSA_JWK.replace("\"qi\":\"I", "\"qi\":\"J");
    let cut = &RSA[..RSA.len() / 2];
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for text in [
        "",
        "hello",
        "{",
        "{}",
        "[]",
        "{\"kty\":7}",
        &public,
        &other_x,
        &other_d,
        &zero_d,
        &short_d,
        &other_ed,
        &other_rsa,
        cut,
        certificate,
        garbage,
    ] {
        assert_eq!(PrivateKey::read(text).err(), Some(KeyFileError::Format), "{text}");
    }
    for text in [P521, X25519, r#"{"kty":"oct","k":"AA"}"#, r#"{"kty":"EC","crv":"P-521","d":"AA"}"#] {
        assert_eq!(PrivateKey::read(text).err(), Some(KeyFileError::Kind), "{text}");
    }
}

/// jsonwebtoken, on another crypto library, and this room read each other.
mod with_jsonwebtoken {
    use super::*;
    use jsonwebtoken as other;

    #[test]
    fn what_it_signs_verifies_here() {
        let ec = other::EncodingKey::from_ec_pem;
        let (rsa, p256, p384) =
            (other::EncodingKey::from_rsa_pem(RSA.as_bytes()), ec(P256.as_bytes()), ec(P384.as_bytes()));
        let (rsa, p256, p384) = (rsa.unwrap(), p256.unwrap(), p384.unwrap());
        let ed25519 = other::EncodingKey::from_ed_pem(ED25519.as_bytes()).unwrap();
        for algorithm in Algorithm::ALL {
            let (theirs, ours) = match algorithm {
                Algorithm::Es256 => (&p256, read(P256)),
                Algorithm::Es384 => (&p384, read(P384)),
                Algorithm::EdDsa => (&ed25519, read(ED25519)),
                Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => (&rsa, read(RSA)),
                Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => (&rsa, read(RSA)),
            };
            let header = other::Header::new(algorithm.name().parse().unwrap());
            let text = other::encode(&header, &serde_json::json!({"a": 1}), theirs).unwrap();
            for claimed in Algorithm::ALL {
                assert_eq!(
                    verifies(&text, claimed, ours.public()),
                    claimed == algorithm,
                    "{algorithm:?} {claimed:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_signed_here_verifies_there() {
        for key in [read(RSA), read(P256), read(P384), read(ED25519)] {
            let header = format!(r#"{{"alg":"{}"}}"#, key.algorithm().name());
            let text = key.sign(&header, r#"{"a":1}"#);
            let jwk: other::jwk::Jwk = serde_json::from_str(&key.public_jwk()).unwrap();
            let mut validation = other::Validation::new(key.algorithm().name().parse().unwrap());
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            let theirs = other::DecodingKey::from_jwk(&jwk).unwrap();
            let read = other::decode::<serde_json::Value>(&text, &theirs, &validation).unwrap();
            assert_eq!(read.claims["a"], 1);
        }
    }
}
