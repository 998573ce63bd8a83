//! The bytes: one connection pool over TLS or plain TCP, answers read whole and bounded.

use super::trust::Anybody;
use crate::headers::DPOP_NONCE;
use crate::net::{self, ConnectTo, Interim, MAX_INTERIM, Proxies, pem::certificates};
use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// The longest body of an answer that is read, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// How long one exchange may take from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends requests over HTTP/1.1, with TLS where the URI says so.
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: Client<net::Connector, Full<Bytes>>,
    shows_certificate: bool,
}

/// How to get there, and whom to believe.
#[derive(Debug)]
pub struct Way {
    /// Whom to trust.
    pub roots: RootCertStore,
    /// Through which proxies https goes.
    pub proxies: Proxies,
    /// Where to connect instead of where a URL says.
    pub connect_to: Vec<ConnectTo>,
    /// Any certificate is taken.
    pub insecure: bool,
    /// Our own certificate, and its key, where a server asks for one.
    pub identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// What is the matter with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateTrouble {
    /// It is for other names.
    Name,
    /// It is over.
    Expired,
    /// It is not yet good.
    NotYetValid,
    /// Nobody who is trusted vouches for it.
    UnknownAuthority,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The version it came in.
    pub version: Version,
    /// The status.
    pub status: StatusCode,
    /// The header lines.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer, or no token.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The root certificates hold none, or one that cannot be read.
    #[error("no certificate authority can be read from it: {0}")]
    Roots(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// Something given by the user cannot stand in a header line.
    #[error("the value for {name} has a character that no header line may have")]
    HeaderValue {
        /// Which line.
        name: &'static str,
    },
    /// No key could be made.
    #[error("no key can be made")]
    Key,
    /// A URL that was put together is none.
    #[error("not a URL")]
    Url,
    /// A replay needs a request that was recorded before.
    #[error("nothing was recorded to replay")]
    NothingToRepeat,
    /// Connecting, sending or receiving failed.
    #[error("{authority}: {reason}")]
    Transport {
        /// Who was asked.
        authority: String,
        /// What happened, with its causes.
        reason: String,
        /// Where it is about the server's certificate, what.
        certificate: Option<CertificateTrouble>,
    },
    /// The authorization server's metadata cannot be used (RFC 8414).
    #[error("discovery at {issuer}: {reason}")]
    Discovery {
        /// The issuer that was asked about.
        issuer: String,
        /// What is wrong.
        reason: String,
    },
    /// The token endpoint gave no token (RFC 6749 section 5.2).
    #[error("the token endpoint answered {status}: {reason}")]
    Token {
        /// The status.
        status: StatusCode,
        /// `error` and `error_description`, or what is wrong with the answer.
        reason: String,
    },
}

impl HttpClient {
    /// A client that trusts these roots, and sends https through these proxies.
    ///
    /// # Errors
    /// [`ClientError::Tls`] if the TLS library refuses its own defaults.
    pub fn new(roots: RootCertStore, proxies: &Proxies) -> Result<Self, ClientError> {
        Self::by(Way {
            roots,
            proxies: proxies.clone(),
            connect_to: Vec::new(),
            insecure: false,
            identity: None,
        })
    }

    /// A client for plain HTTP to a neighbour.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn plain() -> Result<Self, ClientError> {
        Self::new(RootCertStore::empty(), &Proxies::default())
    }

    /// A client that goes this way.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn by(way: Way) -> Result<Self, ClientError> {
        // Named, not the process's default: nothing else decides what this client speaks.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(way.roots);
        let shows_certificate = way.identity.is_some();
        let mut tls = match way.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        if way.insecure {
            tls.dangerous().set_certificate_verifier(Arc::new(Anybody(provider)));
        }
        let connector = net::connector_to(&way.proxies, tls, way.connect_to);
        // A silent second try would look like a replay: a proof is sent once or not at all.
        let inner = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        Ok(Self { inner, shows_certificate })
    }

    /// Whether it has a certificate of its own, for servers that ask for one.
    pub const fn shows_certificate(&self) -> bool {
        self.shows_certificate
    }

    /// Sends one request and reads its answer whole. `User-Agent` and `Accept` are added where they are missing.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(net::USER_AGENT));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        match tokio::time::timeout(TIMEOUT, self.round_trip(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err((reason, certificate))) => Err(ClientError::Transport { authority, reason, certificate }),
            Err(_) => {
                let reason = format!("no complete answer within {} s", TIMEOUT.as_secs());
                Err(ClientError::Transport { authority, reason, certificate: None })
            }
        }
    }

    async fn round_trip(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, (String, Option<CertificateTrouble>)> {
        let interim = Interim::count(&mut request);
        let response = tokio::select! {
            biased;
            () = interim.exceeded() => return Err((format!("more than {MAX_INTERIM} interim (1xx) answers"), None)),
            response = self.inner.request(request) => response.map_err(|e| (with_causes(&e), CertificateTrouble::of(&e)))?,
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|e| {
            let reason = if e.is::<LengthLimitError>() {
                format!("the answer is longer than {MAX_BODY} bytes")
            } else {
                with_causes(e.as_ref())
            };
            (reason, None)
        })?;
        let (version, status, headers) = (head.version, head.status, head.headers);
        Ok(Answer { version, status, headers, body: body.to_bytes() })
    }
}

