//! What a front says of the request that it asks about, whichever way it asks.

use crate::denial::DescriptionError;
use crate::gate::Authority;
use crate::uri::{Origin, Scheme};
use http::Method;
use http::header::{HeaderMap, HeaderName};
use http::uri::PathAndQuery;

/// The request that is asked about.
#[derive(Debug)]
pub(super) struct Described<'q> {
    pub(super) method: Method,
    /// Where the front need not say it, it may be missing.
    pub(super) scheme: Option<Scheme>,
    pub(super) authority: Authority<'q>,
    pub(super) target: PathAndQuery,
    /// The client's headers.
    pub(super) headers: &'q HeaderMap,
    pub(super) told_by: ToldBy,
}

/// Which field said it, for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToldBy {
    pub(super) scheme: &'static str,
    pub(super) authority: &'static str,
    pub(super) target: &'static str,
}

/// What is wrong with a description, and with which of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) error: DescriptionError,
    pub(super) fields: String,
}

impl Fault {
    pub(super) fn of(error: DescriptionError, field: &HeaderName) -> Self {
        Self::in_field(error, field.as_str())
    }

    pub(super) fn in_field(error: DescriptionError, field: &str) -> Self {
        Self { error, fields: field.to_owned() }
    }
}

/// Whether two fields name the same authority, as in `API.test:443` and `api.test`.
pub(super) fn is_same_authority(scheme: Scheme, one: &str, other: &str) -> bool {
    one == other || Origin::from_authority(scheme, one).is_ok_and(|origin| origin.is_authority(other))
}

pub(super) fn method(text: &str) -> Option<Method> {
    Method::from_bytes(text.as_bytes()).ok()
}

/// A front names the scheme of a WebSocket's URL, whose handshake is a request of http.
pub(super) fn scheme(text: &str) -> Option<Scheme> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some(Scheme::Https),
        () if is("http") || is("ws") => Some(Scheme::Http),
        () => None,
    }
}

/// A request target in origin form (RFC 9112 section 3.2.1). What its path may be is the gate's to say.
pub(super) fn target(text: &str) -> Option<PathAndQuery> {
    let is_one = text.starts_with('/') && !text.contains('#');
    is_one.then(|| PathAndQuery::try_from(text).ok())?
}
