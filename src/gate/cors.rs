//! Browser clients: which origins a route lets read its answers, and preflights (WHATWG Fetch, "HTTP CORS protocol").

use super::{Answer, Gate, Located, Question};
use crate::config::CorsPlan;
use crate::headers::{is_token, lists, tokens};
use crate::names::RouteId;
use crate::observe::Exchange;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};
use http::{Method, StatusCode};

impl Gate {
    /// Completes an answer of this route for browsers and for caches between: an allowed origin may read it, and whoever asked, the answer
    /// depends on it.
    pub fn show_to_browser(&self, route: RouteId, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(cors) = self.rules.get(route).and_then(|rule| rule.cors.as_ref()) else { return };
        if let Some(origin) = allowed(cors, origin) {
            allow_origin(headers, origin);
        }
        vary_by_origin(headers);
    }

    /// A preflight asks on behalf of another method: the route of that one answers, and the upstream is never asked without credentials.
    pub(super) fn preflight(
        &self,
        question: &Question<'_>,
        place: &Located<'_, '_>,
        exchange: &Exchange,
    ) -> Option<(Answer, RouteId)> {
        let route = self.asked_about(question, place)?;
        let origin = allowed(self.rules.get(route)?.cors.as_ref()?, question.origin())?;
        let mut answer = preflight(question.headers, origin, exchange.request_id());
        allow_origin(&mut answer.headers, origin);
        Some((answer, route))
    }

    /// The route that a preflight asks about: the one for the method that it names.
    pub(super) fn asked_about(&self, question: &Question<'_>, place: &Located<'_, '_>) -> Option<RouteId> {
        if !is_preflight(question.method, question.headers) {
            return None;
        }
        let requested = question.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes();
        Some(self.route(place, &Method::from_bytes(requested).ok()?).ok()?.0)
    }
}

/// The request's origin, if the route allows it: one of the configured ones, never `null` or just any.
fn allowed<'o>(cors: &CorsPlan, origin: Option<&'o HeaderValue>) -> Option<&'o HeaderValue> {
    origin.filter(|origin| cors.origins.iter().any(|allowed| *allowed == **origin))
}

/// Whether a request is a CORS preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method`. Any
/// other `OPTIONS` is a request like all others.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of an allowed origin: 204, without a body.
///
/// The method asked for is allowed, whatever it is: a preflight has no credentials, and the request that follows is checked.
fn preflight(request: &HeaderMap, origin: &HeaderValue, request_id: HeaderValue) -> Answer {
    let mut answer = Answer::empty(StatusCode::NO_CONTENT, request_id);
    let headers = &mut answer.headers;
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(request));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(
        VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    if let Some(method) =
        request.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|method| is_token(method.as_bytes()))
    {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    answer
}

/// Tells a browser that this origin may read the answer. `origin` is one of the route's allowed ones, never
/// just an echo.
///
/// What the upstream said about CORS is replaced: two `Access-Control-Allow-Origin` are none (Fetch standard,
/// CORS check).
fn allow_origin(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        exposed(headers).unwrap_or_else(|| HeaderValue::from_static(EXPOSED)),
    );
    headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
}

