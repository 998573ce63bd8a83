//! Headers that end here (RFC 9110 section 7.6.1), those that speak for the connection (RFC 7239), and those
//! that would change what the request means behind our back.

use crate::uri::Scheme;
use http::Version;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Hop-by-hop whether `Connection` names them or not. No constant: every use of one would make eleven names.
static HOP_BY_HOP: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
];

/// Removes from a request what must not reach the upstream: hop-by-hop fields, `Expect` (answered here),
/// overrides of method and URL, certificates in headers, and claims about the client's address.
///
/// Call it before setting anything: whatever `Connection` names is removed. `trusted` is whether the peer may
/// speak for others; its `X-Forwarded-*` and `Forwarded` then stay, in their own spelling only.
pub fn strip_request(headers: &mut HeaderMap, trusted: bool) {
    strip_hop_by_hop(headers);
    headers.remove(EXPECT);
    join_cookies(headers);
    let doomed = |name: &&HeaderName| match Meaning::of(name.as_str()) {
        Meaning::Other => false,
        Meaning::Override | Meaning::Certificate => true,
        Meaning::Forwarding => !trusted || !is_canonical_forwarding(name),
    };
    // Hardly any request has one: the list stays empty, and nothing is allocated.
    let doomed: Vec<HeaderName> = headers.keys().filter(doomed).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Whether the body comes in no transfer coding, or in `chunked` once and nothing else: another coding would end here with
/// `Transfer-Encoding`, and the upstream would take the coded bytes for the content (RFC 9112 section 6.1).
pub(super) fn is_chunked_at_most(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |line: &HeaderValue| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    lines.next().is_none_or(chunked) && lines.next().is_none()
}

/// Removes from a response what ends at the gateway.
pub fn strip_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
}

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
/// after [`strip_request`].
pub fn set_forwarded(headers: &mut HeaderMap, from: &Origination<'_>) {
    let proto = match from.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let peer = from.peer.to_canonical().to_string();
    let element = forwarded_element(from, &peer, proto);
    append(headers, X_FORWARDED_FOR, from.trusted, peer);
    append(headers, FORWARDED, from.trusted, element);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(X_FORWARDED_HOST, from.authority.clone());
    let via = if from.version == Version::HTTP_2 { "2 keyproof" } else { "1.1 keyproof" };
    if headers.contains_key(VIA) {
        append(headers, VIA, true, via.to_owned());
    } else {
        headers.insert(VIA, HeaderValue::from_static(via));
    }
}

/// `for=192.0.2.1;host=api.example.com;proto=https`; what is no token is quoted (RFC 7239 section 4).
fn forwarded_element(from: &Origination<'_>, peer: &str, proto: &str) -> String {
    let mut element = String::with_capacity(96);
    let (open, close) = if from.peer.to_canonical().is_ipv6() { ("\"[", "]\"") } else { ("", "") };
    element.extend(["for=", open, peer, close]);
    if let Ok(host) = from.authority.to_str() {
        let quote = if host.bytes().all(is_token) { "" } else { "\"" };
        element.extend([";host=", quote, host, quote]);
    }
    element.extend([";proto=", proto]);
    element
}

/// Sets a list field to `element`, or continues the list that is there.
fn append(headers: &mut HeaderMap, name: HeaderName, keep: bool, element: String) {
    let mut list = Vec::new();
    if keep {
        for value in headers.get_all(&name) {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
        }
    }
    if list.is_empty() {
        list = element.into_bytes();
    } else {
        list.extend_from_slice(element.as_bytes());
    }
    // Pieces of header values make a header value.
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        headers.insert(name, value);
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        // The target and the framing are not the client's to take away; `close` is an option, never a field.
        .filter(|name| {
            *name != HOST && *name != CONTENT_LENGTH && *name != "close" && !HOP_BY_HOP.contains(name)
        })
        .collect();
    for name in named {
        headers.remove(name);
    }
    // Comparing the few names there are is cheaper than looking each of these up, and nearly always there is none.
    while let Some(name) = headers.keys().find(|name| HOP_BY_HOP.contains(name)).cloned() {
        headers.remove(name);
    }
}

/// HTTP/2 may split `Cookie` over several fields; HTTP/1.1 has one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let mut joined = first.as_bytes().to_vec();
        for more in std::iter::once(second).chain(cookies) {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(more.as_bytes());
        }
        if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// What a field means to applications that take `_`, `.` or anything else for `-` (CGI, WSGI, Rack and PHP
/// do).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Another method or another URL than the one that was checked.
    Override,
    /// A client certificate that no TLS handshake proved (RFC 9440 section 4).
    Certificate,
    /// Where the request came from.
    Forwarding,
    Other,
}

/// Longer than every name and prefix below.
const LONGEST: usize = 32;

impl Meaning {
    fn of(name: &str) -> Self {
        let mut letters = [0; LONGEST];
        let mut length = 0;
        for (slot, byte) in letters.iter_mut().zip(name.bytes().filter(u8::is_ascii_alphanumeric)) {
            *slot = byte.to_ascii_lowercase();
            length += 1;
        }
        Self::of_letters(letters.get(..length).unwrap_or_default())
    }

