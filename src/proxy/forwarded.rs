//! Where a request came from: `X-Forwarded-*`, `Forwarded` and `Via`.

use crate::headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, is_tchar};
use crate::observe::write_address;
use crate::uri::Scheme;
use bytes::Bytes;
use http::Version;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, VIA};
use std::net::IpAddr;

/// What a request says about where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Origination<'a> {
    /// The TCP peer.
    pub peer: IpAddr,
    /// The peer may speak for others: what it said is continued, not replaced.
    pub trusted: bool,
    /// How the client reached us.
    pub scheme: Scheme,
    /// The public authority it asked for.
    pub authority: &'a HeaderValue,
    /// The protocol the request came in, for `Via`.
    pub version: Version,
}

/// Sets `X-Forwarded-For`, `-Proto`, `-Host`, `Forwarded` (RFC 7239) and `Via` (RFC 9110 section 7.6.3),
/// after [`strip_request`](crate::headers::strip_request).
pub fn set_forwarded(headers: &mut HeaderMap, from: &Origination<'_>) {
    let proto = match from.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let (peer, element) = forwarded_element(from, proto);
    set_list(headers, X_FORWARDED_FOR, from.trusted, peer);
    set_list(headers, FORWARDED, from.trusted, element);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(X_FORWARDED_HOST, from.authority.clone());
    let via = if from.version == Version::HTTP_2 { "2 keyproof" } else { "1.1 keyproof" };
    set_list(headers, VIA, true, Bytes::from_static(via.as_bytes()));
}

/// The peer's address, and `for=192.0.2.1;host=api.example.com;proto=https`, which it is a part of; what is no token is quoted (RFC 7239
/// section 4).
fn forwarded_element(from: &Origination<'_>, proto: &str) -> (Bytes, Bytes) {
    let peer = from.peer.to_canonical();
    let host = from.authority.as_bytes();
    let mut element = Vec::with_capacity(80_usize.saturating_add(host.len()));
    let (open, close) = if peer.is_ipv6() { ("for=\"[", "]\"") } else { ("for=", "") };
    element.extend_from_slice(open.as_bytes());
    let begin = element.len();
    write_address(peer, &mut element);
    let end = element.len();
    element.extend_from_slice(close.as_bytes());
    let quote: &[u8] = if host.iter().copied().all(is_tchar) { b"" } else { b"\"" };
    for part in [b";host=", quote, host, quote, b";proto=", proto.as_bytes()] {
        element.extend_from_slice(part);
    }
    let element = Bytes::from(element);
    (element.slice(begin..end), element)
}

/// Sets a list field to `element`, or continues the list that is there.
fn set_list(headers: &mut HeaderMap, name: HeaderName, keep: bool, element: Bytes) {
    let mut list = Vec::new();
    if keep {
        for value in headers.get_all(&name) {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
        }
    }
    let whole = if list.is_empty() {
        element
    } else {
        list.extend_from_slice(&element);
        Bytes::from(list)
    };
    // Pieces of header values make a header value.
    if let Ok(value) = HeaderValue::from_maybe_shared(whole) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::{Keep, strip_request};

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            map.append(name, value);
        }
        map
    }

    fn forwarded(fields: &[(&str, &str)], peer: &str, trusted: bool, authority: &str) -> HeaderMap {
        let mut map = headers(fields);
        strip_request(&mut map, Keep { origination: trusted, ..Keep::default() });
        let authority = HeaderValue::from_str(authority).unwrap();
        let peer = peer.parse().unwrap();
        let (scheme, version) = (Scheme::Https, Version::HTTP_11);
        set_forwarded(&mut map, &Origination { peer, trusted, scheme, authority: &authority, version });
        map
    }

    #[test]
    fn a_strangers_claims_are_replaced() {
        let claims = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "ftp"),
            ("forwarded", "for=evil"),
            ("via", "1.1 a"),
        ];
        let expected = headers(&[
            ("via", "1.1 a, 1.1 keyproof"),
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1;host=api.example.com;proto=https"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "api.example.com"),
        ]);
        assert_eq!(forwarded(&claims, "192.0.2.1", false, "api.example.com"), expected);
    }

    #[test]
    fn a_trusted_peers_claims_are_continued() {
        let claims =
            [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("forwarded", "for=1.1.1.1")];
        let map = forwarded(&claims, "192.0.2.1", true, "api.example.com");
        assert_eq!(map["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 192.0.2.1");
        assert_eq!(map["forwarded"], "for=1.1.1.1, for=192.0.2.1;host=api.example.com;proto=https");
        assert_eq!(map.get_all("x-forwarded-for").iter().count(), 1);
    }

    #[test]
    fn what_is_no_token_is_quoted() {
        let map = forwarded(&[], "2001:db8::1", false, "api.example.com:8443");
        assert_eq!(map["x-forwarded-for"], "2001:db8::1");
        assert_eq!(map["forwarded"], "for=\"[2001:db8::1]\";host=\"api.example.com:8443\";proto=https");
        assert_eq!(forwarded(&[], "::ffff:192.0.2.1", false, "a")["x-forwarded-for"], "192.0.2.1");
    }
}
