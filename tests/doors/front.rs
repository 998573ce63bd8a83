//! How each kind of front asks about a request.

use support::gateway::{HOST, House};
use support::raw::Answer;

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// nginx `auth_request`: always GET, the request in `X-Original-Method` and `X-Original-URL`.
    Original,
    /// Traefik, Caddy, HAProxy: GET, the request in `X-Forwarded-*`; Caddy appends the client's query to the decision's own URL.
    Forwarded,
    /// Envoy over HTTP and the Gateway API: the request itself under `/check`.
    Check,
}

pub(crate) const FRONTS: [Front; 3] = [Front::Original, Front::Forwarded, Front::Check];

/// A request that is asked about, for `https://api.test`.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(target: &'a str, headers: &[(&'a str, &'a str)]) -> Self {
        Self { method: "GET", target, headers: headers.to_vec() }
    }
}

impl Front {
    /// The question, as bytes.
    pub(crate) fn asks(self, request: &Request<'_>) -> String {
        let Request { method, target, headers } = request;
        let query = target.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
        let (line, fields) = match self {
            Self::Original => (
                "GET / HTTP/1.1".to_owned(),
                format!(
                    "host: keyproof\r\nx-original-method: {method}\r\nx-original-url: https://{HOST}{target}\r\n"
                ),
            ),
            Self::Forwarded => (
                format!("GET /auth{query} HTTP/1.1"),
                format!(
                    "host: keyproof\r\nx-forwarded-method: {method}\r\nx-forwarded-proto: https\r\nx-forwarded-host: {HOST}\r\nx-forwarded-uri: {target}\r\nx-forwarded-port: 8080\r\n"
                ),
            ),
            Self::Check => (
                format!("{method} /check{target} HTTP/1.1"),
                format!("host: {HOST}\r\nx-forwarded-proto: https\r\n"),
            ),
        };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{line}\r\n{fields}{headers}\r\n")
    }

    /// The answer of the gateway's forward-auth listener.
    pub(crate) async fn ask(self, house: &House, request: &Request<'_>) -> Answer {
        house.ask(house.decisions(), self.asks(request)).await
    }
}
