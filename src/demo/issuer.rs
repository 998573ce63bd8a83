//! A small authorization server: metadata, keys, and a token endpoint that binds tokens to DPoP keys (RFC
//! 9449 sections 5 and 6).
//!
//! It is made of the gateway's own parts and knows one client. It is a prop, not a product: nothing is
//! stored, nobody logs in.

use super::listen::{Reply, json};
use super::stage::{CLIENT_ID, CLIENT_SECRET};
use crate::clock::{Clock, UnixTime};
use crate::dpop::{AcceptanceWindow, Expected, NonceMint, NoncePolicy, TargetUri, VerifiedProof, Verifier};
use crate::headers::{DPOP, only};
use crate::jose::{Algorithm, PrivateKey, Secret, encode, random};
use crate::uri::Origin;
use base64::Engine;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const TOKEN_PATH: &str = "/token";
const JWKS_PATH: &str = "/jwks";
/// How long a token lives, in seconds: long enough to play with.
const LIFETIME: i64 = 3600;
/// The longest token request that is read, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// The authorization server.
pub(super) struct AuthorizationServer {
    origin: Origin,
    audience: String,
    key: PrivateKey,
    verifier: Verifier,
    clock: Clock,
}

/// A token request that is refused (RFC 6749 section 5.2).
struct Refused(StatusCode, &'static str, String);

impl AuthorizationServer {
    /// A server at `origin`, whose tokens are for `audience`; `None` if no key can be made.
    pub(super) fn new(origin: Origin, audience: &str, clock: Clock) -> Option<Self> {
        let window = AcceptanceWindow { max_age: Duration::from_secs(60), leeway: Duration::from_secs(10) };
        let mint = Arc::new(NonceMint::new(&[Secret::random()], Duration::from_secs(120)));
        let verifier = Verifier::new(vec![Algorithm::Es256, Algorithm::EdDsa], window, mint);
        let key = PrivateKey::generate(Algorithm::Es256)?;
        Some(Self { origin, audience: audience.to_owned(), key, verifier, clock })
    }

    /// Answers one request.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Reply
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let (head, body) = request.into_parts();
        match (&head.method, head.uri.path()) {
            (
                &Method::GET,
                "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration",
            ) => json(StatusCode::OK, &self.metadata()),
            (&Method::GET, JWKS_PATH) => json(StatusCode::OK, &self.jwks()),
            (&Method::POST, TOKEN_PATH) => {
                let form = match Limited::new(body, MAX_FORM).collect().await {
                    Ok(body) => body.to_bytes(),
                    Err(_) => return refused(&Refused::request("the body is too long or broke off")),
                };
                match self.token(&head.headers, &form) {
                    Ok(answer) => json(StatusCode::OK, &answer),
                    Err(refusal) => refused(&refusal),
                }
            }
            _ => json(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
        }
    }

    fn metadata(&self) -> Value {
        let origin = self.origin.as_str();
        json!({
            "issuer": origin,
            "token_endpoint": format!("{origin}{TOKEN_PATH}"),
            "jwks_uri": format!("{origin}{JWKS_PATH}"),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519"],
        })
    }

    fn jwks(&self) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.key.public_jwk()).unwrap_or_default();
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), self.kid().into());
            members.insert("alg".to_owned(), self.key.algorithm().name().into());
            members.insert("use".to_owned(), "sig".into());
        }
        json!({ "keys": [jwk] })
    }

    fn kid(&self) -> String {
        self.key.public().thumbprint().to_string()
    }

    /// The token endpoint: who asks, with which key, for what.
    fn token(&self, headers: &HeaderMap, form: &[u8]) -> Result<Value, Refused> {
        let form: HashMap<_, _> = url::form_urlencoded::parse(form).into_owned().collect();
        if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
            return Err(Refused(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "client_credentials".to_owned(),
            ));
        }
        if client(headers, &form) != Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())) {
            return Err(Refused(StatusCode::UNAUTHORIZED, "invalid_client", "unknown client".to_owned()));
        }
        let now = self.clock.now();
        let proof = self.proof(headers, now)?;
        let scope = form.get("scope").map_or("orders:read", String::as_str);
        let access_token = self.sign(&proof, scope, now);
        Ok(
            json!({ "access_token": access_token, "token_type": "DPoP", "expires_in": LIFETIME, "scope": scope }),
        )
    }

    /// The proof that the client holds the key it wants a token for (RFC 9449 section 5).
    fn proof(&self, headers: &HeaderMap, now: UnixTime) -> Result<VerifiedProof, Refused> {
        let invalid = |text: String| Refused(StatusCode::BAD_REQUEST, "invalid_dpop_proof", text);
        let Ok(Some(line)) = only(headers, &DPOP) else {
            return Err(invalid("exactly one DPoP header line is needed".to_owned()));
        };
        let text = line.to_str().map_err(|_| invalid("the proof is not ASCII".to_owned()))?;
        let expected = Expected {
            method: &Method::POST,
            target: TargetUri { origin: &self.origin, path: TOKEN_PATH },
            ath: None,
            nonce: NoncePolicy::Off,
        };
        self.verifier.verify(text, &expected, now).map_err(|e| invalid(e.to_string()))
    }

    /// An `at+jwt` with every claim of RFC 9068 section 2.2, bound to the proof's key (RFC 9449 section 6.1).
    fn sign(&self, proof: &VerifiedProof, scope: &str, now: UnixTime) -> String {
        let header = json!({ "typ": "at+jwt", "alg": self.key.algorithm().name(), "kid": self.kid() });
        let claims = json!({
            "iss": self.origin.as_str(),
            "aud": self.audience,
            "sub": CLIENT_ID,
            "client_id": CLIENT_ID,
            "scope": scope,
            "iat": now.as_secs(),
            "exp": now.as_secs().saturating_add(LIFETIME),
            "jti": encode(&random::<16>()),
            "cnf": { "jkt": proof.jkt().to_string() },
        });
        self.key.sign(&header.to_string(), &claims.to_string())
    }
}

