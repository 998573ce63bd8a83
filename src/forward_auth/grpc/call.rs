//! A call of gRPC over HTTP/2: its one message, and how it ends.

use crate::forward_auth::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use prost::Message;
use std::time::Duration;

/// How long the message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before a message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The codes of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Why a call has no message for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// No gRPC, as its specification has it answered.
    #[error("{0}")]
    NotGrpc(StatusCode),
    #[error("there is no such method")]
    Unimplemented,
    #[error("compressed messages are not read here")]
    Compressed,
    #[error("the message says it is compressed and not how")]
    CompressedSomehow,
    #[error("the message is too long")]
    TooLong,
    #[error("the message is badly framed or incomplete")]
    Framing,
    #[error("the message is not what this method takes")]
    Undecodable,
    #[error("the message did not come in time, or the answer")]
    Late,
    #[error("there is no such service")]
    NoSuchService,
    #[error("too many watch already")]
    TooMany,
    #[error("no more calls are answered here")]
    Stopping,
}

impl Code {
    #[expect(clippy::as_conversions, reason = "the number of a variant has no other way out")]
    pub(super) const fn number(self) -> u16 {
        self as u16
    }

    /// What a refusal with this status is to gRPC.
    pub(super) const fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200 => Self::Ok,
            400 => Self::InvalidArgument,
            401 => Self::Unauthenticated,
            // A preflight is answered, not let pass.
            204 | 403 => Self::PermissionDenied,
            404 | 405 => Self::Unimplemented,
            413 | 429 => Self::ResourceExhausted,
            502 | 503 => Self::Unavailable,
            504 => Self::DeadlineExceeded,
            _ => Self::Internal,
        }
    }
}

impl Failure {
    /// The code, where it is gRPC at all.
    pub(super) const fn code(self) -> Option<Code> {
        Some(match self {
            Self::NotGrpc(_) => return None,
            Self::Unimplemented | Self::Compressed => Code::Unimplemented,
            Self::CompressedSomehow | Self::Framing | Self::Undecodable => Code::Internal,
            Self::TooLong | Self::TooMany => Code::ResourceExhausted,
            Self::Late => Code::DeadlineExceeded,
            Self::NoSuchService => Code::NotFound,
            Self::Stopping => Code::Unavailable,
        })
    }

    /// The status that the record has.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::NotGrpc(status) => status,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Unimplemented
            | Self::Compressed
            | Self::CompressedSomehow
            | Self::TooLong
            | Self::Framing
            | Self::Undecodable
            | Self::NoSuchService => StatusCode::BAD_REQUEST,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// How it ends an answer that has begun.
    pub(super) fn trailers(self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        if let Some(code) = self.code() {
            trailers.insert(GRPC_STATUS, HeaderValue::from(code.number()));
            if let Ok(text) = HeaderValue::try_from(self.to_string()) {
                trailers.insert(GRPC_MESSAGE, text);
            }
        }
        trailers
    }

