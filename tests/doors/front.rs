//! How each kind of front asks about a request.

use support::gateway::{HOST, House};
use support::grpc::{Channel, Http};
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
    /// Envoy over gRPC, which says what is set and what is removed: as an answer over HTTP, what is removed has no value.
    Grpc,
}

pub(crate) const FRONTS: [Front; 4] = [Front::Original, Front::Forwarded, Front::Check, Front::Grpc];
/// Those that ask over HTTP.
pub(crate) const OVER_HTTP: [Front; 3] = [Front::Original, Front::Forwarded, Front::Check];

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
    /// The question over HTTP, as bytes.
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
            Self::Grpc => panic!("gRPC has no lines"),
        };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{line}\r\n{fields}{headers}\r\n")
    }

    /// The answer of the gateway's listener for such a front.
    pub(crate) async fn ask(self, house: &House, request: &Request<'_>) -> Answer {
        if self == Self::Grpc {
            let http = Http::new(request.method, request.target, HOST, &request.headers).raw();
            return Channel::connect(house.grpc()).await.decision(&http).await.as_answer();
        }
        house.ask(house.decisions(), self.asks(request)).await
    }
}
