//! A request that goes out a second time, read from what went out the first time: to keep a copy of its fields ready would cost every good
//! request allocations.

use super::RequestBody;
use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, Method, Request, Uri};
use http_body::Body;

/// Whether a request may be sent again though it was sent: its method is safe (RFC 9110 sections 9.2.1 and 9.2.2) and it has no body.
pub(super) fn is_repeatable(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && request.body().is_end_stream()
}

/// Reads a request without a body as hyper writes it; `None` where it is not whole.
pub(super) fn read(written: &Bytes) -> Option<Box<Request<RequestBody>>> {
    let (first, mut rest) = line(written)?;
    let mut words = first.split(|byte| *byte == b' ');
    let mut request = Box::new(Request::new(RequestBody::default()));
    *request.method_mut() = Method::from_bytes(words.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(words.next()?).ok()?;
    loop {
        let (field, behind) = line(rest)?;
        if field.is_empty() {
            return behind.is_empty().then_some(request);
        }
        let colon = field.iter().position(|byte| *byte == b':')?;
        let (name, value) = field.split_at_checked(colon)?;
        let value = value.strip_prefix(b": ")?;
        let value = HeaderValue::from_maybe_shared(written.slice_ref(value)).ok()?;
        request.headers_mut().append(HeaderName::from_bytes(name).ok()?, value);
        rest = behind;
    }
}

/// The first line, and what comes behind its end.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.windows(2).position(|end| end == b"\r\n")?;
    let (line, rest) = text.split_at_checked(end)?;
    Some((line, rest.get(2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &[u8] =
        b"GET /a?b=%20:c HTTP/1.1\r\nhost: a\r\nx: \r\ncookie: a=b: c\r\nx: \xff two \r\n\r\n";

    #[test]
    fn what_was_written_is_read_back() {
        let request = read(&Bytes::from_static(WRITTEN)).unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, "/a?b=%20:c"));
        let fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(&str, &[u8]); 4] =
            [("host", b"a"), ("x", b""), ("x", b"\xff two "), ("cookie", b"a=b: c")];
        assert_eq!(fields, expected);
        assert!(is_repeatable(&request));
    }

    #[test]
    fn a_part_of_a_request_is_none() {
        for length in 0..WRITTEN.len() {
            assert!(read(&Bytes::from_static(&WRITTEN[..length])).is_none(), "{length} bytes");
        }
    }
}
