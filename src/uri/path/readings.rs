//! How upstreams are known to read a path otherwise than RFC 3986 does.
//!
//! Some cut `;…` from a segment (servlet containers), some decode `%2F`, or decode twice, some merge slashes (nginx, most file servers), some
//! forget dots and spaces at the end of a name (Windows), some take a decoded `?` for the beginning of the query. Each may do any of these
//! or none, in more than one order: all of it is tried.

use super::without_dot_segments;

/// How often something may be decoded until nothing changes any more.
const PASSES: usize = 4;

/// How many readings a path may have, and how many bytes all of them. One that is made to have more is refused: whoever sends it has shown no
/// token yet, and each reading costs as much as the path is long.
const MOST: usize = 64;
const MOST_BYTES: usize = 32 * 1024;

/// Whether there is anything in a canonical path that could be read otherwise: an encoded character, a parameter, a dot at the end of a
/// segment. One look at each byte, without a branch.
pub(super) fn may_differ(path: &str) -> bool {
    let look = |(found, before), byte| {
        (found | (byte == b'%') | (byte == b';') | ((before == b'.') & (byte == b'/')), byte)
    };
    let (found, last) = path.bytes().fold((false, 0), look);
    found | (last == b'.')
}

/// Every reading of a canonical path, itself first, each in canonical spelling; `None` if they are more than [`MOST`] or longer than
/// [`MOST_BYTES`].
pub(super) fn of(path: &str) -> Option<Vec<String>> {
    let mut all = vec![path.to_owned()];
    let steps: [fn(&str) -> String; 10] = [
        without_parameters,
        decoded_once,
        decoded_fully,
        cut_off,
        without_parameters,
        |path| each_segment(path, |segment| trimmed(segment, false)),
        |path| each_segment(path, |segment| trimmed(segment, true)),
        merged,
        without_dot_segments,
        merged,
    ];
    // Twice: what one upstream reads, another behind it may read again.
    for _ in 0..2 {
        for step in steps {
            let read: Vec<String> = all.iter().map(|path| step(path)).collect();
            for reading in read {
                if !all.contains(&reading) {
                    all.push(reading);
                }
            }
            if all.len() > MOST || all.iter().map(String::len).sum::<usize>() > MOST_BYTES.max(path.len()) {
                return None;
            }
        }
        if all.len() == 1 {
            break;
        }
    }
    Some(all)
}

fn without_parameters(path: &str) -> String {
    each_segment(path, |segment| segment.split(';').next().unwrap_or_default())
}

fn each_segment(path: &str, change: impl Fn(&str) -> &str) -> String {
    path.split('/').map(change).collect::<Vec<_>>().join("/")
}

/// A segment without the spaces around it, and without the dots at its end unless it is a dot segment.
fn trimmed(segment: &str, dots: bool) -> &str {
    let mut rest = segment;
    while let Some(shorter) = rest.strip_prefix("%20") {
        rest = shorter;
    }
    loop {
        let dot = dots && !matches!(rest, "." | "..");
        let shorter = rest.strip_suffix("%20").or_else(|| rest.strip_suffix("%09"));
        match shorter.or_else(|| rest.strip_suffix('.').filter(|_| dot)) {
            Some(shorter) => rest = shorter,
            None => return rest,
        }
    }
}

fn merged(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !out.ends_with('/') {
            out.push(letter);
        }
    }
    out
}

/// What somebody sees who decodes once and looks for delimiters then.
fn decoded_once(path: &str) -> String {
    decoded(path, false)
}

/// What somebody sees who decodes until nothing is encoded any more.
fn decoded_fully(path: &str) -> String {
    let mut text = decoded(path, true);
    for _ in 1..PASSES {
        let again = decoded(&text, true);
        if again == text {
            break;
        }
        text = again;
    }
    text
}

/// The path up to where a query, a fragment or the end of a C string would begin, once decoded.
fn cut_off(path: &str) -> String {
    let end = ["%3F", "%23", "%00"].into_iter().filter_map(|mark| path.find(mark)).min();
    end.and_then(|end| path.get(..end)).unwrap_or(path).to_owned()
}

/// Decodes what separates segments. Any other character stays encoded, so that the reading is in the same spelling as the routes.
fn decoded(path: &str, nested: bool) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, code)) = rest.split_once('%') {
        out.push_str(before);
        let (inner, wrapped) = if nested { unwrapped(code) } else { (code, false) };
        let value = inner.get(..2).and_then(byte_of);
        let Some(value) = value else {
            // A percent sign that encodes nothing further.
            out.push_str("%25");
            rest = inner;
            continue;
        };
        rest = inner.get(2..).unwrap_or_default();
        match value {
            b'/' | b'\\' => out.push('/'),
            b';' => out.push(';'),
            b'-' | b'.' | b'_' | b'~' if wrapped => out.push(char::from(value)),
            _ if wrapped && value.is_ascii_alphanumeric() => out.push(char::from(value)),
            _ => out.push_str(&format!("%{value:02X}")),
        }
    }
    out.push_str(rest);
    out
}

/// The byte that two hexadecimal digits are.
fn byte_of(digits: &str) -> Option<u8> {
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| all)
}

/// `%2525…2F` is `%2F` wrapped several times: what stands after the innermost percent sign, and whether it was wrapped at all.
fn unwrapped(code: &str) -> (&str, bool) {
    let mut inner = code;
    while let Some(shorter) = inner.strip_prefix("25") {
        inner = shorter;
    }
    (inner, inner.len() < code.len())
}
