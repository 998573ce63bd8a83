//! What a door asks the gate.

use crate::denial::AuthorityError;
use crate::uri::Scheme;
use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue, Method};

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
