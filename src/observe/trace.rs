//! Who a request is: its identifier, and its place in a trace (W3C Trace Context).

use http::{HeaderMap, HeaderValue};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

/// The longest `X-Request-Id` that is continued.
const MAX_REQUEST_ID: usize = 128;

/// 16 bytes in hexadecimal.
type Hex32 = [u8; 32];

/// A request's identifier.
#[derive(Clone, Debug)]
pub(super) enum RequestId {
    /// Made here.
    Made(Hex32),
    /// The client's, or that of whoever stands before us.
    Continued(HeaderValue),
}

/// A trace that the client, or somebody before it, has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    id: Hex32,
    flags: [u8; 2],
}

impl RequestId {
    /// The one in these headers where it is one short printable word, otherwise a new one. Nothing is decided by it, so it may be
    /// anybody's.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let sent = only(headers, "x-request-id");
        sent.filter(|value| is_word(value.as_bytes()))
            .map_or_else(|| Self::Made(hex(unique(), unique())), |value| Self::Continued(value.clone()))
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Made(id) => str::from_utf8(id).unwrap_or("-"),
            Self::Continued(value) => value.to_str().unwrap_or("-"),
        }
    }
}

impl Trace {
    /// The trace that `traceparent` names: version, trace, parent and flags; later versions may add more
    /// (section 3.2.2).
    /// `None` where there is none, or more than one, or one that is not valid: then a new trace begins.
    pub(super) fn continued(headers: &HeaderMap) -> Option<Self> {
        let text = only(headers, "traceparent")?.as_bytes();
        let (version, rest) = text.split_first_chunk::<2>()?;
        let (id, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<32>()?;
        let (parent, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<16>()?;
        let (flags, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<2>()?;
        let hexadecimal =
            [&version[..], &id[..], &parent[..], &flags[..]].concat().iter().all(|b| is_hex(*b));
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'0');
        let complete = rest.is_empty() || (version != b"00" && rest.starts_with(b"-"));
        (hexadecimal && complete && version != b"ff" && !zero(id) && !zero(parent))
            .then_some(Self { id: *id, flags: *flags })
    }

    /// A new trace whose identifier is the request's, where that was made here.
    ///
    /// The flag says "recorded": the log has this request, and an upstream that samples by its parent goes on
    /// as if nobody stood before it.
    pub(super) fn begun(request_id: &RequestId) -> Self {
        let id = match request_id {
            RequestId::Made(id) => *id,
            RequestId::Continued(_) => hex(unique(), unique()),
        };
        Self { id, flags: *b"01" }
    }

    pub(super) fn id(&self) -> &str {
        str::from_utf8(&self.id).unwrap_or("-")
    }

    /// A `traceparent` for the upstream, with a parent of our own.
    pub(super) fn to_header(self) -> HeaderValue {
        let mut text = [b'-'; 55];
        let parent = hex(unique(), 0);
        let flags = self.flags;
        let parts =
            b"00-".iter().chain(&self.id).chain(b"-").chain(parent.iter().take(16)).chain(b"-").chain(&flags);
        text.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_word(text: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A number that is never zero and that nobody else has: a keyed hash of a counter. Identifiers need no
/// secrecy, so no call to the system is made.
fn unique() -> u64 {
    thread_local! {
        static SOURCE: RefCell<(RandomState, u64)> = RefCell::new((RandomState::new(), 0));
    }
    SOURCE.with_borrow_mut(|(keys, count)| {
        *count = count.wrapping_add(1);
        keys.hash_one(*count).max(1)
    })
}

fn hex(high: u64, low: u64) -> Hex32 {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; 32];
    let bytes = high.to_be_bytes().into_iter().chain(low.to_be_bytes());
    let nibbles = bytes.flat_map(|byte| [byte >> 4, byte & 15]);
    for (to, nibble) in text.iter_mut().zip(nibbles) {
        *to = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_request_id_is_new_unless_a_sound_one_came() {
        let continued =
            |values: &[&str]| RequestId::new(&headers("x-request-id", values)).as_str().to_owned();
        assert_eq!(continued(&["front-1"]), "front-1");
        let long = "x".repeat(MAX_REQUEST_ID + 1);
        let cases: [&[&str]; 5] = [&["a", "b"], &[""], &["a b"], &[&long], &[]];
        for values in cases {
            let id = continued(values);
            assert!(id.len() == 32 && id.bytes().all(is_hex), "{values:?} {id}");
        }
    }

    #[test]
    fn identifiers_differ() {
        let made: HashSet<_> = (0..10_000).map(|_| hex(unique(), unique())).collect();
        assert_eq!(made.len(), 10_000);
        assert_eq!(&hex(0x0123_4567_89ab_cdef, 1), b"0123456789abcdef0000000000000001");
    }

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn a_trace_goes_on_with_a_parent_of_our_own() {
        for parent in [VALID.to_owned(), VALID.replacen("00", "cc", 1) + "-future"] {
            let trace = Trace::continued(&headers("traceparent", &[&parent])).unwrap();
            let sent = trace.to_header();
            let sent = sent.to_str().unwrap();
            assert!(
                sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent.ends_with("-00"),
                "{sent}"
            );
            assert!(!sent.contains("00f067aa0ba902b7"), "{sent}");
            assert!(Trace::continued(&headers("traceparent", &[sent])).is_some(), "{sent}");
        }
    }

    #[test]
    fn a_trace_that_is_not_valid_is_not_continued() {
        for bad in [
            VALID.to_uppercase().as_str(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &format!("{VALID}-more"),
            &format!("{VALID}0"),
            &VALID[..54],
            &VALID.replace('-', "_"),
            "",
        ] {
            assert_eq!(Trace::continued(&headers("traceparent", &[bad])), None, "{bad}");
        }
        assert_eq!(Trace::continued(&headers("traceparent", &[VALID, VALID])), None);
        assert_eq!(Trace::continued(&HeaderMap::new()), None);
    }

    #[test]
    fn a_new_trace_has_the_requests_identifier() {
        let id = RequestId::new(&HeaderMap::new());
        let sent = Trace::begun(&id).to_header();
        assert!(sent.to_str().unwrap().starts_with(&format!("00-{}-", id.as_str())), "{sent:?}");
        assert!(sent.to_str().unwrap().ends_with("-01"), "{sent:?}");
    }
}
