//! The client's side of RFC 9449: a key, a token bound to it, and a proof for each request.
//!
//! `keyproof request` and `keyproof demo` are made of it. [`exchange`] is one call to a protected resource,
//! [`token`] gets the token for it by client credentials, [`proof`] signs, [`HttpClient`] carries the
//! bytes.

mod http;
pub mod proof;
#[cfg(test)]
mod tests;
pub mod token;
mod trust;

pub use self::http::{Answer, CertificateTrouble, ClientError, HttpClient, Way, roots};
pub use crate::net::ConnectTo;

use self::proof::NewProof;
use crate::clock::Clock;
use crate::headers::{AuthScheme, DPOP};
use crate::jose::PrivateKey;
use ::http::header::{AUTHORIZATION, HeaderValue};
use ::http::{HeaderMap, Method, Request, Uri};
use bytes::Bytes;
use http_body_util::Full;

/// A request without its credentials.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The absolute URI; sent as it is written.
    pub uri: Uri,
    /// Further header lines.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

/// Which proof goes along.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// A new one by this key, for `htu`; signed again where the server asks for a nonce.
    Fresh {
        /// Who signs.
        key: &'a PrivateKey,
        /// The target URI that the proof names.
        htu: &'a str,
    },
    /// This text, whatever it is.
    Given(&'a str),
    /// None.
    None,
}

/// How a call is authorised.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The scheme.
    pub scheme: AuthScheme,
    /// The access token.
    pub token: &'a str,
    /// The proof.
    pub proof: Proof<'a>,
}

/// What went over the wire once: the credentials as sent, and the answer.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The `Authorization` line's value.
    pub authorization: String,
    /// The `DPoP` line's value.
    pub proof: Option<String>,
    /// What came back.
    pub answer: Answer,
}

/// Makes a call and follows one `use_dpop_nonce` challenge (RFC 9449 section 9) where the proof is ours to
/// sign.
///
/// What was sent is returned in order: one attempt, or the challenged one and the one that answers it.
///
/// # Errors
/// [`ClientError`] where no answer came; a refusal is an answer.
pub async fn exchange(
    http: &HttpClient,
    call: &Call,
    credentials: &Credentials<'_>,
    clock: &Clock,
) -> Result<Vec<Sent>, ClientError> {
    let first = attempt(http, call, credentials, None, clock).await?;
    let nonce = match credentials.proof {
        Proof::Fresh { .. } => first.answer.resource_nonce_challenge().map(str::to_owned),
        Proof::Given(_) | Proof::None => None,
    };
    let Some(nonce) = nonce else { return Ok(vec![first]) };
    let second = attempt(http, call, credentials, Some(&nonce), clock).await?;
    Ok(vec![first, second])
}

/// Sends `call` with exactly the credentials that `sent` carried, as somebody who recorded it could.
///
/// # Errors
/// [`ClientError`] where no answer came.
pub async fn repeat(http: &HttpClient, call: &Call, sent: &Sent) -> Result<Sent, ClientError> {
    send(http, call, sent.authorization.clone(), sent.proof.clone()).await
}

async fn attempt(
    http: &HttpClient,
    call: &Call,
    credentials: &Credentials<'_>,
    nonce: Option<&str>,
    clock: &Clock,
) -> Result<Sent, ClientError> {
    let scheme = credentials.scheme.name();
    let proof = match credentials.proof {
        Proof::Fresh { key, htu } => {
            let new = NewProof { method: &call.method, htu, token: Some(credentials.token), nonce };
            Some(proof::sign(key, &new, clock.now()))
        }
        Proof::Given(text) => Some(text.to_owned()),
        Proof::None => None,
    };
    send(http, call, format!("{scheme} {}", credentials.token), proof).await
}

async fn send(
    http: &HttpClient,
    call: &Call,
    authorization: String,
    proof: Option<String>,
) -> Result<Sent, ClientError> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.uri.clone();
    *request.headers_mut() = call.headers.clone();
    request.headers_mut().insert(AUTHORIZATION, header_value("Authorization", &authorization)?);
    if let Some(proof) = &proof {
        request.headers_mut().insert(DPOP, header_value("DPoP", proof)?);
    }
    let answer = http.send(request).await?;
    Ok(Sent { authorization, proof, answer })
}

fn header_value(name: &'static str, text: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(text).map_err(|_| ClientError::HeaderValue { name })
}
