//! An access token: as sent, with any claims under a good signature, and any JWK Set that claims to hold its keys.
#![no_main]

use keyproof::clock::UnixTime;
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use keyproof::token::{ClaimNames, IssuerRules, Issuers, KeySet};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::time::Duration;

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::EdDsa).unwrap());
static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let issuers = Issuers::new(vec![IssuerRules {
        name: "main".to_owned(),
        issuer: "https://id.test".to_owned(),
        audiences: vec!["https://api.test".to_owned()],
        algorithms: vec![Algorithm::EdDsa],
        token_types: vec!["at+jwt".to_owned(), "JWT".to_owned()],
        claims: ClaimNames::default(),
        required_claims: None,
        leeway: Duration::from_secs(10),
        introspection: None,
    }]);
    let keys = format!(r#"{{"keys":[{}]}}"#, KEY.public_jwk());
    issuers.iter().next().unwrap().1.publish(KeySet::parse(keys.as_bytes()).unwrap());
    issuers
});

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (header, claims) = text.split_once('\n').unwrap_or((&text, "{}"));
    let tokens = [
        text.clone().into_owned(),
        format!("{}.{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()), encode(&[7; 64])),
        KEY.sign(r#"{"typ":"at+jwt","alg":"EdDSA"}"#, &text),
        KEY.sign(header, claims),
    ];
    for token in &tokens {
        if let Ok(verified) =
            ISSUERS.verify(token, &sha256(&[token.as_bytes()]), UnixTime::from_secs(1_700_000_000))
        {
            verified.has_scope("orders:read");
            verified.claim("cnf.jkt");
        }
    }
    let _ = KeySet::parse(data);
});
