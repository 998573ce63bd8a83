//! What a proof must be: known answers, a row for every refusal, and the laws of time.

use super::*;
use crate::dpop::{CheckOutcome, MAX_JTI};
use crate::jose::{PrivateKey, Secret, encode, sha256};
use crate::uri::Origin;
use proptest::prelude::*;
use std::sync::LazyLock;
use std::time::Duration;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
const WINDOW: AcceptanceWindow =
    AcceptanceWindow { max_age: Duration::from_secs(60), leeway: Duration::from_secs(10) };

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());
static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin::parse("https://api.example.com").unwrap());

fn verifier_with(window: AcceptanceWindow) -> Verifier {
    let mint = NonceMint::new(&[Secret::new(b"secret")], Duration::from_secs(120));
    let algorithms = vec![Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256];
    Verifier::new(algorithms, window, Arc::new(mint))
}

fn verifier() -> Verifier {
    verifier_with(WINDOW)
}

fn expected<'a>(ath: Option<&'a Sha256>, nonce: NoncePolicy) -> Expected<'a> {
    Expected { method: &Method::GET, target: TargetUri { origin: &ORIGIN, path: "/orders" }, ath, nonce }
}

fn header(key: &PrivateKey) -> String {
    let alg = key.algorithm().name();
    format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{}}}"#, key.public_jwk())
}

/// The payload of a good proof with these members instead of or beside its own; `null` leaves one out.
fn payload(changes: serde_json::Value) -> String {
    let mut claims: serde_json::Value = serde_json::from_str(&payload_with_nulls(changes)).unwrap();
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims.to_string()
}

/// The same, but `null` is written.
fn payload_with_nulls(changes: serde_json::Value) -> String {
    let mut claims = serde_json::json!({
        "jti": "e1j3V_bKic8-LAEB", "htm": "GET", "htu": "https://api.example.com/orders",
        "iat": NOW.as_secs(), "ath": ATH,
    });
    let serde_json::Value::Object(changes) = changes else { panic!("an object") };
    for (name, value) in changes {
        claims[name] = value;
    }
    claims.to_string()
}

fn proof(changes: serde_json::Value) -> String {
    KEY.sign(&header(&KEY), &payload(changes))
}

/// A proof that nobody signed, for what is refused before the signature.
fn unsigned(header: &str, payload: &str) -> String {
    let segment = |text: &str| encode(text.as_bytes());
    format!("{}.{}.{}", segment(header), segment(payload), encode(&[1; 64]))
}

/// The verdict, having checked that the report agrees with it.
fn verdict(verifier: &Verifier, proof: &str, expected: &Expected<'_>) -> Result<VerifiedProof, ProofError> {
    let verdict = verifier.verify(proof, expected, NOW);
    let report = verifier.report(proof, expected, NOW);
    let failed = report.iter().any(|check| check.outcome == CheckOutcome::Failed);
    assert_eq!(verdict.is_err(), failed, "{verdict:?} {report:#?}");
    verdict
}

