//! The request: the token, and how the gateway shows who it is.

use crate::clock::UnixTime;
use crate::config::{ClientAuthentication, IntrospectionPlan};
use crate::jose::{PrivateKey, encode, random};
use crate::net::client_secret_basic;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// How long an assertion is good.
const LIFETIME: Duration = Duration::from_secs(60);

/// The question about this token (RFC 7662 section 2.1); `audience` is the issuer's identifier. `None` where the configuration holds what no
/// request can.
pub(super) fn question(
    plan: &IntrospectionPlan,
    audience: &str,
    token: &str,
    now: UnixTime,
) -> Option<Request<Full<Bytes>>> {
    let uri: Uri = plan.endpoint.as_str().parse().ok()?;
    let accepted = if plan.signed { "application/token-introspection+jwt" } else { "application/json" };
    let mut request = Request::post(uri).header(ACCEPT, accepted);
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token).append_pair("token_type_hint", "access_token");
    match &plan.authentication {
        ClientAuthentication::SecretBasic(secret) => {
            let mut value = HeaderValue::try_from(client_secret_basic(&plan.client_id, secret)).ok()?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        ClientAuthentication::SecretPost(secret) => {
            form.append_pair("client_id", &plan.client_id).append_pair("client_secret", secret);
        }
        ClientAuthentication::PrivateKeyJwt(key) => {
            form.append_pair("client_id", &plan.client_id)
                .append_pair(
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                )
                .append_pair("client_assertion", &assertion(key, &plan.client_id, audience, now));
        }
        // RFC 8705 section 2: the certificate says it, and client_id says whose it is.
        ClientAuthentication::Tls(_) => {
            form.append_pair("client_id", &plan.client_id);
        }
    }
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Full::from(form.finish())).ok()
}

/// `private_key_jwt` (RFC 7523 section 3; OpenID Connect Core section 9). `kid` is the key's thumbprint (RFC 7638).
fn assertion(key: &PrivateKey, client_id: &str, audience: &str, now: UnixTime) -> String {
    let header = serde_json::json!({
        "typ": "JWT",
        "alg": key.algorithm().name(),
        "kid": key.public().thumbprint().to_string(),
    });
    let claims = serde_json::json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": encode(&random::<16>()),
        "iat": now.as_secs(),
        "exp": now.saturating_add(LIFETIME).as_secs(),
    });
    key.sign(&header.to_string(), &claims.to_string())
}
