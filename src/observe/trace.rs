//! Who a request is: its identifier, and its place in a trace (W3C Trace Context).

use super::line::Word;
use crate::headers::{TRACEPARENT, X_REQUEST_ID, only};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// The longest `X-Request-Id` that is continued.
const MAX_REQUEST_ID: usize = 128;

/// How long a `traceparent` of version 00 is, and where the trace's identifier stands in it.
const TRACEPARENT_LENGTH: usize = 55;
const TRACE_ID: Range<usize> = 3..35;

/// 16 bytes in hexadecimal.
type Hex32 = [u8; 32];

/// A request's identifier.
#[derive(Clone, Debug)]
pub(super) enum RequestId {
    /// Made here: it stands in the `traceparent` that begins a trace with it, so that both are one allocation.
    Made(Bytes),
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
        only(headers, &X_REQUEST_ID).ok().flatten().filter(|value| is_word(value.as_bytes())).map_or_else(
            || Self::Made(Bytes::from_owner(Trace::new().with_parent())),
            |value| Self::Continued(value.clone()),
        )
    }

    /// As the log shows it.
    pub(super) fn word(&self) -> Word<'_> {
        match self {
            Self::Made(parent) => Word::Plain(parent.get(TRACE_ID).unwrap_or(b"-")),
            Self::Continued(value) => Word::Text(value.to_str().unwrap_or("-")),
        }
    }

    /// The value of `X-Request-Id`.
    ///
    /// Marked as one that is never indexed (RFC 7541 section 6.2.3), although it is no secret: no two answers have the same, and HTTP/2
    /// would keep every one of them in its table of what repeats, and compare each with all that are there.
    pub(super) fn to_header(&self) -> HeaderValue {
        let mut value = match self {
            Self::Made(parent) => header(parent.slice(TRACE_ID)),
            Self::Continued(value) => value.clone(),
        };
        value.set_sensitive(true);
        value
    }

    /// A `traceparent` that begins a trace: its identifier is the request's, where that was made here.
    pub(super) fn begin_trace(&self) -> HeaderValue {
        match self {
            Self::Made(parent) => header(parent.clone()),
            Self::Continued(_) => Trace::new().to_header(),
        }
    }
}

