//! The rooms that decide, put together without a socket: an issuer, a client with a key, and one route.

#![expect(clippy::needless_pass_by_value, reason = "a law says what it changes where it changes it")]

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, header::HOST};
use keyproof::authorize::{Accept, Asked, Authorizer, Mode, Permit, Policy, Refusal};
use keyproof::certificate::Absence;
use keyproof::clock::{Clock, UnixTime};
use keyproof::dpop::{AcceptanceWindow, NonceMint, NoncePolicy, TargetUri, Verifier};
use keyproof::headers::DPOP;
use keyproof::identity::IdentityMap;
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use keyproof::replay::{MemoryStore, OnStart, Store};
use keyproof::token::{ClaimNames, IssuerRules, Issuers, KeySet};
use keyproof::uri::Origin;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
pub(crate) static CLIENT: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());
pub(crate) static THIEF: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());
pub(crate) static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin::parse("https://api.test").unwrap());
static ISSUER: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());

/// So many milliseconds after [`NOW`].
pub(crate) fn at(millis: i64) -> UnixTime {
    UnixTime::from_millis(NOW.as_millis() + millis)
}

/// An authorizer as the configuration's defaults would make it, with these limits, begun an hour ago.
pub(crate) fn authorizer(window: AcceptanceWindow, nonce_lifetime: Duration, capacity: usize) -> Authorizer {
    let issuers = Issuers::new(vec![IssuerRules {
        name: "main".to_owned(),
        issuer: "https://id.test".to_owned(),
        audiences: vec!["https://api.test".to_owned()],
        algorithms: vec![Algorithm::Es256],
        token_types: vec!["at+jwt".to_owned()],
        claims: ClaimNames::default(),
        required_claims: None,
        leeway: Duration::from_secs(10),
        introspection: None,
    }]);
    let keys = format!(r#"{{"keys":[{}]}}"#, ISSUER.public_jwk());
    issuers.iter().next().unwrap().1.publish(KeySet::parse(keys.as_bytes()).unwrap());
    let mint = Arc::new(NonceMint::new(&[], nonce_lifetime));
    let retention = mint.retention(window);
    let start = NOW.saturating_sub(Duration::from_secs(3600));
    Authorizer {
        issuers: Arc::new(issuers),
        proofs: Verifier::new(vec![Algorithm::Es256], window, mint),
        replay: Arc::new(Store::Memory(MemoryStore::new(capacity, capacity, retention, start))),
        on_start: OnStart::Challenge,
    }
}

/// The same with the window of the defaults: 60 s back, 10 s ahead.
pub(crate) fn usual() -> Authorizer {
    let window = AcceptanceWindow { max_age: Duration::from_secs(60), leeway: Duration::from_secs(10) };
    authorizer(window, Duration::from_secs(120), 100_000)
}

/// A route that takes bound tokens with the scope `orders:read`.
pub(crate) fn policy(nonce: NoncePolicy) -> Policy {
    let header = (HeaderName::from_static("x-auth-subject"), "sub".to_owned());
    Policy {
        accept: Accept { dpop: true, mtls: false, bearer: false },
        public: false,
        mode: Mode::Enforce,
        nonce,
        introspection: None,
        issuers: vec![],
        scopes: vec!["orders:read".to_owned()],
        identity: IdentityMap { headers: vec![header] },
    }
}

/// A token for the client's key that is good for years; `changes` replace claims.
pub(crate) fn token(changes: Value) -> String {
    let mut claims = json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "alice", "client_id": "shop",
        "iat": 1_600_000_000, "exp": 2_000_000_000, "jti": "t", "scope": "orders:read",
        "cnf": { "jkt": CLIENT.public().thumbprint().to_string() },
    });
    change(&mut claims, &changes);
    ISSUER.sign(r#"{"typ":"at+jwt","alg":"ES256"}"#, &claims.to_string())
}

/// A proof for `GET https://api.test/orders` with this token; `changes` replace claims.
pub(crate) fn proof(key: &PrivateKey, token: &str, changes: Value) -> String {
    let mut claims = json!({
        "jti": "p", "htm": "GET", "htu": "https://api.test/orders", "iat": NOW.as_secs(),
        "ath": encode(&sha256(&[token.as_bytes()])),
    });
    change(&mut claims, &changes);
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{}}}"#, key.public_jwk());
    key.sign(&header, &claims.to_string())
}

fn change(claims: &mut Value, changes: &Value) {
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

/// The headers of a request with this token and this proof.
pub(crate) fn headers(scheme: &str, token: &str, proof: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("api.test"));
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("{scheme} {token}")).unwrap());
    if let Some(proof) = proof {
        headers.insert(DPOP, HeaderValue::try_from(proof).unwrap());
    }
    headers
}

/// `GET /orders` with these headers at this moment: every check, and the one insert.
pub(crate) fn ask(
    authorizer: &Authorizer,
    policy: &Policy,
    headers: &HeaderMap,
    now: UnixTime,
) -> Result<Permit, Refusal> {
    let target = TargetUri { origin: &ORIGIN, path: "/orders" };
    let asked = Asked {
        method: &Method::GET,
        target,
        query: None,
        headers,
        certificate: &Err(Absence::NotAsked),
        introspected: None,
    };
    let verified = authorizer.verify(policy, &asked, now)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(authorizer.spend(verified, now, &Clock::manual(now)))
}
