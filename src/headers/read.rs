//! How a field is read: one value, a list, a token.

use http::header::{HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

/// A field that must stand once stands more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than one line of the field")]
pub struct Repeated;

/// The field's one line; `None` if there is none.
///
/// # Errors
/// [`Repeated`]: which of two lines counts, nobody agrees on.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Repeated> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.next().is_some() { Err(Repeated) } else { Ok(first) }
}

/// The text of a field; `None` where it is not ASCII. Looked at eight bytes at a time, unlike `to_str`.
pub fn ascii(line: &HeaderValue) -> Option<&str> {
    str::from_utf8(line.as_bytes()).ok().filter(|text| text.is_ascii())
}

/// The tokens of a list field, over all its lines; what is no token is left out.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| is_token(name.as_bytes()))
}

/// Whether a list field has this member, without case.
pub fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    let is = |found: &[u8]| found.trim_ascii().eq_ignore_ascii_case(member.as_bytes());
    headers.get_all(name).iter().any(|line| line.as_bytes().split(|byte| *byte == b',').any(is))
}

/// A `token` (RFC 9110 section 5.6.2).
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_tchar)
}

/// A `tchar` (RFC 9110 section 5.6.2).
pub const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// RFC 9110 section 11.2: letters, digits, `-._~+/`, then any number of `=`.
pub fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            | (byte == b'_')
            | (byte == b'~')
            | (byte == b'+')
            | matches!(byte, b'-'..=b'/')
    };
    // Without a branch for each byte, so that many are compared at once: tokens are long.
    !body.is_empty() && body.bytes().fold(true, |all, byte| all & allowed(byte))
}

/// Whether the body comes in no transfer coding, or in `chunked` once and nothing else: another coding would end here with
/// `Transfer-Encoding`, and the upstream would take the coded bytes for the content (RFC 9112 section 6.1).
pub fn is_chunked_at_most(headers: &HeaderMap) -> bool {
    only(headers, &TRANSFER_ENCODING).is_ok_and(|line| {
        line.is_none_or(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| (TRANSFER_ENCODING, HeaderValue::from_str(line).unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn one_line_is_one_value() {
        assert_eq!(only(&headers(&[]), &TRANSFER_ENCODING), Ok(None));
        assert_eq!(only(&headers(&["a"]), &TRANSFER_ENCODING), Ok(Some(&HeaderValue::from_static("a"))));
        assert_eq!(only(&headers(&["a", "a"]), &TRANSFER_ENCODING), Err(Repeated));
    }

    #[test]
    fn a_list_is_the_same_over_one_line_or_several() {
        let map = headers(&["a, \"b\" ,,c d", "E"]);
        assert_eq!(tokens(&map, &TRANSFER_ENCODING).collect::<Vec<_>>(), ["a", "E"]);
        assert!(lists(&map, &TRANSFER_ENCODING, "e") && !lists(&map, &TRANSFER_ENCODING, "c"));
    }

    #[test]
    fn a_body_is_chunked_or_not_coded() {
        for good in [&[][..], &["chunked"], &["Chunked "]] {
            assert!(is_chunked_at_most(&headers(good)), "{good:?}");
        }
        for bad in [&["gzip"][..], &["gzip, chunked"], &["chunked, chunked"], &["chunked", "chunked"], &[""]]
        {
            assert!(!is_chunked_at_most(&headers(bad)), "{bad:?}");
        }
    }
}