/// Tells caches that another origin gets another answer, and so does a request without one (Fetch standard, "CORS protocol and HTTP
/// caches").
fn vary_by_origin(headers: &mut HeaderMap) {
    if !lists(headers, &VARY, "origin") && !lists(headers, &VARY, "*") {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// `Date` is there for a script whose clock is wrong.
const EXPOSED: &str = "DPoP-Nonce, WWW-Authenticate, X-Request-Id, Date";

/// Ours and what the upstream exposes besides; `None` where that is nothing.
fn exposed(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut names = EXPOSED.to_owned();
    for name in named(headers, &ACCESS_CONTROL_EXPOSE_HEADERS) {
        push_missing(&mut names, name);
    }
    (names.len() > EXPOSED.len()).then(|| HeaderValue::from_str(&names).ok()).flatten()
}

/// `Authorization` must be named: `*` does not cover it. What was asked for is allowed where it is a header's
/// name.
fn allowed_headers(request: &HeaderMap) -> HeaderValue {
    const ALWAYS: &str = "Authorization, DPoP, Content-Type";
    let mut names = ALWAYS.to_owned();
    for name in named(request, &ACCESS_CONTROL_REQUEST_HEADERS) {
        push_missing(&mut names, name);
    }
    HeaderValue::from_str(&names).unwrap_or_else(|_| HeaderValue::from_static(ALWAYS))
}

fn push_missing(names: &mut String, name: &str) {
    if !names.split(", ").any(|known| known.eq_ignore_ascii_case(name)) {
        names.push_str(", ");
        names.push_str(name);
    }
}

/// A client may name this many headers; a browser names a handful.
const MAX_NAMES: usize = 32;
/// Each this long.
const MAX_NAME: usize = 64;

/// The names in a list field; longer ones than any header has are left out.
fn named<'a>(headers: &'a HeaderMap, list: &HeaderName) -> impl Iterator<Item = &'a str> {
    tokens(headers, list).filter(|name| name.len() <= MAX_NAME).take(MAX_NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: HeaderValue = HeaderValue::from_static("id");
    const APP: HeaderValue = HeaderValue::from_static("https://app.example.com");

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_preflight_is_options_with_origin_and_a_method_asked_for() {
        let full = headers(&[(ORIGIN, "https://app.example.com"), (ACCESS_CONTROL_REQUEST_METHOD, "PUT")]);
        assert!(is_preflight(&Method::OPTIONS, &full));
        assert!(!is_preflight(&Method::GET, &full));
        assert!(!is_preflight(&Method::OPTIONS, &headers(&[(ORIGIN, "https://app.example.com")])));
        assert!(!is_preflight(&Method::OPTIONS, &headers(&[(ACCESS_CONTROL_REQUEST_METHOD, "PUT")])));
    }

    #[test]
    fn a_preflight_allows_what_was_asked_for_where_it_is_a_name() {
        let request = headers(&[
            (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
            (ACCESS_CONTROL_REQUEST_HEADERS, "dpop, x-one,x two, ,x-one, \"x\", x-three"),
        ]);
        let response = preflight(&request, &APP, ID);
        assert_eq!(response.status, 204);
        assert_eq!(response.headers[ACCESS_CONTROL_ALLOW_METHODS], "PUT");
        let allowed = &response.headers[ACCESS_CONTROL_ALLOW_HEADERS];
        assert_eq!(allowed, "Authorization, DPoP, Content-Type, x-one, x-three");
        assert_eq!(response.headers[ACCESS_CONTROL_ALLOW_ORIGIN], APP);
        assert_eq!(response.headers[ACCESS_CONTROL_MAX_AGE], "600");
        let bad = preflight(&headers(&[(ACCESS_CONTROL_REQUEST_METHOD, "PUT, GET")]), &APP, ID);
        assert!(!bad.headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
    }

    #[test]
    fn the_upstreams_word_about_cors_is_replaced() {
        let mut answer = headers(&[
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
            (ACCESS_CONTROL_EXPOSE_HEADERS, "X-Total, dpop-nonce"),
            (VARY, "Accept-Encoding"),
        ]);
        answer.append(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("null"));
        for _ in 0..2 {
            allow_origin(&mut answer, &APP);
            vary_by_origin(&mut answer);
            let all = |name| answer.get_all(name).iter().collect::<Vec<_>>();
            assert_eq!(all(ACCESS_CONTROL_ALLOW_ORIGIN), [&APP]);
            assert_eq!(
                all(ACCESS_CONTROL_EXPOSE_HEADERS),
                ["DPoP-Nonce, WWW-Authenticate, X-Request-Id, Date, X-Total"]
            );
            assert_eq!(all(VARY), ["Accept-Encoding", "Origin"]);
            assert!(all(ACCESS_CONTROL_ALLOW_CREDENTIALS).is_empty());
        }
    }
}
