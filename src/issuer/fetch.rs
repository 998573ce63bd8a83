//! Asking an issuer: answers bounded in size and time, no redirects.

use crate::net::{self, Interim, MAX_INTERIM, Proxies};
use crate::token::MAX_DOCUMENT;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// How much of a response head is read before it is given up, in bytes; hyper looks after each read, so it
/// may be twice that.
const MAX_HEAD: usize = 32 * 1024;
/// How many fields a head may have.
const MAX_FIELDS: usize = 100;

/// How long a connection is kept that nobody uses, where any is.
const IDLE: Duration = Duration::from_secs(20);

/// A document as it came, with how long its sender says that it is good for.
#[derive(Clone, Debug)]
pub struct Document {
    /// The body.
    pub body: Bytes,
    /// `Cache-Control: max-age`.
    pub max_age: Option<Duration>,
}

/// Why a document could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not a URL of https or http.
    #[error("not a URL that can be fetched")]
    Url,
    /// No connection, no TLS, or no HTTP on it; the text says which.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// A status other than 200. Redirects are not followed: where keys come from is the configuration's to
    /// say.
    #[error("answered {0}, not 200")]
    Status(StatusCode),
    /// A body of more than [`MAX_DOCUMENT`] bytes.
    #[error("the answer is longer than {MAX_DOCUMENT} bytes")]
    TooLarge,
    /// More than [`MAX_INTERIM`] interim answers.
    #[error("more than {MAX_INTERIM} interim (1xx) answers")]
    Interim,
    /// The body broke off.
    #[error("the answer broke off")]
    Broken,
    /// Not finished in time.
    #[error("no answer in time")]
    Timeout,
}

/// Fetches one document within 5 seconds, as keys are fetched, through these proxies.
///
/// # Errors
/// [`FetchError`], as its variants say.
pub async fn fetch(url: &Url, proxies: &Proxies) -> Result<Document, FetchError> {
    timeout(super::TIMING.attempt, Fetcher::new(proxies).get(url)).await.map_err(|_| FetchError::Timeout)?
}

/// An HTTP client that trusts the system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR`
/// replace them).
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client<net::Connector, Full<Bytes>>,
}

impl Fetcher {
    pub(super) fn new(proxies: &Proxies) -> Self {
        Self::trusting(net::tls::system_roots(), proxies)
    }

    pub(super) fn trusting(roots: RootCertStore, proxies: &Proxies) -> Self {
        // Minutes pass between two fetches: a new connection each time follows DNS and never meets a dead
        // one.
        Self::with(net::tls::client(roots).with_no_client_auth(), proxies, 0)
    }

    /// One that speaks this TLS, and keeps as many connections for later.
    pub(super) fn with(tls: ClientConfig, proxies: &Proxies, kept: usize) -> Self {
        let connector = net::connector(proxies, tls);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(kept)
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_FIELDS)
            .retry_canceled_requests(kept > 0)
            .build(connector);
        Self { client }
    }

    /// One GET. The caller bounds the time.
    pub(super) async fn get(&self, url: &Url) -> Result<Document, FetchError> {
        if !matches!(url.scheme(), "https" | "http") {
            return Err(FetchError::Url);
        }
        let uri: Uri = url.as_str().parse().map_err(|_| FetchError::Url)?;
        let request = Request::get(uri).header(ACCEPT, "application/json, application/jwk-set+json");
        let request = request.body(Full::default()).map_err(|_| FetchError::Url)?;
        let response = self.exchange(request).await?;
        let max_age = max_age(response.headers());
        Ok(Document { body: response.into_body(), max_age })
    }

    /// One request, and its answer with status 200. The caller bounds the time.
    pub(super) async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, FetchError> {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(net::USER_AGENT));
        let interim = Interim::count(&mut request);
        let response = tokio::select! {
            biased;
            () = interim.exceeded() => return Err(FetchError::Interim),
            response = self.client.request(request) => response.map_err(|error| unreachable_because(&error))?,
        };
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_DOCUMENT).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { FetchError::TooLarge } else { FetchError::Broken }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// The innermost cause: the outer ones only say that a client had an error.
fn unreachable_because(error: &dyn std::error::Error) -> FetchError {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    FetchError::Unreachable(cause.to_string())
}

/// `max-age` in seconds (RFC 9111 section 5.2.2.1); `None` where it is absent or not a number.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    directives.split(',').find_map(|directive| {
        let (name, seconds) = directive.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| Duration::from_secs(seconds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_where_it_is_a_number() {
        let of = |value: &'static str| {
            max_age(&HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(value))]))
                .map(|age| age.as_secs())
        };
        assert_eq!(of("public, max-age=300, must-revalidate"), Some(300));
        assert_eq!(of("Max-Age=\"60\""), Some(60));
        assert_eq!(of("s-maxage=5"), None);
        assert_eq!(of("max-age=-1"), None);
        assert_eq!(of("no-store"), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
