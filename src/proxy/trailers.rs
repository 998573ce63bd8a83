//! Trailers: those that pass, and whom they are announced to (RFC 9110 section 6.5).

use crate::headers::{
    DPOP, DPOP_NONCE, Keep, Protected, TRACEPARENT, TRACESTATE, X_REQUEST_ID, lists, strip_request,
    strip_response, tokens,
};
use http::Version;
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE,
    DATE, EXPIRES, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PRAGMA, RETRY_AFTER, SET_COOKIE, TE,
    TRAILER, VARY, WWW_AUTHENTICATE,
};

/// Fields that a trailer must not have: those that say how to read the message, or what to do with it (RFC 9110 section 6.5.1), and those that
/// are ours to say.
static NEVER: [HeaderName; 18] = [
    AGE,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    DATE,
    DPOP_NONCE,
    EXPIRES,
    HOST,
    LOCATION,
    PRAGMA,
    RETRY_AFTER,
    SET_COOKIE,
    VARY,
    WWW_AUTHENTICATE,
    X_REQUEST_ID,
];

/// Whether the client reads trailers: over HTTP/2 always, over HTTP/1.1 if it says so (RFC 9110 section 6.5.1).
pub fn takes_trailers(version: Version, request: &HeaderMap) -> bool {
    version == Version::HTTP_2 || lists(request, &TE, "trailers")
}

/// Removes from an answer what ends at the gateway; the announcement of trailers stays for those who read them. hyper sends trailers over
/// HTTP/1.1 only where they are announced.
pub fn strip_answer(headers: &mut HeaderMap, takes_trailers: bool) {
    let announced = if takes_trailers { announced(headers, may_trail) } else { None };
    strip_response(headers);
    if let Some(announced) = announced {
        headers.insert(TRAILER, announced);
    }
}

/// Removes from a request's trailers what may not be there, and what no client may say.
pub(super) fn strip_request_trailers(trailers: &mut HeaderMap, protected: &Protected) {
    strip_request(trailers, Keep::default());
    protected.strip(trailers);
    while let Some(name) = trailers.keys().find(|name| !may_trail_a_request(name)).cloned() {
        trailers.remove(name);
    }
}

/// The names of a request's trailers that are announced and may be there.
pub(super) fn request_announcement(headers: &HeaderMap, protected: &Protected) -> Option<HeaderValue> {
    announced(headers, |name| may_trail_a_request(name) && !protected.covers(name.as_str()))
}

fn may_trail_a_request(name: &HeaderName) -> bool {
    may_trail(name) && *name != COOKIE && *name != DPOP && *name != TRACEPARENT && *name != TRACESTATE
}

/// Removes from an answer's trailers what may not be there.
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_response(trailers);
    while let Some(name) = trailers.keys().find(|name| !may_trail(name)).cloned() {
        trailers.remove(name);
    }
}

/// The names of the trailers that are announced and may be there.
fn announced(headers: &HeaderMap, may_trail: impl Fn(&HeaderName) -> bool) -> Option<HeaderValue> {
    let mut names = String::new();
    for name in tokens(headers, &TRAILER) {
        if let Some(name) = HeaderName::try_from(name).ok().filter(&may_trail) {
            let comma = if names.is_empty() { "" } else { ", " };
            names.push_str(comma);
            names.push_str(name.as_str());
        }
    }
    if names.is_empty() { None } else { HeaderValue::try_from(names).ok() }
}

fn may_trail(name: &HeaderName) -> bool {
    !NEVER.contains(name) && !name.as_str().starts_with("access-control-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn trailers_pass_without_what_is_not_theirs_to_say() {
        let mut trailers = headers(&[
            ("grpc-status", "0"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("dpop-nonce", "evil"),
            ("x-request-id", "evil"),
            ("set-cookie", "a=b"),
            ("access-control-allow-origin", "*"),
            ("x-checksum", "1"),
            ("x-checksum", "2"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(trailers, headers(&[("grpc-status", "0"), ("x-checksum", "1"), ("x-checksum", "2")]));
    }

    #[test]
    fn trailers_are_announced_to_those_who_read_them() {
        let answer =
            || headers(&[("trailer", "X-Sum, content-length,,bad name"), ("trailer", "X-T"), ("x", "1")]);
        let mut kept = answer();
        strip_answer(&mut kept, true);
        assert_eq!(kept, headers(&[("x", "1"), ("trailer", "x-sum, x-t")]));
        let mut dropped = answer();
        strip_answer(&mut dropped, false);
        assert_eq!(dropped, headers(&[("x", "1")]));
    }

    #[test]
    fn a_requests_trailers_say_nothing_that_is_ours_to_say() {
        let name = HeaderName::from_static("x-auth-subject");
        let protected = Protected::new([name].iter());
        let mut trailers = headers(&[
            ("x-sum", "1"),
            ("x_auth.subject", "admin"),
            ("x-auth-subject", "admin"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-http-method-override", "DELETE"),
            ("authorization", "Bearer a"),
            ("dpop", "a"),
            ("cookie", "a=b"),
            ("traceparent", "00-1"),
            ("host", "evil"),
            ("transfer-encoding", "chunked"),
            ("x-request-id", "evil"),
        ]);
        strip_request_trailers(&mut trailers, &protected);
        assert_eq!(trailers, headers(&[("x-sum", "1")]));
        let announcing = headers(&[("trailer", "X-Sum, x-auth-subject, host, dpop")]);
        assert_eq!(request_announcement(&announcing, &protected).unwrap(), "x-sum");
    }

    #[test]
    fn a_client_of_http_1_says_that_it_reads_trailers() {
        assert!(takes_trailers(Version::HTTP_2, &HeaderMap::new()));
        assert!(!takes_trailers(Version::HTTP_11, &HeaderMap::new()));
        assert!(!takes_trailers(Version::HTTP_11, &headers(&[("te", "gzip")])));
        assert!(takes_trailers(Version::HTTP_11, &headers(&[("te", "gzip, Trailers")])));
    }
}