#[test]
fn the_proof_of_rfc_9449_is_good() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let origin = Origin::parse("https://resource.example.org").unwrap();
    let target = TargetUri { origin: &origin, path: "/protectedresource" };
    let ath = sha256(&[TOKEN]);
    let expected = Expected { method: &Method::GET, target, ath: Some(&ath), nonce: NoncePolicy::Off };
    let verified = verifier().verify(proof, &expected, UnixTime::from_secs(1_562_262_618)).unwrap();
    assert_eq!(verified.jkt().to_string(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(verified.jti(), "e1j3V_bKic8-LAEB");
}

#[test]
fn what_is_left_of_a_good_proof() {
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    let verified =
        verdict(&verifier, &proof(serde_json::json!({})), &expected(Some(&ath), NoncePolicy::Off)).unwrap();
    assert_eq!(verified.jkt(), KEY.public().thumbprint());
    assert_eq!(verified.iat(), NOW);
    assert_eq!(verified.until(), NOW.saturating_add(WINDOW.max_age));
    assert_eq!(verified.earliest_use(), NOW.saturating_sub(WINDOW.leeway));
    assert_eq!(verified.nonce(), None);
}

#[test]
fn every_claim_has_its_refusal() {
    use ProofError as E;
    let iat = |seconds: f64| serde_json::json!({ "iat": 1_700_000_000.0 + seconds });
    let table: Vec<(serde_json::Value, Option<ProofError>)> = vec![
        // What may be there: other claims of any type, a nonce nobody asked for.
        (serde_json::json!({ "foo": { "bar": [1, true] }, "sub": 7 }), None),
        (serde_json::json!({ "nonce": "of another server" }), None),
        (serde_json::json!({ "htu": "HTTPS://API.example.com:443/%6Frders?q#f" }), None),
        (serde_json::json!({ "jti": "a".repeat(MAX_JTI) }), None),
        (serde_json::json!({ "jti": "a".repeat(MAX_JTI + 1) }), Some(E::JtiTooLong)),
        (serde_json::json!({ "jti": null }), Some(E::Claim)),
        (serde_json::json!({ "jti": "" }), Some(E::Claim)),
        (serde_json::json!({ "jti": 1 }), Some(E::Claim)),
        (serde_json::json!({ "htm": null }), Some(E::Claim)),
        (serde_json::json!({ "htm": "" }), Some(E::Claim)),
        (serde_json::json!({ "htm": ["GET"] }), Some(E::Claim)),
        (serde_json::json!({ "htm": "get" }), Some(E::Htm)),
        (serde_json::json!({ "htm": "HEAD" }), Some(E::Htm)),
        (serde_json::json!({ "htm": "GET " }), Some(E::Htm)),
        (serde_json::json!({ "htu": null }), Some(E::Claim)),
        (serde_json::json!({ "htu": {} }), Some(E::Claim)),
        (serde_json::json!({ "htu": "/orders" }), Some(E::HtuInvalid)),
        (serde_json::json!({ "htu": "https://api.example.com/order" }), Some(E::Htu)),
        (serde_json::json!({ "iat": null }), Some(E::Claim)),
        (serde_json::json!({ "iat": "1700000000" }), Some(E::Claim)),
        (serde_json::json!({ "iat": true }), Some(E::Claim)),
        (serde_json::json!({ "iat": -1 }), Some(E::Claim)),
        (serde_json::json!({ "iat": 1e300 }), Some(E::Claim)),
        // Milliseconds instead of seconds, a common slip: far in the future.
        (serde_json::json!({ "iat": 1_700_000_000_000_i64 }), Some(E::Claim)),
        (iat(-60.0), None),
        (iat(-60.5), Some(E::IatStale)),
        (iat(10.0), None),
        (iat(10.5), Some(E::IatFuture)),
        (serde_json::json!({ "exp": 1_699_999_991 }), None),
        (serde_json::json!({ "exp": 1_699_999_990 }), Some(E::Expired)),
        (serde_json::json!({ "exp": "1700000100" }), Some(E::Claim)),
        (serde_json::json!({ "nbf": 1_700_000_010 }), None),
        (serde_json::json!({ "nbf": 1_700_000_010.5 }), Some(E::NotYetValid)),
        (serde_json::json!({ "nbf": {} }), Some(E::Claim)),
        (serde_json::json!({ "nonce": 1 }), Some(E::Claim)),
        (serde_json::json!({ "exp": null, "nbf": null, "nonce": null, "more": null }), None),
        (serde_json::json!({ "nonce": [null] }), Some(E::Claim)),
        (serde_json::json!({ "more": [[[[[[[]]]]]]] }), None),
        (serde_json::json!({ "more": [[[[[[[[]]]]]]]] }), Some(E::TooDeep)),
        (serde_json::json!({ "more": vec![0; 58] }), None),
        (serde_json::json!({ "more": vec![0; 59] }), Some(E::TooMany)),
        (serde_json::json!({ "ath": null }), Some(E::AthMissing)),
        (serde_json::json!({ "ath": 1 }), Some(E::Claim)),
        (serde_json::json!({ "ath": "" }), Some(E::Ath)),
        (serde_json::json!({ "ath": format!("{ATH}=") }), Some(E::Ath)),
        (serde_json::json!({ "ath": ATH.to_lowercase() }), Some(E::Ath)),
        // Its last bits differ, which only a lax decoder would not see.
        (serde_json::json!({ "ath": ATH.replace("mQEo", "mQEp") }), Some(E::Ath)),
    ];
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    for (changes, error) in table {
        // A member that is null is one that is absent.
        for payload in [payload(changes.clone()), payload_with_nulls(changes.clone())] {
            let proof = KEY.sign(&header(&KEY), &payload);
            let verdict = verdict(&verifier, &proof, &expected(Some(&ath), NoncePolicy::Off));
            assert_eq!(verdict.err(), error, "{payload}");
        }
    }
}

#[test]
fn every_header_has_its_refusal() {
    use ProofError as E;
    let jwk = KEY.public_jwk();
    let other = PrivateKey::generate(Algorithm::EdDsa).unwrap().public_jwk();
    let row = |text: &str| text.replace("JWK", &jwk).replace("OTHER", &other);
    let private = KEY.private_jwk();
    let table = [
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK}"#), E::Signature),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK,"kid":"a","x":{"y":1}}"#), E::Signature),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK,"kid":null,"b64":null,"x5c":null}"#), E::Signature),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK,"crit":null}"#), E::Critical),
        (row(r#"{"typ":null,"alg":"ES256","jwk":JWK}"#), E::HeaderMember),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":null}"#), E::HeaderMember),
        (
            row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK}"#).replace(
                r#""kty""#,
                r#""d":null,"p":null,"k":null,"use":null,"alg":null,"key_ops":null,"kid":null,"kty""#,
            ),
            E::Signature,
        ),
        (row(r#"{"alg":"ES256","jwk":JWK}"#), E::HeaderMember),
        (row(r#"{"typ":1,"alg":"ES256","jwk":JWK}"#), E::HeaderMember),
        (row(r#"{"typ":"JWT","alg":"ES256","jwk":JWK}"#), E::Type),
        (row(r#"{"typ":"DPoP+jwt","alg":"ES256","jwk":JWK}"#), E::Type),
        (row(r#"{"typ":"application/dpop+jwt","alg":"ES256","jwk":JWK}"#), E::Type),
        (row(r#"{"typ":"dpop+jwt","jwk":JWK}"#), E::HeaderMember),
        (row(r#"{"typ":"dpop+jwt","alg":null,"jwk":JWK}"#), E::HeaderMember),
        (row(r#"{"typ":"dpop+jwt","alg":"none","jwk":JWK}"#), E::Algorithm),
        (row(r#"{"typ":"dpop+jwt","alg":"es256","jwk":JWK}"#), E::Algorithm),
        (row(r#"{"typ":"dpop+jwt","alg":"HS256","jwk":JWK}"#), E::Algorithm),
        (row(r#"{"typ":"dpop+jwt","alg":"RS256","jwk":JWK}"#), E::Algorithm),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256"}"#), E::HeaderMember),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":"JWK"}"#).replace(&jwk, "text"), E::HeaderMember),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{}}"#), E::Key),
        (
            row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}"#),
            E::Key,
        ),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"oct","k":"AA"}}"#), E::PrivateKey),
        (format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{private}}}"#), E::PrivateKey),
        (row(r#"{"typ":"dpop+jwt","alg":"EdDSA","jwk":JWK}"#), E::KeyAlgorithm),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":OTHER}"#), E::KeyAlgorithm),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK,"crit":["x"],"x":1}"#), E::Critical),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK,"crit":[]}"#), E::Critical),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK,"b64":false}"#), E::Critical),
        (row(r#"{"typ":"dpop+jwt","typ":"dpop+jwt","alg":"ES256","jwk":JWK}"#), E::Json),
        (row(r#"["dpop+jwt"]"#), E::Json),
        (row(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":JWK"#), E::Json),
    ];
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    for (header, error) in table {
        let proof = unsigned(&header, &payload(serde_json::json!({})));
        let verdict = verdict(&verifier, &proof, &expected(Some(&ath), NoncePolicy::Off));
        assert_eq!(verdict.err(), Some(error), "{header}");
    }
}

#[test]
fn only_a_compact_jws_is_a_proof() {
    use ProofError::{Json, Malformed, TooLong};
    let good = proof(serde_json::json!({}));
    let segments: Vec<&str> = good.split('.').collect();
    let head = segments[0];
    let table = [
        (String::new(), Malformed),
        ("..".to_owned(), Malformed),
        ("a.b".to_owned(), Malformed),
        (format!("{good}."), Malformed),
        (format!("{good}.a.b"), Malformed),
        (format!("{good}="), Malformed),
        (format!(" {good}"), Malformed),
        (format!("{good}\n"), Malformed),
        (format!("{good},{good}"), Malformed),
        (format!("{head}..{}", segments[2]), Malformed),
        (format!("{head}.{}.", segments[1]), Malformed),
        (r#"{"payload":"","protected":"","signature":""}"#.to_owned(), Malformed),
        (format!("{good}{}", "A".repeat(MAX_PROOF)), TooLong),
        (unsigned(&header(&KEY), r#"{"jti":"a","jti":"b"}"#), Json),
        (unsigned(&header(&KEY), r#"[]"#), Json),
        (unsigned(&header(&KEY), r#"{"jti":"a"} "#.repeat(2).as_str()), Json),
    ];
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    for (proof, error) in table {
        let verdict = verdict(&verifier, &proof, &expected(Some(&ath), NoncePolicy::Off));
        assert_eq!(verdict.err(), Some(error), "{proof}");
    }
}

#[test]
fn the_signature_is_that_of_the_key_in_the_header() {
    let other = PrivateKey::generate(Algorithm::Es256).unwrap();
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    let expected = expected(Some(&ath), NoncePolicy::Off);
    let forged = other.sign(&header(&KEY), &payload(serde_json::json!({})));
    let ed = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    let good = ed.sign(&header(&ed), &payload(serde_json::json!({})));
    let old_name = header(&ed).replace("EdDSA", "Ed25519");
    // The second round finds the keys of the first.
    for _ in 0..2 {
        assert_eq!(verdict(&verifier, &forged, &expected).err(), Some(ProofError::Signature));
        assert!(verdict(&verifier, &proof(serde_json::json!({})), &expected).is_ok());
        assert_eq!(verdict(&verifier, &good, &expected).unwrap().jkt(), ed.public().thumbprint());
        assert!(verdict(&verifier, &ed.sign(&old_name, &payload(serde_json::json!({}))), &expected).is_ok());
    }
}

#[test]
fn only_the_keys_of_verified_proofs_are_kept() {
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    let expected = expected(Some(&ath), NoncePolicy::Off);
    for refused in
        [unsigned(&header(&KEY), &payload(serde_json::json!({}))), proof(serde_json::json!({ "iat": 0 }))]
    {
        assert!(verifier.verify(&refused, &expected, NOW).is_err());
    }
    assert!(verifier.keys.is_empty());
    let padded =
        header(&KEY).replace("{\"typ\"", &format!("{{\"pad\":\"{}\",\"typ\"", "a".repeat(KEPT_SEGMENT)));
    assert!(verifier.verify(&KEY.sign(&padded, &payload(serde_json::json!({}))), &expected, NOW).is_ok());
    assert!(verifier.keys.is_empty());
    assert!(verifier.verify(&proof(serde_json::json!({})), &expected, NOW).is_ok());
    assert_eq!(verifier.keys.len(), 1);
}

#[test]
fn a_required_nonce_takes_the_place_of_the_clock() {
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    let required = expected(Some(&ath), NoncePolicy::Required);
    let hour_ago = NOW.as_secs() - 3600;
    let old = verifier.mint().mint(NOW.saturating_sub(Duration::from_secs(121)));
    let issued = NOW.saturating_sub(Duration::from_secs(30));
    let good = verifier.mint().mint(issued);
    let table = [
        (serde_json::json!({}), Some(ProofError::NonceMissing)),
        (serde_json::json!({ "nonce": "" }), Some(ProofError::NonceStale)),
        (serde_json::json!({ "nonce": "of another server" }), Some(ProofError::NonceStale)),
        (serde_json::json!({ "nonce": old }), Some(ProofError::NonceStale)),
        (serde_json::json!({ "nonce": good, "iat": hour_ago }), None),
        (serde_json::json!({ "nonce": good, "exp": hour_ago }), Some(ProofError::Expired)),
        // The nonce is told before `ath`, so that a client is not sent on a second errand.
        (serde_json::json!({ "nonce": old, "ath": "x" }), Some(ProofError::NonceStale)),
        (serde_json::json!({ "nonce": good, "ath": "x" }), Some(ProofError::Ath)),
    ];
    for (changes, error) in table {
        let verdict = verdict(&verifier, &proof(changes.clone()), &required);
        assert_eq!(verdict.as_ref().err(), error.as_ref(), "{changes}");
        if let Ok(verified) = verdict {
            assert_eq!(verified.nonce().map(|nonce| nonce.issued), Some(issued));
            assert_eq!(verified.earliest_use(), issued);
            assert_eq!(verified.until(), issued.saturating_add(Duration::from_secs(120)));
        }
    }
}

#[test]
fn a_nonce_that_is_not_required_shows_that_the_proof_is_new() {
    let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
    let off = expected(Some(&ath), NoncePolicy::Off);
    let issued = NOW.saturating_sub(Duration::from_secs(5));
    let proof = proof(serde_json::json!({ "nonce": verifier.mint().mint(issued) }));
    let verified = verdict(&verifier, &proof, &off).unwrap();
    assert_eq!(verified.earliest_use(), issued);
    assert_eq!(verified.until(), NOW.saturating_add(WINDOW.max_age));
    assert!(verified.nonce().is_some());
}

#[test]
fn where_no_token_comes_ath_does_not_matter() {
    let verifier = verifier();
    for ath in [serde_json::json!(null), serde_json::json!("anything")] {
        let proof = proof(serde_json::json!({ "ath": ath }));
        assert!(verdict(&verifier, &proof, &expected(None, NoncePolicy::Off)).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A proof must be remembered as long as it could be accepted again (RFC 9449 section 11.1), whatever the rules say.
    #[test]
    fn a_proof_is_remembered_until_it_cannot_be_accepted_any_more(
        (age, leeway) in (0_u64..90_000, 0_u64..30_000),
        iat in -100_000_i64..100_000,
        fraction in 0.0..1.0_f64,
        minted in prop::option::of(-150_000_i64..100_000),
        required in any::<bool>(),
        moments in prop::collection::vec(-200_000_i64..200_000, 12),
    ) {
        let window =
            AcceptanceWindow { max_age: Duration::from_millis(age), leeway: Duration::from_millis(leeway) };
        let verifier = verifier_with(window);
        let at = |millis: i64| UnixTime::from_millis(NOW.as_millis() + millis);
        let policy = if required { NoncePolicy::Required } else { NoncePolicy::Off };
        let nonce = minted.map(|millis| verifier.mint().mint(at(millis)));
        #[expect(clippy::as_conversions, reason = "a small number")]
        let iat = (NOW.as_secs() + iat / 1000) as f64 + fraction;
        let proof = proof(serde_json::json!({ "iat": iat, "nonce": nonce, "ath": null }));
        // The ends of every interval there is, a millisecond around them, and whatever else came up.
        let iat = UnixTime::from_numeric_date(iat).unwrap();
        let mut ends = vec![window.remember_until(iat), window.earliest_use(iat)];
        ends.extend(minted.into_iter().flat_map(|millis| [at(millis - 10_000), at(millis), at(millis + 120_000)]));
        let around = ends.iter().flat_map(|end| (-1..=1).map(|step| UnixTime::from_millis(end.as_millis() + step)));
        let moments: Vec<_> = around.chain(moments.into_iter().map(at)).collect();

        let verify = |now| verifier.verify(&proof, &expected(None, policy), now).ok().map(|proof| (now, proof));
        let accepted: Vec<_> = moments.into_iter().filter_map(verify).collect();
        for (_, verified) in &accepted {
            for (again, other) in &accepted {
                prop_assert!(*again <= verified.until());
                prop_assert_eq!(other.until(), verified.until());
            }
        }
        for (now, verified) in &accepted {
            // A nonce may come from a replica whose clock is ahead.
            let ahead = verified.nonce().map_or(Duration::ZERO, |_| NonceMint::AHEAD);
            prop_assert!(verified.earliest_use() <= now.saturating_add(ahead));
        }
    }

    #[test]
    fn nothing_that_is_sent_makes_it_panic(text in "[A-Za-z0-9_.-]{0,64}|\\PC{0,32}", payload in "\\PC{0,64}") {
        let (verifier, ath) = (verifier(), sha256(&[TOKEN]));
        let expected = expected(Some(&ath), NoncePolicy::Off);
        let signed = KEY.sign(&header(&KEY), &format!("{{{payload}}}"));
        for proof in [text, signed] {
            prop_assert!(verdict(&verifier, &proof, &expected).is_err());
        }
    }
}
