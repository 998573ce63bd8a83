//! Why there is no answer, and how that is told.

use super::{Http2Failure, TlsFailure};
use http::StatusCode;
use std::io;
use std::net::SocketAddr;

/// Too many open files: of this process, of the system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Why there is no answer from the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpstreamError {
    /// No server could be reached; nothing was sent.
    #[error("the upstream cannot be reached")]
    Connect(ConnectFailure),
    /// Its names have no address.
    #[error("the upstream cannot be reached")]
    Unresolved,
    /// TLS failed.
    #[error("the upstream cannot be reached")]
    Tls(TlsFailure),
    /// No server accepted a connection in time; nothing was sent.
    #[error("connecting to the upstream timed out")]
    ConnectTimeout(ConnectStage),
    /// The head of the response did not come in time.
    #[error("the upstream's answer timed out")]
    ResponseTimeout,
    /// The connection ended before the head of an answer was whole.
    #[error("the upstream's answer is broken")]
    Broken,
    /// HTTP/2 says why there is no answer.
    #[error("the upstream's answer is broken")]
    Http2(Http2Failure),
    /// What came is no answer that can be handed on for sure.
    #[error("the upstream's answer is malformed")]
    Malformed(Malformed),
    /// Its servers have as many connections as they may, all of them are busy, and none became free in time; nothing was sent.
    #[error("the upstream has no room")]
    NoRoom,
    /// None of its servers is healthy; nothing was sent.
    #[error("no server of the upstream is healthy")]
    Unhealthy,
    /// The client's body failed, not the upstream: answer 400 and close.
    #[error("the client's body failed")]
    ClientBody,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    /// Nobody listens there.
    Refused,
    /// The server, or somebody before it, ended the connection at once.
    Reset,
    /// No way leads to the address.
    Unreachable,
    /// This process has no more open files, or this machine no more ports or memory for it: not the server's fault.
    Exhausted,
    /// The connection ended before a request could go out on it.
    Ended,
    /// The system says something else.
    Other,
}

/// What was not done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectStage {
    /// The connection.
    Tcp,
    /// The handshake of TLS.
    Tls,
    /// The server's settings, with which it begins HTTP/2.
    Http2,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// No head of HTTP/1.1.
    Head,
    /// A head beyond `limits.response_header_size`.
    HeadTooLarge,
    /// More interim answers (1xx) than are taken.
    Interim,
    /// Where the body ends cannot be told (RFC 9112 section 6.3).
    ContentLength,
    /// Another coding than `chunked`, or one that HTTP/1.0 does not have (RFC 9112 section 6.1).
    TransferCoding,
    /// A switch of protocols that nobody asked for (RFC 9110 section 15.2.2).
    Upgrade,
    /// The body was badly framed or broke off before anything was sent to the client.
    Body,
    /// Against the rules of HTTP/2 (RFC 9113).
    Http2,
    /// Not a beginning of HTTP/2.
    NotHttp2,
}

impl From<ConnectFailure> for UpstreamError {
    fn from(what: ConnectFailure) -> Self {
        Self::Connect(what)
    }
}

impl From<ConnectStage> for UpstreamError {
    fn from(what: ConnectStage) -> Self {
        Self::ConnectTimeout(what)
    }
}

impl From<TlsFailure> for UpstreamError {
    fn from(what: TlsFailure) -> Self {
        Self::Tls(what)
    }
}

impl From<Malformed> for UpstreamError {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

impl UpstreamError {
    /// 502, 503, 504 or, where it is the client's fault, 400.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Http2(Http2Failure::Silent | Http2Failure::Deadline)
            | Self::ConnectTimeout(_)
            | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect(_)
            | Self::Unresolved
            | Self::Tls(_)
            | Self::Broken
            | Self::Http2(_)
            | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
            Self::NoRoom | Self::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            Self::ClientBody => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether it speaks against the server that was asked: not where we did not ask it, the client did not let it answer, or it said in
    /// good order that it takes no more on this connection.
    pub(super) const fn is_the_servers(self) -> bool {
        match self {
            Self::Connect(how) => !matches!(how, ConnectFailure::Exhausted),
            Self::Tls(_)
            | Self::ConnectTimeout(_)
            | Self::ResponseTimeout
            | Self::Broken
            | Self::Malformed(_) => true,
            Self::Http2(how) => how.is_the_servers(),
            Self::Unresolved | Self::NoRoom | Self::Unhealthy | Self::ClientBody => false,
        }
    }

