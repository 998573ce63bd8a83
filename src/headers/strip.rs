//! Headers that end here (RFC 9110 section 7.6.1), those that speak for the connection (RFC 7239), and those that would change what the
//! request means behind our back.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

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
    strip(headers, trusted, false);
}

/// The same where a route only observes: overrides of the method stay, since clients have lived by them so far.
pub fn strip_observed_request(headers: &mut HeaderMap, trusted: bool) {
    strip(headers, trusted, true);
}

fn strip(headers: &mut HeaderMap, trusted: bool, keeps_method_overrides: bool) {
    strip_hop_by_hop(headers);
    headers.remove(EXPECT);
    join_cookies(headers);
    let doomed = |name: &&HeaderName| match Meaning::of(name.as_str()) {
        Meaning::Other => false,
        Meaning::MethodOverride => !keeps_method_overrides,
        Meaning::UrlOverride | Meaning::Certificate => true,
        Meaning::Forwarding => !trusted || !is_canonical_forwarding(name),
    };
    // Hardly any request has one: the list stays empty, and nothing is allocated.
    let doomed: Vec<HeaderName> = headers.keys().filter(doomed).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Removes from a response what ends at the gateway.
pub fn strip_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
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
        if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// What a field means to applications that take `_`, `.` or anything else for `-` (CGI, WSGI, Rack and PHP
/// do).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Another method than the one that was checked.
    MethodOverride,
    /// Another URL.
    UrlOverride,
    /// A client certificate that no TLS handshake proved (RFC 9440 section 4).
    Certificate,
    /// Where the request came from.
    Forwarding,
    Other,
}

const METHOD_OVERRIDES: [&[u8]; 6] = [
    b"xhttpmethodoverride",
    b"httpmethodoverride",
    b"xhttpmethod",
    b"xmethodoverride",
    b"methodoverride",
    b"xoriginalmethod",
];
const URL_OVERRIDES: [&[u8]; 7] = [
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
/// Longer than every one of these names and prefixes.
const LONGEST: usize = 32;
/// No longer than any of them without its marks.
const SHORTEST: usize = 7;

impl Meaning {
    fn of(name: &str) -> Self {
        // What is looked for begins with one of these, and hardly anything else that is sent does.
        let first = name.bytes().find(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
        if !matches!(first, Some(b'x' | b'h' | b'm' | b'c' | b's' | b'f' | b't')) || name.len() < SHORTEST {
            return Self::Other;
        }
        let mut letters = [0; LONGEST];
        let mut length = 0;
        for (slot, byte) in letters.iter_mut().zip(name.bytes().filter(u8::is_ascii_alphanumeric)) {
            *slot = byte.to_ascii_lowercase();
            length += 1;
        }
        Self::of_letters(letters.get(..length).unwrap_or_default())
    }

    fn of_letters(letters: &[u8]) -> Self {
        if METHOD_OVERRIDES.contains(&letters) {
            Self::MethodOverride
        } else if URL_OVERRIDES.contains(&letters) {
            Self::UrlOverride
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
    fn every_name_that_is_looked_for_is_found() {
        for name in METHOD_OVERRIDES.iter().chain(&URL_OVERRIDES).chain(&CERTIFICATES).chain(&FORWARDING) {
            let name = str::from_utf8(name).unwrap();
            assert_ne!(Meaning::of(name), Meaning::Other, "{name}");
            assert_ne!(Meaning::of(&name.to_ascii_uppercase()), Meaning::Other, "{name}");
        }
    }

    #[test]
    fn observing_spares_overrides_of_the_method_alone() {
        let fields = [("X-HTTP-Method-Override", "PUT"), ("X_Method_Override", "PUT"), ("accept", "*/*")];
        let others = [("X-Original-URL", "/admin"), ("Client-Cert", "a"), ("X-Real-IP", "192.0.2.1")];
        let mut map = headers(&[fields.as_slice(), &others].concat());
        strip_observed_request(&mut map, false);
        assert_eq!(map, headers(&fields));
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
}