impl Refused {
    fn request(text: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, "invalid_request", text.to_owned())
    }
}

fn refused(Refused(status, error, text): &Refused) -> Reply {
    json(*status, &json!({ "error": error, "error_description": text }))
}

/// Id and secret, from `Authorization: Basic` or from the form (RFC 6749 section 2.3.1).
fn client(headers: &HeaderMap, form: &HashMap<String, String>) -> Option<(String, String)> {
    let Some(authorization) = headers.get(AUTHORIZATION) else {
        return Some((form.get("client_id")?.clone(), form.get("client_secret")?.clone()));
    };
    let basic = authorization.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(basic).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded =
        |text: &str| url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decoded(id)?, decoded(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::proof::{self, NewProof};
    use crate::jose::sha256;
    use crate::token::{ClaimNames, Confirmation, IssuerRules, Issuers, KeySet};

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
    const ORIGIN: &str = "http://127.0.0.1:9";
    const AUDIENCE: &str = "https://orders.demo";

    async fn ask(
        server: &AuthorizationServer,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: &str,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(http_body_util::Full::new(Bytes::from(form.to_owned()))).unwrap();
        let answer = server.answer(request).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn server() -> AuthorizationServer {
        AuthorizationServer::new(Origin::parse(ORIGIN).unwrap(), AUDIENCE, Clock::manual(NOW)).unwrap()
    }

    fn proof(key: &PrivateKey, htu: &str) -> String {
        let new = NewProof { method: &Method::POST, htu, token: None, nonce: None };
        proof::sign(key, &new, NOW)
    }

    const FORM: &str =
        "grant_type=client_credentials&client_id=shop&client_secret=demo-secret&scope=orders:read";

    #[tokio::test]
    async fn a_token_passes_the_gateways_own_checks_and_is_bound_to_the_proofs_key() {
        let (server, key) = (server(), PrivateKey::generate(Algorithm::Es256).unwrap());
        let proof = proof(&key, "http://127.0.0.1:9/token");
        let (status, answer) = ask(&server, Method::POST, "/token", &[("dpop", &proof)], FORM).await;
        assert_eq!((status, &answer["token_type"]), (StatusCode::OK, &"DPoP".into()), "{answer}");
        let (_, jwks) = ask(&server, Method::GET, "/jwks", &[], "").await;

        let issuers = Issuers::new(vec![IssuerRules {
            name: "demo".to_owned(),
            issuer: ORIGIN.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![Algorithm::Es256],
            token_types: vec!["at+jwt".to_owned()],
            claims: ClaimNames::default(),
            required_claims: None,
            leeway: Duration::ZERO,
            introspection: None,
        }]);
        let keys = KeySet::parse(jwks.to_string().as_bytes()).unwrap();
        issuers.iter().for_each(|(_, issuer)| issuer.publish(keys.clone()));
        let token = answer["access_token"].as_str().unwrap();
        let verified = issuers.verify(token, &sha256(&[token.as_bytes()]), NOW).unwrap();
        assert_eq!(verified.confirmation(), Confirmation::Key(key.public().thumbprint()));
        assert!(verified.has_scope("orders:read"));
    }

    #[tokio::test]
    async fn no_token_without_the_secret_or_a_proof_for_the_endpoint() {
        let (server, key) = (server(), PrivateKey::generate(Algorithm::Es256).unwrap());
        let good = proof(&key, "http://127.0.0.1:9/token");
        let elsewhere = proof(&key, "http://127.0.0.1:9/jwks");
        let wrong_secret = FORM.replace("demo-secret", "guess");
        let other_grant = FORM.replace("client_credentials", "password");
        let rows = [
            (&[][..], FORM, 400, "invalid_dpop_proof"),
            (&[("dpop", &*good), ("dpop", &*good)][..], FORM, 400, "invalid_dpop_proof"),
            (&[("dpop", &*elsewhere)][..], FORM, 400, "invalid_dpop_proof"),
            (&[("dpop", &*good)][..], &wrong_secret, 401, "invalid_client"),
            (&[("dpop", &*good)][..], &other_grant, 400, "unsupported_grant_type"),
        ];
        for (headers, form, status, error) in rows {
            let (found, answer) = ask(&server, Method::POST, "/token", headers, form).await;
            assert_eq!((found.as_u16(), &answer["error"]), (status, &error.into()), "{answer}");
        }
    }
}
