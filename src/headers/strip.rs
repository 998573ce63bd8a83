//! Headers that end here (RFC 9110 section 7.6.1), those that speak for the connection (RFC 7239), and those that would change what the
//! request means behind our back.

use super::table::{Kind, row};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
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

/// What stays in a request of the fields that are removed otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// What the peer says of where the request came from, in its own spelling: the peer may speak for others.
    pub origination: bool,
    /// Overrides of the method: a route that only observes makes no request fail that passed without the gateway.
    pub method_override: bool,
}

/// Removes from a request what must not reach the upstream: hop-by-hop fields, `Expect` (answered here), and whatever the table has
/// ([`Kind`]).
///
/// Call it before setting anything: whatever `Connection` names is removed.
pub fn strip_request(headers: &mut HeaderMap, keep: Keep) {
    strip_hop_by_hop(headers);
    headers.remove(EXPECT);
    join_cookies(headers);
    // Hardly any request has one: the list stays empty, and nothing is allocated.
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| keep.dooms(name.as_str())).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

impl Keep {
    fn dooms(self, name: &str) -> bool {
        row(name).is_some_and(|row| match row.kind {
            Kind::Method => !self.method_override,
            Kind::Framing => !row.is_spelled(name),
            Kind::Origination => !(self.origination && row.trusted && row.is_spelled(name)),
            Kind::Target | Kind::Host | Kind::Certificate | Kind::User | Kind::Internal => true,
        })
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
        strip_request(&mut map, Keep { origination: trusted, ..Keep::default() });
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
    fn what_an_application_might_believe_goes_in_every_spelling() {
        let always = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Framing | Kind::Origination));
        for name in always.flat_map(Kind::names).map(|name| name.replace('*', "-x")) {
            for mark in ["-", "_", ".", "~", ""] {
                let name = name.replace('-', mark);
                for trusted in [false, true] {
                    assert!(stripped(&[(&name, "a")], trusted).is_empty(), "{name}, trusted: {trusted}");
                }
            }
        }
    }

    #[test]
    fn another_spelling_of_a_framing_field_goes() {
        for (name, stays) in [
            ("content-length", true),
            ("content_length", false),
            ("transfer_encoding", false),
            ("Content.Length", false),
        ] {
            assert_eq!(!stripped(&[(name, "1")], true).is_empty(), stays, "{name}");
        }
    }

    #[test]
    fn observing_spares_overrides_of_the_method_alone() {
        let fields = [("X-HTTP-Method-Override", "PUT"), ("X_Method_Override", "PUT"), ("accept", "*/*")];
        let others = [("X-Original-URL", "/admin"), ("Client-Cert", "a"), ("X-Real-IP", "192.0.2.1")];
        let mut map = headers(&[fields.as_slice(), &others].concat());
        strip_request(&mut map, Keep { method_override: true, ..Keep::default() });
        assert_eq!(map, headers(&fields));
    }

    #[test]
    fn what_resembles_them_stays() {
        for name in ["x-original-filename", "method", "client", "x-forward", "forwarder", "certificate", "x"]
        {
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