    /// An answer of its headers alone.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::default());
        let headers = response.headers_mut();
        *headers = self.trailers();
        if self.code().is_some() {
            headers.insert(CONTENT_TYPE, GRPC);
        }
        if self == Self::Compressed {
            headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if self == Self::NotGrpc(StatusCode::METHOD_NOT_ALLOWED) {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if let Self::NotGrpc(status) = self {
            *response.status_mut() = status;
        }
        response
    }
}

/// Whether this is a call at all.
///
/// # Errors
/// It is none.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Failure> {
    if !request.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
        return Err(Failure::NotGrpc(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    if request.version() != Version::HTTP_2 {
        return Err(Failure::NotGrpc(StatusCode::HTTP_VERSION_NOT_SUPPORTED));
    }
    if *request.method() != Method::POST {
        return Err(Failure::NotGrpc(StatusCode::METHOD_NOT_ALLOWED));
    }
    Ok(())
}

/// Protocol buffers, which is what gRPC means where it says nothing else.
fn is_grpc(media_type: &HeaderValue) -> bool {
    let media_type = media_type.as_bytes();
    let end = media_type.iter().position(|byte| *byte == b';').unwrap_or(media_type.len());
    let name = media_type.get(..end).unwrap_or_default().trim_ascii();
    name.eq_ignore_ascii_case(b"application/grpc") || name.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// How long the caller waits, where it says so: `grpc-timeout`, at most eight digits and a unit. What cannot be read says nothing.
pub(super) fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        'H' => Some(Duration::from_secs(number.saturating_mul(3600))),
        'M' => Some(Duration::from_secs(number.saturating_mul(60))),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The one message of a call, of so many bytes at most.
///
/// # Errors
/// It does not come, or is not one.
pub(super) async fn message<M: Message + Default>(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<M, Failure> {
    let whole = Limited::new(body, limit.saturating_add(PREFIX)).collect();
    let read = tokio::time::timeout(PATIENCE, whole).await.map_err(|_| Failure::Late)?;
    let read = read.map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
        Some(_) => Failure::TooLong,
        None => Failure::Framing,
    })?;
    M::decode(unframed(headers, read.to_bytes())?).map_err(|_| Failure::Undecodable)
}

fn unframed(headers: &HeaderMap, mut read: Bytes) -> Result<Bytes, Failure> {
    let Some(&[flag, a, b, c, d]) = read.first_chunk::<PREFIX>() else { return Err(Failure::Framing) };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    match flag {
        0 => {}
        1 if headers.get(GRPC_ENCODING).is_none_or(|encoding| encoding == "identity") => {
            return Err(Failure::CompressedSomehow);
        }
        1 => return Err(Failure::Compressed),
        _ => return Err(Failure::Framing),
    }
    let message = read.split_off(PREFIX);
    if message.len() == length { Ok(message) } else { Err(Failure::Framing) }
}

/// The answer with this message.
pub(super) fn answer(message: &impl Message) -> Response<Body> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from(Code::Ok.number()));
    answer_of(Body::of(framed(message), Some(trailers)))
}

/// The answer with this body.
pub(super) fn answer_of(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// A message with its prefix.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(length.saturating_add(PREFIX));
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // There is room for it: what has room grows besides.
    message.encode(&mut framed).ok();
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_message_is_framed_as_it_says() {
        let none = HeaderMap::new();
        let read = |bytes: &'static [u8]| unframed(&none, Bytes::from_static(bytes));
        assert_eq!(read(b"\0\0\0\0\0"), Ok(Bytes::new()));
        assert_eq!(read(b"\0\0\0\0\x02ab"), Ok(Bytes::from_static(b"ab")));
        for bad in
            [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x01", b"\0\0\0\0\x02a", b"\0\0\0\0\x01ab", b"\x02\0\0\0\0"]
        {
            assert_eq!(read(bad), Err(Failure::Framing), "{bad:?}");
        }
        // A second message.
        assert_eq!(read(b"\0\0\0\0\x01a\0\0\0\0\0"), Err(Failure::Framing));
        assert_eq!(read(b"\x01\0\0\0\0"), Err(Failure::CompressedSomehow));
        let gzip = with(GRPC_ENCODING, "gzip");
        assert_eq!(unframed(&gzip, Bytes::from_static(b"\x01\0\0\0\0")), Err(Failure::Compressed));
        assert_eq!(unframed(&gzip, Bytes::from_static(b"\0\0\0\0\0")), Ok(Bytes::new()));
    }

    #[test]
    fn a_caller_says_how_long_it_waits() {
        let says = |value| patience(&with(GRPC_TIMEOUT, value));
        for (value, duration) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("200m", Duration::from_millis(200)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("5n", Duration::from_nanos(5)),
            ("0S", Duration::ZERO),
        ] {
            assert_eq!(says(value), Some(duration), "{value}");
        }
        for nothing in ["", "S", "1", "1s", "-1S", "+1S", " 1S", "1.5S", "100000000S"] {
            assert_eq!(says(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn grpc_is_told_from_what_looks_like_it() {
        for grpc in
            ["application/grpc", "Application/GRPC", "application/grpc+proto", "application/grpc; a=b"]
        {
            assert!(is_grpc(&HeaderValue::from_static(grpc)), "{grpc}");
        }
        for other in
            ["application/grpc-web", "application/grpc+json", "application/grpcx", "application/json", ""]
        {
            assert!(!is_grpc(&HeaderValue::from_static(other)), "{other}");
        }
    }
}
