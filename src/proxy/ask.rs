//! What a request on a proxy listener asks, and on whose word.

use crate::denial::AuthorityError;
use crate::gate::{Authority, Question};
use crate::headers::{self, X_FORWARDED_HOST};
use crate::server::Peer;
use crate::uri::Scheme;
use http::header::{HOST, HeaderName};
use http::request::Parts;
use http::uri::Authority as UriAuthority;
use http::{HeaderMap, HeaderValue, Version};
use ipnet::IpNet;
use std::net::IpAddr;

/// Who sent a request, as far as we believe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// The TCP peer is a proxy that may speak for others.
    pub(super) trusted: bool,
    pub(super) tls: bool,
    pub(super) peer: IpAddr,
}

/// The request as a question to the gate.
pub(super) fn question<'q>(head: &'q Parts, sender: &Sender) -> Question<'q> {
    Question {
        method: &head.method,
        authority: authority(head, sender),
        scheme: if sender.tls { Scheme::Https } else { Scheme::Http },
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
    }
}

/// Whom the request names (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
fn authority<'q>(head: &'q Parts, sender: &Sender) -> Result<Authority<'q>, AuthorityError> {
    if head.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(AuthorityError::Invalid);
    }
    let host = only(&head.headers, &HOST)?;
    let target = head.uri.authority().map(UriAuthority::as_str);
    match (head.version, target, host) {
        (Version::HTTP_2, Some(target), Some(host)) if target != host => Ok(Authority::Same(target, host)),
        (Version::HTTP_2, Some(target), _) => Ok(Authority::One(target)),
        // RFC 9112 section 3.2: exactly one `Host`, whatever the target says.
        (_, _, None) => Err(AuthorityError::Invalid),
        // `GET orders HTTP/1.1`: only CONNECT takes the authority alone (RFC 9112 section 3.2.3). It is no authority then, and the path,
        // which there is none of, is refused.
        (_, Some(target), Some(host)) if head.uri.scheme().is_some() => {
            Ok(Authority::Target { target, host })
        }
        (_, Some(_), Some(host)) => Ok(Authority::One(host)),
        (_, None, Some(host)) if sender.trusted => {
            Ok(Authority::One(only(&head.headers, &X_FORWARDED_HOST)?.unwrap_or(host)))
        }
        (_, None, Some(host)) => Ok(Authority::One(host)),
    }
}

/// The header's one value; `None` if there is none.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, AuthorityError> {
    let line = headers::only(headers, name).map_err(|_| AuthorityError::Invalid)?;
    line.map(HeaderValue::to_str).transpose().map_err(|_| AuthorityError::Invalid)
}

impl Sender {
    /// The sender behind this peer; `trusted` are the proxies of its listener.
    pub(super) fn of(peer: &Peer, trusted: &[IpNet]) -> Self {
        let address = peer.address.ip().to_canonical();
        let trusted = trusted.iter().any(|network| network.contains(&address));
        Self { trusted, tls: peer.tls, peer: address }
    }

    /// The client's address: the peer's, or the last one in `X-Forwarded-For` that a trusted proxy vouches for and that is no proxy itself.
    pub(super) fn client(&self, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
        if !self.trusted {
            return self.peer;
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
        let mut hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        hops.reverse();
        let mut client = self.peer;
        for hop in hops {
            match hop.parse() {
                Ok(address) if trusted.iter().any(|network| network.contains(&address)) => client = address,
                Ok(address) => return address,
                Err(_) => return client,
            }
        }
        client
    }
}