    fn of_letters(letters: &[u8]) -> Self {
        const OVERRIDES: [&[u8]; 13] = [
            b"xhttpmethodoverride",
            b"httpmethodoverride",
            b"xhttpmethod",
            b"xmethodoverride",
            b"methodoverride",
            b"xoriginalmethod",
            b"xoriginalurl",
            b"xoriginaluri",
            b"xoriginalhost",
            b"xrewriteurl",
            b"xrewriteuri",
            b"xoverrideurl",
            b"xhttpdestinationurl",
        ];
        const CERTIFICATES: [&[u8]; 11] = [
            b"clientcert",
            b"xclientcert",
            b"xclientverify",
            b"xclientdn",
            b"sslclient",
            b"xsslclient",
            b"xsslcert",
            b"xtlsclient",
            b"xforwardedclientcert",
            b"xforwardedtlsclientcert",
            b"xarrclientcert",
        ];
        const FORWARDING: [&[u8]; 8] = [
            b"forwarded",
            b"forwardedfor",
            b"xrealip",
            b"xclientip",
            b"clientip",
            b"trueclientip",
            b"xclusterclientip",
            b"xoriginalforwardedfor",
        ];
        if OVERRIDES.contains(&letters) {
            Self::Override
        } else if CERTIFICATES.iter().any(|prefix| letters.starts_with(prefix))
            || letters.starts_with(b"xamznmtls")
        {
            Self::Certificate
        } else if letters.starts_with(b"xforwarded") || FORWARDING.contains(&letters) {
            Self::Forwarding
        } else {
            Self::Other
        }
    }
}

/// Whether a forwarding field is spelled as its specification has it.
fn is_canonical_forwarding(name: &HeaderName) -> bool {
    *name == FORWARDED
        || name
            .as_str()
            .strip_prefix("x-forwarded-")
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
}

/// A `tchar` (RFC 9110 section 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn stripped(fields: &[(&str, &str)], trusted: bool) -> HeaderMap {
        let mut map = headers(fields);
        strip_request(&mut map, trusted);
        map
    }

    #[test]
    fn what_connection_names_ends_here() {
        let left = stripped(
            &[
                ("connection", "close, X-One"),
                ("Connection", "x-two ,, keep-alive, not a name"),
                ("x-one", "1"),
                ("x-two", "2"),
                ("x-three", "3"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("te", "trailers"),
                ("trailer", "x-auth-subject"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABk"),
                ("proxy-authorization", "Basic a"),
                ("expect", "100-continue"),
            ],
            true,
        );
        assert_eq!(left, headers(&[("x-three", "3")]));
    }

    #[test]
    fn connection_cannot_take_target_or_framing_away() {
        let left = stripped(
            &[("connection", "host, content-length"), ("host", "a"), ("content-length", "2")],
            false,
        );
        assert_eq!(left, headers(&[("host", "a"), ("content-length", "2")]));
    }

    #[test]
    fn overrides_and_certificates_go_in_every_spelling() {
        let overrides = [
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X-Original-URL",
            "X-Original-URI",
            "X-Original-Method",
            "X-Original-Host",
            "X-Rewrite-URL",
        ];
        let certificates = [
            "Client-Cert",
            "Client-Cert-Chain",
            "X-SSL-Client-Cert",
            "X-SSL-Client-Verify",
            "SSL-Client-Cert",
            "X-Client-Cert",
            "X-Forwarded-Client-Cert",
            "X-Forwarded-Tls-Client-Cert",
            "X-Forwarded-Tls-Client-Cert-Info",
            "X-ARR-ClientCert",
            "X-Amzn-Mtls-Clientcert",
        ];
        for name in overrides.iter().chain(&certificates) {
            for mark in ["-", "_", ".", "~", ""] {
                let name = name.replace('-', mark);
                for trusted in [false, true] {
                    assert!(stripped(&[(&name, "a")], trusted).is_empty(), "{name}, trusted: {trusted}");
                }
            }
        }
    }

    #[test]
    fn what_resembles_them_stays() {
        for name in [
            "x-method",
            "x-original-filename",
            "method",
            "client",
            "x-forward",
            "forwarder",
            "certificate",
            "x",
        ] {
            assert!(stripped(&[(name, "a")], false).contains_key(name), "{name}");
        }
    }

    #[test]
    fn only_a_trusted_peer_speaks_for_others_and_only_in_the_right_spelling() {
        for name in
            ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded"]
        {
            assert!(stripped(&[(name, "a")], false).is_empty(), "{name}");
            assert_eq!(stripped(&[(name, "a")], true).len(), 1, "{name}");
        }
        for name in [
            "X_Forwarded_For",
            "X.Forwarded.Host",
            "X-Forwarded_Proto",
            "XForwardedFor",
            "X-Real-IP",
            "X_Real_IP",
        ] {
            for trusted in [false, true] {
                assert!(stripped(&[(name, "a")], trusted).is_empty(), "{name}, trusted: {trusted}");
            }
        }
    }

    #[test]
    fn cookies_become_one_line() {
        let left = stripped(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")], false);
        assert_eq!(left, headers(&[("cookie", "a=1; b=2; c=3")]));
    }

    fn forwarded(fields: &[(&str, &str)], peer: &str, trusted: bool, authority: &str) -> HeaderMap {
        let mut map = stripped(fields, trusted);
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
