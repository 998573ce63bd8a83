//! What a door asks the gate.

use crate::certificate::Shown;
use crate::denial::AuthorityError;
use crate::headers::{self, X_FORWARDED_HOST};
use crate::uri::Scheme;
use http::header::{HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::uri::Authority as UriAuthority;
use http::{HeaderMap, HeaderValue, Method, Version};

/// One request, as the door that it came to has understood it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// The method.
    pub method: &'q Method,
    /// Whom the client asked; or the door could not tell, which is a refusal of its own place in the order.
    pub authority: Result<Authority<'q>, AuthorityError>,
    /// How the client reached us. It only chooses between public origins that differ in it.
    pub scheme: Scheme,
    /// The path, as it came.
    pub path: &'q str,
    /// The query, as it came.
    pub query: Option<&'q str>,
    /// The headers: credentials, proof, and what a browser says.
    pub headers: &'q HeaderMap,
    /// The client's certificate, as far as somebody who is believed says that it is the client's.
    pub certificate: &'q Shown,
}

/// The authorities that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority<'q> {
    /// One.
    One(&'q str),
    /// The target's counts; the one in `Host` must be one of ours too (RFC 9112 section 3.2.2).
    Target {
        /// The one that counts.
        target: &'q str,
        /// The one in `Host`.
        host: &'q str,
    },
    /// Both must be the same (RFC 9113 section 8.3.1).
    Same(&'q str, &'q str),
}

impl<'q> Question<'q> {
    /// The browser origin that asks, where there is one.
    pub fn origin(&self) -> Option<&'q HeaderValue> {
        self.headers.get(ORIGIN)
    }
}

impl<'q> Authority<'q> {
    /// The one that counts first.
    pub const fn first(&self) -> &'q str {
        match self {
            Self::One(one) | Self::Target { target: one, .. } | Self::Same(one, _) => one,
        }
    }

    /// Whom the request names (RFC 9112 section 3.2, RFC 9113 section 8.3.1). Where the front rewrites `Host` and is believed, its
    /// `X-Forwarded-Host` counts.
    ///
    /// # Errors
    /// None, or no one in particular.
    pub fn of(head: &'q Parts, believes_forwarded_host: bool) -> Result<Self, AuthorityError> {
        if head.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
            return Err(AuthorityError::Invalid);
        }
        let host = only(&head.headers, &HOST)?;
        let target = head.uri.authority().map(UriAuthority::as_str);
        match (head.version, target, host) {
            (Version::HTTP_2, Some(target), Some(host)) if target != host => Ok(Self::Same(target, host)),
            (Version::HTTP_2, Some(target), _) => Ok(Self::One(target)),
            // RFC 9112 section 3.2: exactly one `Host`, whatever the target says.
            (_, _, None) => Err(AuthorityError::Invalid),
            // `GET orders HTTP/1.1`: only CONNECT takes the authority alone (RFC 9112 section 3.2.3). It is no authority then, and the path,
            // which there is none of, is refused.
            (_, Some(target), Some(host)) if head.uri.scheme().is_some() => Ok(Self::Target { target, host }),
            (_, Some(_), Some(host)) => Ok(Self::One(host)),
            (_, None, Some(host)) if believes_forwarded_host => {
                Ok(Self::One(only(&head.headers, &X_FORWARDED_HOST)?.unwrap_or(host)))
            }
            (_, None, Some(host)) => Ok(Self::One(host)),
        }
    }
}

/// The header's one value; `None` if there is none.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, AuthorityError> {
    let line = headers::only(headers, name).map_err(|_| AuthorityError::Invalid)?;
    line.map(HeaderValue::to_str).transpose().map_err(|_| AuthorityError::Invalid)
}