impl CertificateTrouble {
    /// What TLS said, somewhere among the causes.
    fn of(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(rustls::Error::InvalidCertificate(wrong)) = error.downcast_ref() {
                return Self::named(wrong);
            }
            // An `io::Error` skips what it wraps when it is asked for its source.
            let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            next = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add what we have no advice for")]
    const fn named(wrong: &CertificateError) -> Option<Self> {
        match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some(Self::Expired),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Some(Self::NotYetValid)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some(Self::Name)
            }
            CertificateError::UnknownIssuer => Some(Self::UnknownAuthority),
            _ => None,
        }
    }
}

impl ClientError {
    /// What is the matter with the server's certificate, where that is the reason.
    pub const fn certificate(&self) -> Option<CertificateTrouble> {
        match self {
            Self::Transport { certificate, .. } => *certificate,
            Self::Roots(_)
            | Self::Tls(_)
            | Self::HeaderValue { .. }
            | Self::Key
            | Self::Url
            | Self::NothingToRepeat
            | Self::Discovery { .. }
            | Self::Token { .. } => None,
        }
    }
}

/// Root certificates: those of `pem` and, with `native`, those that the operating system trusts.
///
/// # Errors
/// [`ClientError::Roots`] where `pem` holds no certificate or a broken one.
pub fn roots(native: bool, pem: Option<&[u8]>) -> Result<RootCertStore, ClientError> {
    let mut store = RootCertStore::empty();
    if native {
        // A machine without a trust store can still speak plain HTTP, or name its own authority.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let Some(pem) = pem else { return Ok(store) };
    for certificate in certificates(pem).map_err(|e| ClientError::Roots(format!("it {e}")))? {
        store.add(certificate).map_err(|e| ClientError::Roots(e.to_string()))?;
    }
    Ok(store)
}

impl Answer {
    /// The nonce to sign again with, where a resource server asks for one (RFC 9449 section 9).
    pub fn resource_nonce_challenge(&self) -> Option<&str> {
        let asked = self.status == StatusCode::UNAUTHORIZED
            && self.challenges().any(|line| parameter(line, "error").as_deref() == Some("use_dpop_nonce"));
        if asked { self.nonce() } else { None }
    }

    /// The nonce to sign again with, where an authorization server asks for one (RFC 9449 section 8).
    pub fn token_nonce_challenge(&self) -> Option<&str> {
        let asked = self.status == StatusCode::BAD_REQUEST
            && serde_json::from_slice::<serde_json::Value>(&self.body)
                .is_ok_and(|body| body.get("error").and_then(|e| e.as_str()) == Some("use_dpop_nonce"));
        if asked { self.nonce() } else { None }
    }

    /// A parameter of the first challenge that has it: `error`, `error_description`, `scope`, `algs`.
    pub fn challenge_parameter(&self, name: &str) -> Option<String> {
        self.challenges().find_map(|line| parameter(line, name))
    }

    fn challenges(&self) -> impl Iterator<Item = &str> {
        self.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok())
    }

    fn nonce(&self) -> Option<&str> {
        self.headers.get(DPOP_NONCE)?.to_str().ok()
    }
}

/// The value of `name="…"` in a challenge (RFC 9110 sections 5.6.6 and 11.2), quoted or a token.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some(equals) = rest.find('=') {
        let (before, after) = rest.split_at(equals);
        let found = before.rsplit([' ', ',', '\t']).next().unwrap_or_default();
        let (value, tail) = value(after.get(1..)?)?;
        if found.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = tail;
    }
    None
}

/// One value and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        let (token, tail) = text.split_at(end);
        return Some((token.to_owned(), tail));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match (escaped, c) {
            (false, '\\') => escaped = true,
            (false, '"') => return Some((value, quoted.get(at + 1..)?)),
            (true | false, c) => {
                value.push(c);
                escaped = false;
            }
        }
    }
    None
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_parameter_is_found_by_its_whole_name() {
        let line = r#"DPoP realm="a=\"b\", error", error="use_dpop_nonce", error_description="x, y", algs="ES256 EdDSA""#;
        let rows = [
            ("realm", Some(r#"a="b", error"#)),
            ("error", Some("use_dpop_nonce")),
            ("ERROR", Some("use_dpop_nonce")),
            ("error_description", Some("x, y")),
            ("algs", Some("ES256 EdDSA")),
            ("description", None),
            ("scope", None),
        ];
        for (name, expected) in rows {
            assert_eq!(parameter(line, name).as_deref(), expected, "{name}");
        }
        assert_eq!(
            parameter("Bearer, DPoP error=invalid_token, algs=ES256", "error").as_deref(),
            Some("invalid_token")
        );
        assert_eq!(parameter(r#"DPoP error="never closed"#, "error"), None);
    }

    #[test]
    fn a_file_without_a_certificate_is_no_root() {
        assert!(matches!(roots(false, Some(b"nothing here")), Err(ClientError::Roots(_))));
        assert!(roots(false, None).unwrap().is_empty());
    }
}
