//! The reasons to be refused, one by one, and a request that brings each of them about.
//!
//! The `match` that [`cases!`] writes has no wildcard: a reason without a case here does not compile.

use super::gateway::{House, NOW, get, proof, request};
use keyproof::denial::{
    AuthorityError, BindingError, CredentialsError, Denial, DescriptionError, ProofCountError, ReplayError,
    UnsupportedError,
};
use keyproof::dpop::ProofError;
use keyproof::jose::{Algorithm, PrivateKey};
use keyproof::token::{Claim, DeniedBy, IssuerId, TokenError};
use keyproof::uri::PathError;
use serde_json::{Value, json};

/// The routes that the requests are for.
pub const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders, methods: [GET] }, upstream: legacy, scopes: ["orders:read"] }
  - { name: nonce, match: { path: /nonce }, upstream: legacy, nonce: required }
  - { name: bearer, match: { path: /bearer }, upstream: legacy, accept: [bearer] }
  - { name: mtls, match: { path: /mtls }, upstream: legacy, accept: [mtls] }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }"#;

/// Makes a request to this gateway.
pub type Make = Box<dyn Fn(&House) -> String>;

/// How a refusal is brought about.
pub enum Case {
    /// By this request.
    Sent(Make),
    /// By this request to a gateway with these settings, which has only just started.
    Started(&'static str, Make),
    /// By this request to a gateway with these settings, after a good one.
    AfterAGoodOne(&'static str, Make),
    /// Where the trouble itself is made: in `tests/replay`, `tests/tokens` and `tests/certificates`; or at another door: in `tests/doors`.
    Elsewhere,
}

macro_rules! cases {
    ($($($pattern:pat_param)|+ => $denial:expr, $case:expr;)*) => {
        /// Compiles only if every reason has a case.
        pub const fn every_reason_has_a_case(denial: Denial) {
            match denial {
                $($($pattern)|+ => (),)*
            }
        }

        pub fn all() -> Vec<(Denial, Case)> {
            vec![$(($denial, $case)),*]
        }
    };
}

cases! {
    Denial::Description(DescriptionError::Untrusted) => Denial::Description(DescriptionError::Untrusted), Case::Elsewhere;
    Denial::Description(DescriptionError::Missing) => Denial::Description(DescriptionError::Missing), Case::Elsewhere;
    Denial::Description(DescriptionError::Repeated) => Denial::Description(DescriptionError::Repeated), Case::Elsewhere;
    Denial::Description(DescriptionError::Malformed) => Denial::Description(DescriptionError::Malformed), Case::Elsewhere;
    Denial::Description(DescriptionError::Contradictory) => Denial::Description(DescriptionError::Contradictory), Case::Elsewhere;
    Denial::Authority(AuthorityError::Invalid) => Denial::Authority(AuthorityError::Invalid),
        sent(|_| "GET /orders HTTP/1.1\r\n\r\n".to_owned());
    Denial::Authority(AuthorityError::Unknown) => Denial::Authority(AuthorityError::Unknown),
        sent(|_| "GET /orders HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned());
    Denial::Path(PathError::NotAbsolute) => Denial::Path(PathError::NotAbsolute), sent(|_| request("OPTIONS", "*", &[]));
    Denial::Path(PathError::DotSegment) => Denial::Path(PathError::DotSegment), sent(|_| get("/orders/../public", &[]));
    Denial::Path(PathError::EmptySegment) => Denial::Path(PathError::EmptySegment), sent(|_| get("//orders", &[]));
    Denial::Path(PathError::Backslash) => Denial::Path(PathError::Backslash), sent(|_| get("/orders%5Cx", &[]));
    Denial::Path(PathError::EncodedSlash) => Denial::Path(PathError::EncodedSlash), sent(|_| get("/orders%2Fx", &[]));
    Denial::Path(PathError::Character) => Denial::Path(PathError::Character), sent(|_| get("/orders%00", &[]));
    Denial::Path(PathError::Percent) => Denial::Path(PathError::Percent), sent(|_| get("/orders%zz", &[]));
    Denial::Path(PathError::ReadDifferently) => Denial::Path(PathError::ReadDifferently),
        sent(|_| get("/public;x", &[]));
    Denial::TargetTooLong => Denial::TargetTooLong, sent(|_| get(&format!("/{}", "a".repeat(8192)), &[]));
    Denial::NoRoute => Denial::NoRoute, sent(|_| get("/nowhere", &[]));
    Denial::MethodNotAllowed => Denial::MethodNotAllowed, sent(|_| request("DELETE", "/orders", &[]));

    Denial::Credentials(CredentialsError::Missing) => Denial::Credentials(CredentialsError::Missing), sent(|_| get("/orders", &[]));
    Denial::Credentials(CredentialsError::Repeated) => Denial::Credentials(CredentialsError::Repeated),
        sent(|_| get("/orders", &[("authorization", "DPoP a"), ("authorization", "Bearer a")]));
    Denial::Credentials(CredentialsError::TwoWays) => Denial::Credentials(CredentialsError::TwoWays),
        sent(|_| get("/orders?access_token=a", &[("authorization", "DPoP a")]));
    Denial::Credentials(CredentialsError::Malformed) => Denial::Credentials(CredentialsError::Malformed),
        sent(|_| get("/orders", &[("authorization", "DPoP a b")]));

    Denial::Token(TokenError::TooLong) => Denial::Token(TokenError::TooLong), with_token(|_| "a".repeat(16 * 1024 + 1));
    Denial::Token(TokenError::Malformed) => Denial::Token(TokenError::Malformed), with_token(|_| "opaque".to_owned());
    Denial::Token(TokenError::TooDeep) => Denial::Token(TokenError::TooDeep),
        with_token(|house| house.token(json!({ "authorization_details": nested(32) })));
    Denial::Token(TokenError::TooMany) => Denial::Token(TokenError::TooMany),
        with_token(|house| house.token(json!({ "groups": vec![0; 4096] })));
    Denial::Token(TokenError::Type) => Denial::Token(TokenError::Type),
        with_token(|house| house.token_with(json!({ "typ": "dpop+jwt" }), json!({})));
    Denial::Token(TokenError::Critical) => Denial::Token(TokenError::Critical),
        with_token(|house| house.token_with(json!({ "crit": ["exp"] }), json!({})));
    Denial::Token(TokenError::Algorithm) => Denial::Token(TokenError::Algorithm),
        with_token(|house| house.token_with(json!({ "alg": "none" }), json!({})));
    Denial::Token(TokenError::ClaimMissing(_)) => Denial::Token(TokenError::ClaimMissing(Claim::ClientId)),
        with_token(|house| house.token(json!({ "client_id": null })));
    Denial::Token(TokenError::ClaimType(_)) => Denial::Token(TokenError::ClaimType(Claim::Exp)),
        with_token(|house| house.token(json!({ "exp": "tomorrow" })));
    Denial::Token(TokenError::Issuer) => Denial::Token(TokenError::Issuer),
        with_token(|house| house.token(json!({ "iss": "https://id.test/" })));
    Denial::Token(TokenError::Audience) => Denial::Token(TokenError::Audience),
        with_token(|house| house.token(json!({ "aud": ["https://other.test"] })));
    Denial::Token(TokenError::Expired) => Denial::Token(TokenError::Expired),
        with_token(|house| house.token(json!({ "exp": NOW.as_secs() - 11 })));
    Denial::Token(TokenError::NotYetValid) => Denial::Token(TokenError::NotYetValid),
        with_token(|house| house.token(json!({ "nbf": NOW.as_secs() + 11 })));
    Denial::Token(TokenError::IssuedInFuture) => Denial::Token(TokenError::IssuedInFuture),
        with_token(|house| house.token(json!({ "iat": NOW.as_secs() + 11 })));
    Denial::Token(TokenError::Confirmation) => Denial::Token(TokenError::Confirmation),
        with_token(|house| house.token(json!({ "cnf": {} })));
    Denial::Token(TokenError::UnknownKey(_)) => Denial::Token(TokenError::UnknownKey(IssuerId(0))),
        with_token(|house| house.token_with(json!({ "kid": "another" }), json!({})));
    Denial::Token(TokenError::Signature) => Denial::Token(TokenError::Signature),
        with_token(|house| {
            let (one, other) = (house.token(json!({})), house.token(json!({})));
            format!("{}.{}", one.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1)
        });
    Denial::Token(TokenError::KeysUnavailable(_)) => Denial::Token(TokenError::KeysUnavailable(IssuerId(1))),
        with_token(|house| house.token(json!({ "iss": "https://down.test" })));
    Denial::Token(TokenError::Inactive) => Denial::Token(TokenError::Inactive), Case::Elsewhere;
    Denial::Token(TokenError::NotIntrospected(_) | TokenError::IntrospectionUnavailable(_)) =>
        Denial::Token(TokenError::IntrospectionUnavailable(IssuerId(1))), Case::Elsewhere;
    Denial::Token(TokenError::IntrospectionBusy(_)) => Denial::Token(TokenError::IntrospectionBusy(IssuerId(1))), Case::Elsewhere;
    Denial::Token(TokenError::Denied(_)) => Denial::Token(TokenError::Denied(DeniedBy::Key)), Case::Elsewhere;

    Denial::Binding(BindingError::Downgrade) => Denial::Binding(BindingError::Downgrade),
        sent(|house| get("/bearer", &[("authorization", &format!("Bearer {}", house.token(json!({}))))]));
    Denial::Binding(BindingError::BearerNotAccepted) => Denial::Binding(BindingError::BearerNotAccepted),
        sent(|house| get("/orders", &[("authorization", &format!("Bearer {}", house.token(json!({ "cnf": null }))))]));
    Denial::Binding(BindingError::DpopNotAccepted) => Denial::Binding(BindingError::DpopNotAccepted),
        sent(|house| get("/bearer", &[("authorization", &format!("DPoP {}", house.token(json!({}))))]));
    Denial::Binding(BindingError::MtlsNotAccepted) => Denial::Binding(BindingError::MtlsNotAccepted),
        sent(|house| get("/bearer", &[("authorization", &bound_to_a_certificate(house))]));
    Denial::Binding(BindingError::CertificateMissing) => Denial::Binding(BindingError::CertificateMissing),
        sent(|house| get("/mtls", &[("authorization", &bound_to_a_certificate(house))]));
    Denial::Binding(BindingError::Certificate) => Denial::Binding(BindingError::Certificate), Case::Elsewhere;
    Denial::Binding(BindingError::Unbound) => Denial::Binding(BindingError::Unbound),
        with_token(|house| house.token(json!({ "cnf": null })));
    Denial::Binding(BindingError::Key) => Denial::Binding(BindingError::Key),
        sent(|house| {
            let thief = PrivateKey::generate(Algorithm::Es256).unwrap();
            let token = house.token(json!({}));
            with_proof(&token, &proof(&thief, json!({}), &token, json!({})))
        });
    Denial::Binding(BindingError::Identity) => Denial::Binding(BindingError::Identity),
        with_token(|house| house.token(json!({ "sub": "a\r\nX-Auth-Subject: root" })));
    Denial::ProofCount(ProofCountError::Missing) => Denial::ProofCount(ProofCountError::Missing),
        sent(|house| get("/orders", &[("authorization", &format!("DPoP {}", house.token(json!({}))))]));
    Denial::ProofCount(ProofCountError::Several) => Denial::ProofCount(ProofCountError::Several),
        sent(|house| {
            let token = house.token(json!({}));
            let proof = house.proof(&token, json!({}));
            with_proof(&token, &format!("{proof},{proof}"))
        });

    Denial::Proof(ProofError::TooLong) => Denial::Proof(ProofError::TooLong),
        claims(|| json!({ "padding": "a".repeat(8192) }));
    Denial::Proof(ProofError::Malformed) => Denial::Proof(ProofError::Malformed),
        sent(|house| with_proof(&house.token(json!({})), "a.b"));
    Denial::Proof(ProofError::Json) => Denial::Proof(ProofError::Json),
        sent(|house| {
            let token = house.token(json!({}));
            let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","alg":"ES256","jwk":{}}}"#, house.client.public_jwk());
            with_proof(&token, &house.client.sign(&header, "{}"))
        });
    Denial::Proof(ProofError::TooDeep) => Denial::Proof(ProofError::TooDeep), claims(|| json!({ "more": nested(8) }));
    Denial::Proof(ProofError::TooMany) => Denial::Proof(ProofError::TooMany), claims(|| json!({ "more": vec![0; 64] }));
    Denial::Proof(ProofError::Critical) => Denial::Proof(ProofError::Critical), header(|_| json!({ "crit": ["x"], "x": 1 }));
    Denial::Proof(ProofError::HeaderMember) => Denial::Proof(ProofError::HeaderMember), header(|_| json!({ "jwk": null }));
    Denial::Proof(ProofError::Claim) => Denial::Proof(ProofError::Claim), claims(|| json!({ "jti": null }));
    Denial::Proof(ProofError::JtiTooLong) => Denial::Proof(ProofError::JtiTooLong), claims(|| json!({ "jti": "a".repeat(257) }));
    Denial::Proof(ProofError::Type) => Denial::Proof(ProofError::Type), header(|_| json!({ "typ": "JWT" }));
    Denial::Proof(ProofError::Algorithm) => Denial::Proof(ProofError::Algorithm), header(|_| json!({ "alg": "RS256" }));
    Denial::Proof(ProofError::PrivateKey) => Denial::Proof(ProofError::PrivateKey),
        header(|house| json!({ "jwk": serde_json::from_str::<Value>(&house.client.private_jwk()).unwrap() }));
    Denial::Proof(ProofError::Key) => Denial::Proof(ProofError::Key),
        header(|_| json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" } }));
    Denial::Proof(ProofError::KeyAlgorithm) => Denial::Proof(ProofError::KeyAlgorithm), header(|_| json!({ "alg": "EdDSA" }));
    Denial::Proof(ProofError::Signature) => Denial::Proof(ProofError::Signature),
        sent(|house| {
            let token = house.token(json!({}));
            let (one, other) = (house.proof(&token, json!({})), house.proof(&token, json!({})));
            let mixed = format!("{}.{}", one.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
            with_proof(&token, &mixed)
        });
    Denial::Proof(ProofError::Htm) => Denial::Proof(ProofError::Htm), claims(|| json!({ "htm": "get" }));
    Denial::Proof(ProofError::HtuInvalid) => Denial::Proof(ProofError::HtuInvalid), claims(|| json!({ "htu": "/orders" }));
    Denial::Proof(ProofError::Htu) => Denial::Proof(ProofError::Htu), claims(|| json!({ "htu": "https://api.test/orders/" }));
    Denial::Proof(ProofError::NonceMissing) => Denial::Proof(ProofError::NonceMissing), to_nonce_route(|| json!({}));
    Denial::Proof(ProofError::NonceStale) => Denial::Proof(ProofError::NonceStale), to_nonce_route(|| json!({ "nonce": "old" }));
    Denial::Proof(ProofError::IatStale) => Denial::Proof(ProofError::IatStale), claims(|| json!({ "iat": NOW.as_secs() - 61 }));
    Denial::Proof(ProofError::IatFuture) => Denial::Proof(ProofError::IatFuture), claims(|| json!({ "iat": NOW.as_secs() + 11 }));
    Denial::Proof(ProofError::Expired) => Denial::Proof(ProofError::Expired), claims(|| json!({ "exp": NOW.as_secs() - 11 }));
    Denial::Proof(ProofError::NotYetValid) => Denial::Proof(ProofError::NotYetValid), claims(|| json!({ "nbf": NOW.as_secs() + 11 }));
    Denial::Proof(ProofError::AthMissing) => Denial::Proof(ProofError::AthMissing), claims(|| json!({ "ath": null }));
    Denial::Proof(ProofError::Ath) => Denial::Proof(ProofError::Ath), claims(|| json!({ "ath": "a".repeat(43) }));

    Denial::InsufficientScope => Denial::InsufficientScope, with_token(|house| house.token(json!({ "scope": "orders:reader" })));
    Denial::Replay(ReplayError::Replayed) => Denial::Replay(ReplayError::Replayed),
        after_a_good_one("", |house| good(house, "the same"));
    Denial::Replay(ReplayError::OverQuota) => Denial::Replay(ReplayError::OverQuota),
        after_a_good_one("replay: { per_key_limit: 1 }", |house| good(house, "another"));
    Denial::Replay(ReplayError::Full) => Denial::Replay(ReplayError::Full),
        after_a_good_one("replay: { capacity: 1 }", |house| good(house, "another"));
    Denial::Replay(ReplayError::Unknowable) => Denial::Replay(ReplayError::Unknowable), started("", |house| good(house, "first"));
    Denial::Replay(ReplayError::BeforeStart) => Denial::Replay(ReplayError::BeforeStart),
        started("replay: { on_start: wait }", |house| good(house, "first"));
    Denial::Replay(ReplayError::Unavailable) => Denial::Replay(ReplayError::Unavailable), Case::Elsewhere;
    Denial::Unsupported(UnsupportedError::WebSocket) => Denial::Unsupported(UnsupportedError::WebSocket),
        sent(|_| get("/public", &[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]));
    Denial::Marked => Denial::Marked, Case::Elsewhere;
    Denial::Body => Denial::Body,
        sent(|_| {
            let head = "POST /public HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
            format!("{head}5\r\nhello\r\nnot a size\r\n")
        });
}

/// A second issuer, whose keys can never be fetched.
pub const DOWN: &str = r#"  - { name: down, issuer: "https://down.test", audiences: ["https://api.test"], jwks_uri: "http://127.0.0.1:9/jwks" }"#;

fn with_proof(token: &str, proof: &str) -> String {
    get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", proof)])
}

/// Credentials with a token that a certificate binds.
fn bound_to_a_certificate(house: &House) -> String {
    format!("Bearer {}", house.token(json!({ "cnf": { "x5t#S256": "a".repeat(42) + "A" } })))
}

/// A good request whose proof has this `jti`; the same token every time.
pub fn good(house: &House, jti: &str) -> String {
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "jti": jti }));
    with_proof(&token, &proof)
}

/// A list with lists in it, of so many levels.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

fn sent(request: fn(&House) -> String) -> Case {
    Case::Sent(Box::new(request))
}

fn started(settings: &'static str, request: fn(&House) -> String) -> Case {
    Case::Started(settings, Box::new(request))
}

fn after_a_good_one(settings: &'static str, request: fn(&House) -> String) -> Case {
    Case::AfterAGoodOne(settings, Box::new(request))
}

/// This token, with a good proof for it.
fn with_token(token: fn(&House) -> String) -> Case {
    Case::Sent(Box::new(move |house| {
        let token = token(house);
        let proof = house.proof(&token, json!({}));
        with_proof(&token, &proof)
    }))
}

/// A good token, and a proof with these claims in place of its own.
fn claims(changes: fn() -> Value) -> Case {
    Case::Sent(Box::new(move |house| {
        let token = house.token(json!({}));
        let proof = house.proof(&token, changes());
        with_proof(&token, &proof)
    }))
}

/// A good token, and a proof with these header members in place of its own.
fn header(changes: fn(&House) -> Value) -> Case {
    Case::Sent(Box::new(move |house| {
        let token = house.token(json!({}));
        let proof = proof(&house.client, changes(house), &token, json!({}));
        with_proof(&token, &proof)
    }))
}

fn to_nonce_route(changes: fn() -> Value) -> Case {
    Case::Sent(Box::new(move |house| {
        let token = house.token(json!({}));
        let mut claims = changes();
        claims["htu"] = json!("https://api.test/nonce");
        let proof = house.proof(&token, claims);
        get("/nonce", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
    }))
}