    /// What the metric says: one of a fixed set; `None` where it is the client's fault.
    pub const fn result(self) -> Option<&'static str> {
        match self {
            Self::Connect(ConnectFailure::Reset) => Some("reset"),
            Self::Connect(_) | Self::Unresolved | Self::Tls(_) => Some("refused"),
            Self::ConnectTimeout(_) | Self::ResponseTimeout => Some("timeout"),
            Self::Broken => Some("reset"),
            Self::Http2(how) => Some(how.result()),
            Self::Malformed(_) => Some("malformed"),
            Self::NoRoom => Some("no_room"),
            Self::Unhealthy => Some("unhealthy"),
            Self::ClientBody => None,
        }
    }

    /// What the log says: one of a fixed set of texts, which begin with a word for programs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect(how) => how.label(),
            Self::Unresolved => "upstream_unresolved: the names of its servers have no address",
            Self::Tls(what) => what.label(),
            Self::ConnectTimeout(ConnectStage::Tcp) => "upstream_connect_timeout: no connection in time",
            Self::ConnectTimeout(ConnectStage::Tls) => "upstream_connect_timeout: no TLS handshake in time",
            Self::ConnectTimeout(ConnectStage::Http2) => {
                "upstream_connect_timeout: the server did not say its settings (HTTP/2) in time"
            }
            Self::ResponseTimeout => "upstream_response_timeout",
            Self::Broken => "upstream_broken: the connection ended before the answer's head",
            Self::Http2(how) => how.label(),
            Self::Malformed(what) => what.label(),
            Self::NoRoom => {
                "upstream_no_room: every connection that the servers may have is busy, and none became free in time"
            }
            Self::Unhealthy => "upstream_unhealthy: the health checks of all its servers fail",
            Self::ClientBody => "client_body",
        }
    }
}

impl ConnectFailure {
    /// What the system says.
    pub(super) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let is = |kinds: &[Kind]| kinds.contains(&error.kind());
        if is(&[Kind::ConnectionRefused]) {
            Self::Refused
        } else if is(&[Kind::ConnectionReset, Kind::ConnectionAborted]) {
            Self::Reset
        } else if is(&[Kind::HostUnreachable, Kind::NetworkUnreachable, Kind::NetworkDown, Kind::TimedOut]) {
            Self::Unreachable
        } else if is(&[Kind::AddrNotAvailable, Kind::AddrInUse, Kind::OutOfMemory])
            // There is no kind of its own for it.
            || matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
        {
            Self::Exhausted
        } else {
            Self::Other
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Refused => "upstream_connect: the server refuses connections",
            Self::Reset => "upstream_connect: the server resets connections at once",
            Self::Unreachable => "upstream_connect: no way leads to the server's address",
            Self::Exhausted => {
                "upstream_connect: the gateway has no more open files, or its machine no more ports or memory"
            }
            Self::Ended => "upstream_connect: the connection ended before the request could go out",
            Self::Other => "upstream_connect: the system cannot connect",
        }
    }
}

impl Malformed {
    const fn label(self) -> &'static str {
        match self {
            Self::Head => "upstream_malformed: the answer's head is no HTTP/1.1",
            Self::HeadTooLarge => {
                "upstream_malformed: the answer's head is beyond response_header_size, 256 KiB in 1,000 lines at most"
            }
            Self::Interim => "upstream_malformed: more than 32 interim answers (1xx)",
            Self::ContentLength => "upstream_malformed: the answer's Content-Length is not one number",
            Self::TransferCoding => "upstream_malformed: the answer's Transfer-Encoding is not chunked alone",
            Self::Upgrade => "upstream_malformed: the answer is a 101 that nobody asked for",
            Self::Body => "upstream_malformed: the answer's body is badly framed or breaks off",
            Self::Http2 => "upstream_malformed: the server breaks the rules of HTTP/2",
            Self::NotHttp2 => "upstream_malformed: the server speaks no HTTP/2",
        }
    }
}

/// Why there is no answer, and from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why.
    pub error: UpstreamError,
    /// The server that was asked last.
    pub server: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_apart() {
        for (code, failure, is_the_servers) in [
            (111, ConnectFailure::Refused, true),
            (104, ConnectFailure::Reset, true),
            (113, ConnectFailure::Unreachable, true),
            (110, ConnectFailure::Unreachable, true),
            (EMFILE, ConnectFailure::Exhausted, false),
            (ENFILE, ConnectFailure::Exhausted, false),
            (99, ConnectFailure::Exhausted, false),
            (1, ConnectFailure::Other, true),
        ] {
            let found = ConnectFailure::of(&io::Error::from_raw_os_error(code));
            assert_eq!(found, failure, "{code}");
            assert_eq!(UpstreamError::from(found).is_the_servers(), is_the_servers, "{code}");
        }
    }
}
