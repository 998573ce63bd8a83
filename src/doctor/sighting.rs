//! What the gateway received, as it tells it.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One marked request, as it came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// When, in seconds since 1970 by the gateway's clock.
    pub at: f64,
    /// Where and from whom.
    pub arrival: Arrival,
    /// What is asked for, as the front forwarded or described it; absent where it could not be read at all.
    pub place: Option<Place>,
    /// Why it is nothing that can be asked here.
    pub fault: Option<Fault>,
    /// What `htu` is expected: `scheme://authority/path`.
    pub htu: Option<String>,
    /// The route that takes it.
    pub route: Option<String>,
    /// The origins that clients may call us by.
    pub origins: Vec<String>,
    /// Which `iat` is accepted.
    pub window: Window,
    /// What token and proof would have come to, but for a nonce and a replay.
    pub verdict: Option<Verdict>,
    /// The header fields as they came.
    pub headers: Vec<Field>,
    /// What was answered.
    pub answered: Answered,
}

/// Where a request came in, and from whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The listener's `mode`.
    pub mode: String,
    /// The listener's name.
    pub listener: String,
    /// The TCP peer's address.
    pub peer: String,
    /// Whether the peer is one of the listener's `trusted_proxies`.
    pub trusted: bool,
    /// Whether the peer speaks TLS to us.
    pub tls: bool,
    /// As `HTTP/1.1`.
    pub protocol: String,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The method.
    pub method: String,
    /// The scheme, where anybody says it.
    pub scheme: Option<String>,
    /// The authority.
    pub authority: Option<String>,
    /// The path, as it came.
    pub path: String,
    /// The query, as it came.
    pub query: Option<String>,
}

/// Why it is nothing that can be asked here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The reason, as in metrics and log.
    pub reason: String,
    /// In words.
    pub text: String,
    /// Which header fields that is about.
    pub fields: Option<String>,
}

/// Which `iat` is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// How many seconds old.
    pub max_age: u64,
    /// How many seconds ahead.
    pub leeway: u64,
}

/// What token and proof would have come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether they passed every check that was made.
    pub passed: bool,
    /// The reason, as in metrics and log.
    pub reason: String,
    /// In words.
    pub text: String,
}

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name, in lower case.
    pub name: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line of a header field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How many bytes the value has.
    pub length: usize,
    /// Where each comma stands in it: what two lines became.
    pub commas: Vec<usize>,
    /// The value itself, where it says nothing but how a request was forwarded.
    pub value: Option<String>,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The header lines.
    pub headers: Vec<(String, String)>,
}

/// The fields whose values are told: they say how a request was forwarded. Every other field may hold a secret, of the client or of the front
/// itself, and is told by its length only.
const SHOWN: [&str; 17] = [
    "connection",
    "content-length",
    "content-type",
    "forwarded",
    "host",
    "origin",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-envoy-original-path",
    "x-forwarded-for",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
];
/// How long a value is that is told whole.
const LONGEST: usize = 1024;
/// How many commas of a line are told.
const COMMAS: usize = 8;

/// Header fields as they are told.
pub fn told(headers: &HeaderMap) -> Vec<Field> {
    let field = |name: &HeaderName| Field {
        name: name.as_str().to_owned(),
        lines: headers.get_all(name).iter().map(|value| line(name, value)).collect(),
    };
    headers.keys().map(field).collect()
}

fn line(name: &HeaderName, value: &HeaderValue) -> Line {
    let bytes = value.as_bytes();
    let shown = SHOWN.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-");
    let commas = bytes.iter().enumerate().filter(|(_, byte)| **byte == b',').map(|(at, _)| at);
    let text = value.to_str().ok().filter(|_| shown && bytes.len() <= LONGEST);
    Line { length: bytes.len(), commas: commas.take(COMMAS).collect(), value: text.map(str::to_owned) }
}

impl Arrival {
    /// An arrival at a listener of this mode and name, from this peer.
    pub fn new(mode: &str, listener: &str, peer: IpAddr, version: Version) -> Self {
        let protocol = format!("{version:?}");
        let (mode, listener, peer) = (mode.to_owned(), listener.to_owned(), peer.to_string());
        Self { mode, listener, peer, trusted: false, tls: false, protocol }
    }
}

impl Answered {
    /// An answer as it is told: its status and header lines.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self { status: status.as_u16(), headers: headers.iter().map(line).collect() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::doctor) fn sighting() -> Sighting {
        let text = |text: &str| text.to_owned();
        Sighting {
            at: 1000.0,
            arrival: Arrival {
                mode: text("proxy"),
                listener: text("public"),
                peer: text("127.0.0.1"),
                trusted: false,
                tls: false,
                protocol: text("HTTP/1.1"),
            },
            place: None,
            fault: None,
            htu: None,
            route: None,
            origins: vec![],
            window: Window { max_age: 60, leeway: 10 },
            verdict: None,
            headers: vec![],
            answered: Answered { status: 401, headers: vec![] },
        }
    }

    #[test]
    fn what_may_be_secret_is_told_by_its_length() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "DPoP secret"),
            ("dpop", "a.b.c,d.e.f"),
            ("cookie", "session=secret"),
            ("x-api-key", "secret"),
            ("proxy-authorization", "Basic secret"),
            ("x-forwarded-user", "alice"),
            ("host", "api.test"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let told = serde_json::to_string(&told(&headers)).unwrap();
        assert!(!told.contains("secret") && !told.contains("a.b.c"), "{told}");
        assert!(
            told.contains(r#""name":"dpop","lines":[{"length":11,"commas":[5],"value":null}]"#),
            "{told}"
        );
        assert!(told.contains(r#""value":"api.test""#), "{told}");
    }

    #[test]
    fn it_reads_what_it_writes() {
        let text = serde_json::to_string(&sighting()).unwrap();
        assert_eq!(serde_json::from_str::<Sighting>(&text).unwrap(), sighting());
    }
}
