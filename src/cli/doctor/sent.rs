//! What is sent.

use super::{DoctorArgs, Failure};
use crate::client::proof::{self, NewProof};
use crate::clock::UnixTime;
use crate::headers::{DPOP, X_KEYPROOF_DOCTOR};
use crate::jose::{Algorithm, PrivateKey, encode, random};
use crate::uri::{Origin, Scheme};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

/// How many random bytes stand where a token would: together as long as tokens are.
const TOKEN: usize = 16 * 36;

/// The marked request, as it left.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) scheme: Scheme,
    pub(super) origin: Origin,
    /// What the proof names.
    pub(super) htu: String,
    /// Every header line but those that a client adds on its own.
    pub(super) headers: HeaderMap,
}

impl Sent {
    /// The request to send with this mark.
    ///
    /// # Errors
    /// An argument cannot be used.
    pub(super) fn prepare(
        args: &DoctorArgs,
        mark: &str,
        now: UnixTime,
    ) -> Result<(Self, Request<Full<Bytes>>), Failure> {
        let usage = |text: &str| Failure::Usage(text.to_owned());
        let scheme = match args.url.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => return Err(usage("URL: not an absolute http or https URL")),
        };
        let authority = args.url.authority().map_or("", |authority| authority.as_str());
        let origin =
            Origin::from_authority(scheme, authority).map_err(|error| usage(&format!("URL: {error}")))?;
        let htu = proof::htu(&args.url);
        let headers = headers(args, mark, &htu, now)?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = args.method.clone();
        *request.uri_mut() = args.url.clone();
        *request.headers_mut() = headers.clone();
        let (method, uri) = (args.method.clone(), args.url.clone());
        Ok((Self { method, uri, scheme, origin, htu, headers }, request))
    }

    /// The browser origin that it was sent for.
    pub(super) fn browser(&self) -> Option<&str> {
        self.headers.get(ORIGIN)?.to_str().ok()
    }
}

/// Two `DPoP` lines of different length, to see what becomes of each: the first is a proof that is good for this request.
fn headers(args: &DoctorArgs, mark: &str, htu: &str, now: UnixTime) -> Result<HeaderMap, Failure> {
    let usage = |text: String| Failure::Usage(text);
    let key = match &args.key {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|error| usage(format!("--key {}: {error}", file.display())))?;
            PrivateKey::read(&text).map_err(|error| usage(format!("--key {}: {error}", file.display())))?
        }
        None => {
            PrivateKey::generate(Algorithm::Es256).ok_or_else(|| usage("no key can be made".to_owned()))?
        }
    };
    let token = match &args.token {
        Some(token) => {
            crate::cli::request::text_or_file("--token", token).map_err(|error| usage(error.to_string()))?
        }
        None => (0..TOKEN / 16).map(|_| encode(&random::<16>())).collect(),
    };
    let new = NewProof { method: &args.method, htu, token: Some(&token), nonce: None };
    let proof = proof::sign(&key, &new, now);
    let other = proof.rsplit_once('.').map_or("", |(unsigned, _)| unsigned).to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in &args.header {
        if [HOST, AUTHORIZATION, DPOP, X_KEYPROOF_DOCTOR].contains(name) {
            return Err(usage(format!("--header: {name} is sent by the doctor itself")));
        }
        headers.append(name.clone(), value.clone());
    }
    let line =
        |text: &str| HeaderValue::from_str(text).map_err(|_| usage("--token: not a header value".to_owned()));
    headers.insert(AUTHORIZATION, line(&format!("DPoP {token}"))?);
    headers.append(DPOP, line(&proof)?);
    headers.append(DPOP, line(&other)?);
    headers.insert(X_KEYPROOF_DOCTOR, line(mark)?);
    Ok(headers)
}
