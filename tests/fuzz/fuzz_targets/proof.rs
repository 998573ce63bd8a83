//! A proof: as sent, with any header and claims under a bad signature, and with any claims under a good one.
#![no_main]

use http::Method;
use keyproof::clock::UnixTime;
use keyproof::dpop::{AcceptanceWindow, Expected, NonceMint, NoncePolicy, TargetUri, Verifier};
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use keyproof::uri::Origin;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::EdDsa).unwrap());
static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin::parse("https://api.test").unwrap());
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let window = AcceptanceWindow { max_age: Duration::from_secs(60), leeway: Duration::from_secs(10) };
    let mint = NonceMint::new(&[], Duration::from_secs(120));
    Verifier::new(vec![Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256], window, Arc::new(mint))
});

fuzz_target!(|data: &[u8]| {
    let ath = sha256(&[b"token"]);
    let expected = |nonce| Expected {
        method: &Method::GET,
        target: TargetUri { origin: &ORIGIN, path: "/orders" },
        ath: Some(&ath),
        nonce,
    };
    let text = String::from_utf8_lossy(data);
    let (header, claims) = text.split_once('\n').unwrap_or((&text, "{}"));
    let good_header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}}"#, KEY.public_jwk());
    let proofs = [
        text.clone().into_owned(),
        format!("{}.{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()), encode(&[7; 64])),
        KEY.sign(&good_header, &text),
        KEY.sign(header, claims),
    ];
    for proof in &proofs {
        for nonce in [NoncePolicy::Off, NoncePolicy::Required] {
            // Both answers to "until when must it be remembered" agree with "is it acceptable now".
            if let Ok(verified) = VERIFIER.verify(proof, &expected(nonce), NOW) {
                assert!(verified.until() >= NOW);
            }
            VERIFIER.report(proof, &expected(nonce), NOW);
        }
    }
});