/// Shares the bytes, which are hexadecimal digits and hyphens.
fn header(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

impl Trace {
    /// The trace that `traceparent` names: version, trace, parent and flags; later versions may add more
    /// (section 3.2.2).
    /// `None` where there is none, or more than one, or one that is not valid: then a new trace begins.
    pub(super) fn continued(headers: &HeaderMap) -> Option<Self> {
        let text = only(headers, &TRACEPARENT).ok().flatten()?.as_bytes();
        let (version, rest) = text.split_first_chunk::<2>()?;
        let (id, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<32>()?;
        let (parent, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<16>()?;
        let (flags, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<2>()?;
        let hexadecimal =
            [&version[..], id, parent, flags].iter().all(|part| part.iter().all(|b| is_hex(*b)));
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'0');
        let complete = rest.is_empty() || (version != b"00" && rest.starts_with(b"-"));
        (hexadecimal && complete && version != b"ff" && !zero(id) && !zero(parent))
            .then_some(Self { id: *id, flags: *flags })
    }

    /// A new trace.
    ///
    /// The flag says "recorded": the log has this request, and an upstream that samples by its parent goes on
    /// as if nobody stood before it.
    fn new() -> Self {
        let mut id = [0; 32];
        write_hex([unique(), unique()], &mut id);
        Self { id, flags: *b"01" }
    }

    pub(super) const fn id(&self) -> &[u8] {
        &self.id
    }

    /// A `traceparent` for the upstream, with a parent of our own.
    pub(super) fn to_header(self) -> HeaderValue {
        header(Bytes::from_owner(self.with_parent()))
    }

    fn with_parent(self) -> [u8; TRACEPARENT_LENGTH] {
        let mut parent = [0; 16];
        write_hex([unique()], &mut parent);
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (_, rest) = text.split_at_mut(TRACE_ID.start);
        if let Some((id, rest)) = rest.split_first_chunk_mut()
            && let Some(([_hyphen], rest)) = rest.split_first_chunk_mut()
            && let Some((to_parent, rest)) = rest.split_first_chunk_mut()
            && let Some(([_hyphen], flags)) = rest.split_first_chunk_mut()
            && let Some(flags) = flags.first_chunk_mut()
        {
            (*id, *to_parent, *flags) = (self.id, parent, self.flags);
        }
        text
    }
}

fn is_word(text: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A number that is never zero and that nobody else has: the next of a generator that each thread seeds at
/// random. Identifiers need no secrecy, so no call to the system is made.
fn unique() -> u64 {
    thread_local! {
        static SOURCE: Cell<Generator> = Cell::new(Generator::seeded());
    }
    SOURCE.with(|source| {
        let mut generator = source.get();
        let number = generator.next();
        source.set(generator);
        number.max(1)
    })
}

/// xoshiro256++ of Blackman and Vigna: 256 bits of state, so that the sequences of any number of threads and
/// replicas never meet.
#[derive(Clone, Copy)]
struct Generator([u64; 4]);

impl Generator {
    fn seeded() -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        let [first, second] = keys.map(|keys| [keys.hash_one(0_u64), keys.hash_one(1_u64)]);
        let ([a, b], [c, d]) = (first, second);
        // It must not start with nothing but zeros.
        Self([a, b, c, d | 1])
    }

    const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let number = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        number
    }
}

/// The numbers in hexadecimal, sixteen digits each.
fn write_hex<const N: usize>(numbers: [u64; N], text: &mut [u8]) {
    let halves = numbers.into_iter().flat_map(|number| [number >> 32, number & 0xffff_ffff]);
    for (to, half) in text.as_chunks_mut().0.iter_mut().zip(halves) {
        *to = hex_digits(half);
    }
}

/// Eight digits of a number of 32 bits, all at once: each nibble is moved to a byte of its own, and those
/// above nine get what lies between `9` and `a` on top.
const fn hex_digits(number: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let pairs = (number | number << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (bytes | bytes << 4) & (ONES * 0x0f);
    let letters = (nibbles.wrapping_add(ONES * 6) >> 4) & ONES;
    nibbles.wrapping_add(ONES * 0x30).wrapping_add(letters.wrapping_mul(0x27)).to_be_bytes()
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

    fn text(id: &RequestId) -> String {
        match id.word() {
            Word::Plain(id) => str::from_utf8(id).unwrap().to_owned(),
            Word::Text(id) => id.to_owned(),
        }
    }

    #[test]
    fn a_request_id_is_new_unless_a_sound_one_came() {
        let continued = |values: &[&str]| text(&RequestId::new(&headers("x-request-id", values)));
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
        let made: HashSet<_> = (0..10_000).map(|_| unique()).collect();
        assert_eq!(made.len(), 10_000);
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(unique)).collect();
        let others: HashSet<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!((others.len(), others.is_disjoint(&made)), (2, true));
    }

    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        let mut generator = Generator([1, 2, 3, 4]);
        let numbers: Vec<_> = (0..5).map(|_| generator.next()).collect();
        assert_eq!(
            numbers,
            [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386, 9_228_616_714_210_784_205]
        );
    }

    #[test]
    fn hexadecimal_is_what_the_formatter_writes() {
        let mut generator = Generator([1, 2, 3, 4]);
        for _ in 0..1000 {
            let numbers = [generator.next(), generator.next()];
            let mut text = [0; 32];
            write_hex(numbers, &mut text);
            assert_eq!(str::from_utf8(&text).unwrap(), format!("{:016x}{:016x}", numbers[0], numbers[1]));
        }
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
        let sent = id.begin_trace();
        assert!(sent.to_str().unwrap().starts_with(&format!("00-{}-", text(&id))), "{sent:?}");
        assert!(sent.to_str().unwrap().ends_with("-01"), "{sent:?}");
        assert_eq!(id.to_header(), text(&id));
        assert!(Trace::continued(&headers("traceparent", &[sent.to_str().unwrap()])).is_some(), "{sent:?}");
    }

    #[test]
    fn an_identifier_never_enters_the_table_of_what_repeats() {
        for given in [&[][..], &["front-1"]] {
            assert!(RequestId::new(&headers("x-request-id", given)).to_header().is_sensitive());
        }
    }

    #[test]
    fn a_continued_request_may_begin_a_trace() {
        let id = RequestId::new(&headers("x-request-id", &["front-1"]));
        assert_eq!(id.to_header(), "front-1");
        let [first, second] = [id.begin_trace(), id.begin_trace()];
        assert_ne!(first, second);
        assert!(Trace::continued(&headers("traceparent", &[first.to_str().unwrap()])).is_some(), "{first:?}");
    }
}
