//! What HTTP/2 says of why there is no answer.

use super::super::{Malformed, UpstreamError};
use h2::Reason;

const NO_ERROR: u32 = 0;

/// How a stream, or its connection, ended before an answer began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Http2Failure {
    /// The server took nothing of the request: REFUSED_STREAM (RFC 9113 section 8.7).
    Refused,
    /// The server ended the connection, and took nothing of the request: its stream is above the last one that GOAWAY names (section 6.8). With
    /// the error code.
    GoneAway(u32),
    /// The server reset the stream, with this error code (section 6.4).
    Reset(u32),
    /// The server does not answer a PING.
    Silent,
    /// The time that the client of gRPC gave it is over (`grpc-timeout`).
    Deadline,
}

impl From<Http2Failure> for UpstreamError {
    fn from(failure: Http2Failure) -> Self {
        Self::Http2(failure)
    }
}

/// A text with the name of an error code (RFC 9113 section 7) behind it.
macro_rules! with_name {
    ($text:literal, $code:expr) => {
        match $code {
            0 => concat!($text, " (NO_ERROR)"),
            1 => concat!($text, " (PROTOCOL_ERROR)"),
            2 => concat!($text, " (INTERNAL_ERROR)"),
            3 => concat!($text, " (FLOW_CONTROL_ERROR)"),
            4 => concat!($text, " (SETTINGS_TIMEOUT)"),
            5 => concat!($text, " (STREAM_CLOSED)"),
            6 => concat!($text, " (FRAME_SIZE_ERROR)"),
            7 => concat!($text, " (REFUSED_STREAM)"),
            8 => concat!($text, " (CANCEL)"),
            9 => concat!($text, " (COMPRESSION_ERROR)"),
            10 => concat!($text, " (CONNECT_ERROR)"),
            11 => concat!($text, " (ENHANCE_YOUR_CALM)"),
            12 => concat!($text, " (INADEQUATE_SECURITY)"),
            13 => concat!($text, " (HTTP_1_1_REQUIRED)"),
            _ => concat!($text, " (unknown error code)"),
        }
    };
}

impl Http2Failure {
    /// What an error of h2 says. `settled`: the server had said its settings.
    pub(super) fn of(error: &h2::Error, settled: bool) -> UpstreamError {
        let Some(reason) = error.reason() else { return UpstreamError::Broken };
        if !error.is_remote() {
            // What it sent made us give up.
            return if settled { Malformed::Http2.into() } else { Malformed::NotHttp2.into() };
        }
        let code = reason.into();
        if error.is_go_away() {
            Self::GoneAway(code).into()
        } else if reason == Reason::REFUSED_STREAM {
            Self::Refused.into()
        } else {
            Self::Reset(code).into()
        }
    }

    /// Whether the server has promised that nothing of the request was, or will be, looked at (RFC 9113 section 8.7).
    pub(super) fn is_unsent(error: &h2::Error) -> bool {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
    }

    /// Whether it speaks against the server.
    pub(in super::super) const fn is_the_servers(self) -> bool {
        match self {
            // A server that ends a connection in good order is not ill, and how long a client waits is its own affair.
            Self::GoneAway(NO_ERROR) | Self::Deadline => false,
            Self::Refused | Self::GoneAway(_) | Self::Reset(_) | Self::Silent => true,
        }
    }

    /// What the metric says.
    pub(in super::super) const fn result(self) -> &'static str {
        match self {
            Self::Refused | Self::GoneAway(_) => "refused",
            Self::Reset(_) => "reset",
            Self::Silent | Self::Deadline => "timeout",
        }
    }

    pub(in super::super) const fn label(self) -> &'static str {
        match self {
            Self::Refused => "upstream_refused: the server took no more streams (REFUSED_STREAM)",
            Self::GoneAway(code) => {
                with_name!("upstream_refused: the server was ending the connection, GOAWAY", code)
            }
            Self::Reset(code) => with_name!("upstream_reset: the server reset the stream", code),
            Self::Silent => "upstream_silent: the server does not answer a PING",
            Self::Deadline => "upstream_deadline: no answer within the grpc-timeout of the request",
        }
    }
}
