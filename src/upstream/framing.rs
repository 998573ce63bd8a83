//! How an answer is framed: told from its head, and told to the client anew.

use super::Malformed;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

/// What is sure of an answer's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Both ends see it alike: another answer may follow on the connection.
    Plain,
    /// The answer is understood, but the server may see its end elsewhere: nothing that follows it can be trusted.
    Last,
}

/// Leaves one `Content-Length` in the head of an answer or none, and no `Transfer-Encoding` (RFC 9112 section 6.3). hyper has read the head
/// before and found out where the body ends; this refuses what it took the server's word for.
///
/// # Errors
/// [`Malformed`]: where the body ends, or what it is, cannot be told for sure.
pub(super) fn reframe(
    headers: &mut HeaderMap,
    status: StatusCode,
    version: Version,
) -> Result<Framing, Malformed> {
    let chunked = is_chunked(headers)?;
    // An HTTP/1.0 server cannot mean it (RFC 9112 section 6.1).
    if chunked && version == Version::HTTP_10 {
        return Err(Malformed::TransferCoding);
    }
    let length = length(headers)?;
    // Neither has a place in a 204 (RFC 9110 section 8.6, RFC 9112 section 6.1). A server that announces a body may send it, too.
    let bodiless = status == StatusCode::NO_CONTENT;
    if chunked {
        headers.remove(TRANSFER_ENCODING);
    }
    match length {
        Some(length) if chunked || bodiless => {
            headers.remove(CONTENT_LENGTH);
            return Ok(if chunked || length.number > 0 { Framing::Last } else { Framing::Plain });
        }
        Some(Length { number, canonical: false }) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(number));
        }
        Some(_) | None => {}
    }
    // HTTP/1.0 has a framing of its own, and a connection that once spoke it takes no chunked request any more.
    let last = (chunked && bodiless) || version != Version::HTTP_11;
    Ok(if last { Framing::Last } else { Framing::Plain })
}

/// Whether the answer comes in chunks; in any other coding, or several, it cannot be handed on: we never ask for one (`TE`), and would have to
/// decode it.
fn is_chunked(headers: &HeaderMap) -> Result<bool, Malformed> {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(false),
        (Some(only), None) if only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), _) => Err(Malformed::TransferCoding),
    }
}

/// A length, and whether it stands there once and as we would write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Length {
    number: u64,
    canonical: bool,
}

/// The length that every line and every member of a list says (RFC 9110 section 8.6).
fn length(headers: &HeaderMap) -> Result<Option<Length>, Malformed> {
    let mut found: Option<Length> = None;
    for line in headers.get_all(CONTENT_LENGTH) {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            let member = member.trim_ascii();
            let number = decimal(member).ok_or(Malformed::ContentLength)?;
            let leading_zero = member.len() > 1 && member.starts_with(b"0");
            found = match found {
                None => Some(Length { number, canonical: !leading_zero }),
                Some(before) if before.number == number => Some(Length { number, canonical: false }),
                Some(_) => return Err(Malformed::ContentLength),
            };
        }
    }
    Ok(found)
}

/// Digits and nothing else: a sign, which Rust's own reader takes, is none.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit.wrapping_sub(b'0')))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these lines of `Content-Length` and `Transfer-Encoding`.
    fn reframed(
        lengths: &[&'static str],
        codings: &[&'static str],
        status: u16,
        version: Version,
    ) -> Result<(Option<String>, Framing), Malformed> {
        let mut headers = HeaderMap::new();
        for length in lengths {
            headers.append(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        for coding in codings {
            headers.append(TRANSFER_ENCODING, HeaderValue::from_static(coding));
        }
        let framing = reframe(&mut headers, StatusCode::from_u16(status).unwrap(), version)?;
        assert!(!headers.contains_key(TRANSFER_ENCODING));
        let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
        assert!(lengths.len() < 2, "{lengths:?}");
        Ok((lengths.first().map(|length| length.to_str().unwrap().to_owned()), framing))
    }

    #[test]
    fn one_length_or_none_is_left() {
        let one = |length: &str, framing| Ok((Some(length.to_owned()), framing));
        for (lengths, codings, status, expected) in [
            (&["5"][..], &[][..], 200, one("5", Framing::Plain)),
            (&["0"], &[], 200, one("0", Framing::Plain)),
            (&["5, 5"], &[], 200, one("5", Framing::Plain)),
            (&["5", "5"], &[], 200, one("5", Framing::Plain)),
            (&["5,5", "05"], &[], 304, one("5", Framing::Plain)),
            (&["005"], &[], 200, one("5", Framing::Plain)),
            (&[], &[], 200, Ok((None, Framing::Plain))),
            (&[], &["chunked"], 200, Ok((None, Framing::Plain))),
            (&[], &["Chunked"], 304, Ok((None, Framing::Plain))),
            (&["5"], &["chunked"], 200, Ok((None, Framing::Last))),
            (&["0"], &[], 204, Ok((None, Framing::Plain))),
            (&["5"], &[], 204, Ok((None, Framing::Last))),
            (&[], &["chunked"], 204, Ok((None, Framing::Last))),
        ] {
            assert_eq!(
                reframed(lengths, codings, status, Version::HTTP_11),
                expected,
                "{status} {lengths:?} {codings:?}"
            );
        }
        assert_eq!(reframed(&["5"], &[], 200, Version::HTTP_10), one("5", Framing::Last));
    }

    #[test]
    fn what_is_not_sure_is_refused_whatever_the_status() {
        for status in [200, 204, 304, 404] {
            for lengths in [
                &["5, 6"][..],
                &["5", "6"],
                &[""],
                &["5,"],
                &[",5"],
                &["-5"],
                &["+5"],
                &["0x5"],
                &["5 5"],
                &["five"],
                &["5;5"],
                &["18446744073709551616"],
                &["99999999999999999999999"],
                &["5", ""],
            ] {
                let found = reframed(lengths, &[], status, Version::HTTP_11);
                assert_eq!(found, Err(Malformed::ContentLength), "{status} {lengths:?}");
            }
            for codings in [
                &["gzip"][..],
                &["gzip, chunked"],
                &["chunked, chunked"],
                &["chunked", "chunked"],
                &["identity"],
                &[""],
                &["chunked, gzip"],
                &["chunked;a=b"],
                &["chunked,"],
                &["xchunked"],
                &["identity", "chunked"],
            ] {
                let found = reframed(&[], codings, status, Version::HTTP_11);
                assert_eq!(found, Err(Malformed::TransferCoding), "{status} {codings:?}");
            }
            let old = reframed(&[], &["chunked"], status, Version::HTTP_10);
            assert_eq!(old, Err(Malformed::TransferCoding), "{status}");
        }
    }
}
